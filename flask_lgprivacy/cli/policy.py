"""`policy`: what the policy document says."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ..errors import RequestInvalid
from ..policy.explain import matrix
from ..policy.json_schema import policy_json_schema
from ..state import get_state
from .group import privacy


@privacy.command()
@click.option(
    "--matrix",
    "whole",
    is_flag=True,
    help="What every role may do with every category, for every purpose.",
)
@click.option("--all", "everything", is_flag=True, help="With --matrix, what is refused too.")
@click.option("--role", help="With --matrix, only this role.")
@click.option("--category", help="With --matrix, only this category.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@click.option(
    "--json-schema",
    "as_schema",
    is_flag=True,
    help="The JSON Schema of policy documents, for an editor.",
)
def policy(
    whole: bool,
    everything: bool,
    role: str | None,
    category: str | None,
    as_json: bool,
    as_schema: bool,
) -> None:
    """The policy document in one screen, or with --matrix its table."""
    if not whole and (everything or role is not None or category is not None):
        raise click.UsageError("--all, --role and --category go with --matrix")
    if as_schema:
        click.echo(json.dumps(policy_json_schema(), indent=2, ensure_ascii=False))
        return
    state = get_state()
    document = state.policy
    if not whole:
        if as_json:
            click.echo(
                json.dumps(
                    {clause.id: clause.says for clause in document.clauses.values()},
                    ensure_ascii=False,
                )
            )
        else:
            click.echo(f"{document.name}, version {document.version}")
            for clause in document.clauses.values():
                click.echo(f"{clause.id}  {clause.says}")
            for kind, says in document.subjects.items():
                click.echo(f"subject {kind}: {says}")
            for entry in document.categories.values():
                kept = f"{entry.retention.period} after {entry.retention.after}"
                click.echo(
                    f"category {entry.id}: {entry.label}; of {', '.join(sorted(entry.subjects))}; "
                    f"held as {entry.capacity}; in {entry.region}; {kept} [{entry.clause}]"
                )
            click.echo(f"roles: {', '.join(document.roles)}")
            click.echo(f"purposes: {', '.join(document.purposes)}")
        return
    for name, declared, entry_kind in (
        (role, document.roles, "role"),
        (category, document.categories, "category"),
    ):
        if name is not None and name not in declared:
            raise RequestInvalid(
                f"no such {entry_kind}; the policy document has {', '.join(sorted(declared))}"
            )
    cells = [
        cell
        for cell in matrix(state.runtime.engine)
        if role in (None, cell.role)
        and category in (None, cell.category)
        and (everything or cell.outcome == "allowed")
    ]
    if as_json:
        click.echo(json.dumps([asdict(cell) for cell in cells]))
        return
    for cell in cells:
        when = " or ".join(" and ".join(needed) or "always" for needed in cell.conditions)
        click.echo(
            f"{cell.role:14} {cell.category:20} {cell.action:9} {cell.purpose:20} "
            f"{cell.outcome:11}{cell.clause or ''}  {when}".rstrip()
        )
    click.echo(f"{len(cells)} cells" + ("" if everything else "; everything else is refused"))
