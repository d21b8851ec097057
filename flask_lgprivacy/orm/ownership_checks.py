"""What the labels of keys must say before an application starts; every fault at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import Column, ForeignKeyConstraint, Table

from ..errors import ModelInvalid
from ..policy.model import Policy
from .columns import columns_by_field, python_type, unique_columns
from .model_info import ModelInfo
from .ownership_graph import OwnershipGraph
from .ownership_labels import Clear, DeleteRow, Keep, Meaning
from .ownership_links import Link, foreign_keys_of
from .registry import INFO_KEY, field_name, mapper_of_table, model_info_of_table, table_name

COPIES = ("_version", "_versions", "_history", "_audit", "_log", "_archive", "_revision")
"""What the names of tables end in that keep what rows were."""


def check_ownership(graph: OwnershipGraph, policy: Policy) -> None:
    """Check every key that leads to people's rows; raises `ModelInvalid` with a line for each
    fault.

    Args:
        graph: The application's.
        policy: The policy document.
    """
    reached = set().union(*(graph.reached_from(table) for table in graph.subject_tables))
    faults = [
        *_unlabelled_keys(graph, reached),
        *(fault for link in graph.links for fault in _faults_of(link, graph, reached)),
        *_without_people(graph, reached),
        *_unlabelled_columns(graph, reached),
        *_sealed_for_several(graph),
        *_labels_of_subclasses(graph),
        *_shown_to_others(graph, policy),
        *_unlabelled_copies(graph, reached),
        *_deleted_by_the_database(graph, reached),
    ]
    if faults:
        raise ModelInvalid("\n".join(dict.fromkeys(faults)))


def refuse_kept_keys(graph: OwnershipGraph, dialect_of: Callable[[Table], str]) -> None:
    """Refuse keys that stay where the database holds them to rows which go.

    Args:
        graph: The application's.
        dialect_of: Returns the name of the dialect of a table's database.

    Raises:
        ModelInvalid: A line for each.
    """
    faults = [
        f"{link.name}: on_erasure=keep(…) cannot keep a key to a row that goes, because PostgreSQL "
        "enforces the foreign key; write clear(), or leave the foreign key out and write leads_to="
        for link in graph.links
        if isinstance(link.on_erasure, Keep) and link.is_enforced and _outlives(link, graph)
        if dialect_of(link.table) == "postgresql"
    ]
    if faults:
        raise ModelInvalid("\n".join(faults))


def _unlabelled_keys(graph: OwnershipGraph, reached: set[Table]) -> Iterator[str]:
    """Foreign keys to rows that are somebody's, without a word on what they mean."""
    linked = {(link.table, link.columns) for link in graph.links}
    for table in graph.tables:
        for constraint in foreign_keys_of(table):
            target = constraint.elements[0].column.table
            if target not in reached or (table, tuple(constraint.columns)) in linked:
                continue
            yield (
                f"{_key_name(table, constraint)} leads to {table_name(target)} and has no label; "
                f"write info=owner() where the row is theirs{_shorthand(table, target, graph)}, "
                "info=concerns(shows=…) where it is somebody else's and about them, "
                "info=refers() where it gives them no right to the row"
            )


def _shorthand(table: Table, target: Table, graph: OwnershipGraph) -> str:
    """The shorter way to say it for a model without any label."""
    layout = graph.subject_tables.get(target)
    if layout is None or mapper_of_table(table) is None or model_info_of_table(table) is not None:
        return ""
    return f" (or, for its one owner, __privacy__ = belongs_to({layout.kind!r}))"


def _faults_of(link: Link, graph: OwnershipGraph, reached: set[Table]) -> Iterator[str]:
    action = link.on_erasure
    if link.meaning is not Meaning.REFERS and link.source not in reached:
        yield (
            f"{link.name}: info={link.meaning}(…) leads to {table_name(link.source)}, from which "
            "no key leads on to a person; label that one's keys, or leave this label out"
        )
        return
    yield from _faults_of_fields(link)
    can_be_cleared = any(column.nullable for column in link.own_columns)
    if isinstance(action, Clear) and _outlives(link, graph) and not can_be_cleared:
        remedy = "write on_erasure=delete_row()"
        if link.meaning is Meaning.REFERS:
            remedy = "write concerns(shows=(), on_erasure=delete_row())"
        yield (
            f"{link.name} must be nullable, because it is cleared when the row to which it leads "
            f"is deleted; or {remedy}"
        )
    if link.is_turned and model_info_of_table(link.table) is None:
        yield (
            f"{link.name}: who writes such a row gives others a right to a "
            f"{table_name(link.about)}, and no gate guards the table; make a model of it, with "
            "__privacy__ = belongs_to()"
        )
    for column, target in zip(link.columns, link.target_columns, strict=True):
        kinds = python_type(column), python_type(target)
        if kinds[0] is not kinds[1]:
            yield (
                f"{link.name} is {kinds[0].__name__} and {table_name(link.target)}."
                f"{field_name(target)} is {kinds[1].__name__}; a key has the type of the column to "
                "which it leads"
            )
    if set(link.target_columns) not in [set(one) for one in unique_columns(link.target)]:
        yield (
            f"{link.name} leads to {table_name(link.target)}."
            f"{', '.join(map(field_name, link.target_columns))}, which is not unique, so it would "
            "say several rows; let it lead to a unique column, such as an identifier"
        )
    yield from _faults_of_database_action(link, graph)


def _faults_of_fields(link: Link) -> Iterator[str]:
    """Fields that a label shows or clears."""
    layout = model_info_of_table(link.about)
    family = list(layout.family()) if layout is not None else []
    fields = columns_by_field(link.about)
    fields.update({name: one for member in family for name, one in member.columns().items()})
    groups = [group for member in family for group in member.groups.values()]
    sealed = {name: kind for group in groups for name, kind in group.fields.items()}
    is_sealed_for_one = layout is not None and not layout.is_shared
    for name in sorted((link.label.shows or frozenset()) - fields.keys() - sealed.keys()):
        yield f"{link.name}: shows names {name!r}, which {table_name(link.about)} does not have"
    labelled = {name for member in family for name in member.labelled}
    for name in sorted(link.label.rectifies - labelled):
        yield (
            f"{link.name}: rectifies names {name!r}, which is no labelled field of "
            f"{table_name(link.about)}"
        )
    for name in link.cleared_fields:
        if name in sealed and is_sealed_for_one:
            yield (
                f"{link.name}: on_erasure names {name!r}, which is sealed under its owner's key "
                "and cannot be cleared without it; move it to a row of its own"
            )
        elif name in sealed:
            if not sealed[name].optional:
                yield (
                    f"{link.name}: on_erasure clears {name!r}, which must be optional for that "
                    "(Mapped[… | None])"
                )
        elif name not in fields:
            yield f"{link.name}: on_erasure names {name!r}, which the row does not have"
        elif not fields[name].nullable or fields[name].primary_key:
            yield f"{link.name}: on_erasure clears {name!r}, which must be nullable for that"


def _outlives(link: Link, graph: OwnershipGraph) -> bool:
    """Whether the key's row may stay when the row to which it leads is deleted."""
    if link.meaning is Meaning.OWNS:  # that row goes with its owners, this one among them
        return any(
            isinstance(other.on_erasure, DeleteRow) for other in graph.about.get(link.target, ())
        )
    if link.meaning is not Meaning.OWNER:
        return True
    about = graph.about.get(link.table, ())
    return link.table in graph.subject_tables or sum(other.gives_ownership for other in about) > 1


def _faults_of_database_action(link: Link, graph: OwnershipGraph) -> Iterator[str]:
    """What the database does by itself has to be what the label says."""
    if not link.is_enforced:
        return
    for constraint in link.table.foreign_key_constraints:
        if tuple(constraint.columns) != link.columns or not constraint.ondelete:
            continue
        does = constraint.ondelete.upper()
        goes = isinstance(link.on_erasure, DeleteRow) and not link.is_turned
        goes = goes or (link.meaning is Meaning.OWNER and not _outlives(link, graph))
        if does == "CASCADE" and not goes:
            yield (
                f"{link.name}: ON DELETE CASCADE deletes rows that its label keeps; leave ondelete "
                "out, or write on_erasure=delete_row()"
            )
        if does in ("SET NULL", "SET DEFAULT") and isinstance(link.on_erasure, Keep):
            yield (
                f"{link.name}: ON DELETE {does} changes a key that its label keeps; leave ondelete "
                "out, or write on_erasure=clear()"
            )


def _without_people(graph: OwnershipGraph, reached: set[Table]) -> Iterator[str]:
    """Models of shared rows from which no labelled key leads to a person."""
    for layout in graph.shared:
        if layout.table not in reached:
            yield (
                f"{layout.name}: belongs_to() needs a key with a label that leads to a person; "
                "write info=owner() or info=concerns(shows=…) at one of its foreign keys"
            )


def _unlabelled_columns(graph: OwnershipGraph, reached: set[Table]) -> Iterator[str]:
    """Columns of rows that are somebody's, in tables that no model guards."""
    for table in sorted(reached, key=lambda candidate: candidate.key):
        if model_info_of_table(table) is not None:
            continue
        keys = {column for link in graph.links for column in _columns_in(link, table)}
        for column in table.columns:
            label = column.info.get(INFO_KEY) or {}
            if column.primary_key or column.foreign_keys or column in keys or "reason" in label:
                continue
            yield (
                f"{table_name(table)}.{field_name(column)} has no label, and its row is "
                f"somebody's; {_remedy(table)}"
            )


def _remedy(table: Table) -> str:
    if mapper_of_table(table) is not None:
        return (
            "write __privacy__ = belongs_to() in the model, and tagged(category) or "
            "not_personal(reason) for the column"
        )
    return (
        "write info=no_personal_data(reason), or make a model of the table, so that the gate "
        "guards the column"
    )


def _columns_in(link: Link, table: Table) -> Iterator[Column[object]]:
    if link.table is table:
        yield from link.columns
        yield from (column for column, _ in link.when)
    if link.target is table:
        yield from link.target_columns


def _labels_of_subclasses(graph: OwnershipGraph) -> Iterator[str]:
    """Keys in the table of a subclass that say whose a part of a row is."""
    for link in graph.links:
        is_of_class_above = link.columns == tuple(link.table.primary_key.columns)
        if link.table not in graph.subclass_tables or is_of_class_above:
            continue
        if link.meaning is not Meaning.REFERS:
            yield (
                f"{link.name} says whose a row is, and stands in the table of a subclass, so it "
                "would speak of a part of the row; declare it in the class above"
            )


def _sealed_for_several(graph: OwnershipGraph) -> Iterator[str]:
    """Sealed fields of rows that outlive the owner under whose key they are sealed."""
    for layout in graph.models:
        is_sealed = any(member.groups for member in layout.family())
        if is_sealed and not layout.is_subject and not layout.is_shared:
            owners = [link for link in graph.about.get(layout.table, ()) if link.gives_ownership]
            if len(owners) > 1:
                yield _several(layout, owners)


def _shown_to_others(graph: OwnershipGraph, policy: Policy) -> Iterator[str]:
    """Fields that a label shows to a kind of subject of whom the policy document does not have
    their category.
    """
    for kind, subject in graph.subjects.items():
        reached = graph.reached_from(subject.table)
        for link in graph.links:
            layout = model_info_of_table(link.about)
            if link.meaning not in (Meaning.CONCERNS, Meaning.SHARES) or link.source not in reached:
                continue
            for name, category in layout.field_categories.items() if layout is not None else ():
                is_shown = link.label.shows is None or name in link.label.shows
                if is_shown and subject.policy_kind not in policy.categories[category].subjects:
                    yield (
                        f"{link.name}: shows {name!r} to a {kind}, and {category} is not a "
                        f"category of that subject; leave the field out of shows=…"
                    )


def _unlabelled_copies(graph: OwnershipGraph, reached: set[Table]) -> Iterator[str]:
    """Tables that keep versions of people's rows, by their name and columns, and say nothing."""
    linked = {link.table for link in graph.links}
    for original in sorted(reached, key=lambda candidate: candidate.key):
        copies = {f"{original.name}{suffix}" for suffix in COPIES}
        copies |= {f"{suffix.strip('_')}_{original.name}" for suffix in COPIES}
        values = {column.name for column in original.columns if not column.primary_key}
        for table in graph.tables:
            is_copy = table.name in copies and not values.isdisjoint(table.columns.keys())
            if is_copy and table not in linked and table not in reached:
                primary = next(iter(original.primary_key.columns))
                yield (
                    f"{table_name(table)} keeps copies of {table_name(original)}, by its name and "
                    "columns, and has no label; write info=owner(leads_to="
                    f"'{original.name}.{primary.name}') at the column that leads there, or to the "
                    "person, or rename the table where it holds something else"
                )


def _deleted_by_the_database(graph: OwnershipGraph, reached: set[Table]) -> Iterator[str]:
    """Labelled rows that the database deletes, or takes from their client, because a row goes that
    is nobody's.
    """
    for layout in graph.models:
        client = None if layout.client is None else layout.column(layout.client)
        for constraint in foreign_keys_of(layout.table):
            does = (constraint.ondelete or "").upper()
            target = constraint.elements[0].column.table
            is_clients = any(column is client for column in constraint.columns)
            takes_client = does.startswith("SET") and is_clients
            if target not in reached and (does == "CASCADE" or takes_client):
                yield (
                    f"{_key_name(layout.table, constraint)}: ON DELETE {does} changes people's "
                    f"rows past the gate when a {table_name(target)} goes; leave ondelete out, and "
                    "erase people by a request first"
                )


def _several(layout: ModelInfo, owners: list[Link]) -> str:
    names = ", ".join(link.name for link in owners)
    return (
        f"{layout.name} has sealed fields and several owners ({names}), and they are sealed under "
        "the key of one; write __privacy__ = belongs_to(), so that each row has a key of its own, "
        "or label the others with info=concerns(…)"
    )


def _key_name(table: Table, constraint: ForeignKeyConstraint) -> str:
    names = ", ".join(field_name(column) for column in constraint.columns)
    return f"{table_name(table)}.{names}"
