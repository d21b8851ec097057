"""Reads a policy document: TOML in, a frozen `Policy` out, or an error with file,
key and clause.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError

from ..errors import PolicyInvalid
from . import schema as shapes
from .consistency import check_consistency, is_narrowed
from .disclosure_rules import prohibition_of_recipient
from .grant_workflows import check_workflows
from .model import (
    COMMITMENTS,
    GRANTED,
    Basis,
    Capabilities,
    Clause,
    Condition,
    Contact,
    EndpointGroup,
    Policy,
)

SHIPPED = Path(__file__).with_name("learn_and_go.toml")
"""The policy document of Learn & Go."""
BUILT_IN = Capabilities()
"""What the package can do by itself."""


def load_policy(path: Path = SHIPPED, capabilities: Capabilities = BUILT_IN) -> Policy:
    """Read and check a policy document.

    Args:
        path: Of a TOML file.
        capabilities: What the code can do; a document that promises more is refused.

    Returns:
        The frozen policy.

    Raises:
        PolicyInvalid: The first fault, with file, key and, where the entry states one, its clause.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyInvalid(
            f"{path.name}: cannot be read ({error.strerror}); check LGPRIVACY_POLICY"
        ) from None
    except UnicodeDecodeError:
        raise PolicyInvalid(f"{path.name}: is not UTF-8; save it so") from None
    return parse_policy(text, source=path.name, capabilities=capabilities)


def parse_policy(text: str, *, source: str, capabilities: Capabilities = BUILT_IN) -> Policy:
    """Read and check the text of a policy document; `source` is the name that errors give it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyInvalid(f"{source}: not TOML: {error}") from None
    return _Reader(document, source, capabilities).policy()


class _Reader:
    def __init__(
        self, document: Mapping[str, Any], source: str, capabilities: Capabilities
    ) -> None:
        self._document = document
        self._source = source
        self._capabilities = capabilities

    def policy(self) -> Policy:
        for section in self._document:
            if section not in shapes.SECTIONS:
                known = ", ".join(shapes.SECTIONS)
                self._refuse(section, f"unknown section; a document has {known}")
        missing = [
            section
            for section in shapes.SECTIONS
            if section not in self._document and section not in shapes.MAY_BE_ABSENT
        ]
        if missing:
            self._refuse(", ".join(missing), "missing; a document has these sections")
        header = self._one("policy", shapes.HeaderSchema())
        tables = {name: self._table(name) for name in shapes.TABLES}
        lists = {name: self._list(name) for name in shapes.LISTS}
        policy = Policy(
            name=header["name"],
            version=header["version"],
            publisher=header["publisher"],
            source=header["source"],
            contact=self._contact(),
            clauses=self._clauses(),
            regions={name: frozenset(of) for name, of in self._texts_or_lists("regions", list)},
            subjects=dict(self._texts_or_lists("subjects", str)),
            categories=tables["categories"],
            conditions={
                Condition(name): entry
                for name, entry in self._known_words("conditions", tables, Condition).items()
            },
            roles=tables["roles"],
            purposes=tables["purposes"],
            rules=tuple(lists["rules"]),
            prohibitions=tuple(lists["prohibitions"]),
            recipient_kinds=tables["recipient_kinds"],
            recipients=tables["recipients"],
            grounds=tables["grounds"],
            grant_kinds=tables["grant_kinds"],
            rights=tuple(lists["rights"]),
            endpoints={
                EndpointGroup(name): entry
                for name, entry in self._worded("endpoints", tables, EndpointGroup).items()
            },
            deadline=self._one("deadline", shapes.DeadlineSchema()),
            commitments=tables["commitments"],
        )
        for name in sorted(COMMITMENTS - policy.commitments.keys()):
            self._refuse(
                f"commitments.{name}", "missing; the code carries it out and has to name its clause"
            )
        for condition in sorted(_used_conditions(policy) - policy.conditions.keys()):
            self._refuse(f"conditions.{condition}", "missing; an entry of the document asks for it")
        self._check_clauses(policy)
        self._check_forbidden_names(policy)
        self._check_categories(policy)
        self._check_rules(policy)
        self._check_purposes(policy)
        self._check_grants(policy)
        check_consistency(policy, self._refuse)
        self._check_recipients(policy)
        return policy

    # --- reading ---

    def _refuse(self, key: str, reason: str, clause: str | None = None) -> None:
        citation = f" [{clause}]" if clause else ""
        raise PolicyInvalid(f"{self._source}: {key}: {reason}{citation}", clause=clause)

    def _load(self, key: str, entry: Any, schema: Schema) -> Any:
        if not isinstance(entry, dict):
            self._refuse(key, "must be a table")
        try:
            return schema.load(entry)
        except ValidationError as error:
            clause = entry.get("clause")
            path, reason = next(_flatten(error.messages))
            key_path = ".".join([key, *(part for part in path if part != "_schema")])
            self._refuse(key_path, reason, clause if isinstance(clause, str) else None)

    def _one(self, section: str, schema: Schema) -> Any:
        return self._load(section, self._document[section], schema)

    def _contact(self) -> Contact:
        contact = self._one("contact", shapes.ContactSchema())
        assert isinstance(contact, Contact)  # noqa: S101  narrows the type for readers and checkers
        return contact

    def _table(self, section: str) -> dict[str, Any]:
        entries = self._document.get(section, {})
        if not isinstance(entries, dict):
            self._refuse(section, "must be a table")
        schema = shapes.TABLES[section]()
        return {
            name: self._load(
                f"{section}.{name}",
                {"id": name, **entry}
                if section in shapes.KEYED_BY_ID and isinstance(entry, dict)
                else entry,
                schema,
            )
            for name, entry in entries.items()
        }

    def _list(self, section: str) -> list[Any]:
        entries = self._document.get(section, [])
        if not isinstance(entries, list):
            self._refuse(section, "must be a list of tables")
        schema = shapes.LISTS[section]()
        return [
            self._load(f"{section}[{number}]", entry, schema)
            for number, entry in enumerate(entries)
        ]

    def _texts_or_lists(self, section: str, kind: type) -> Iterator[tuple[str, Any]]:
        entries = self._document[section]
        if not isinstance(entries, dict):
            self._refuse(section, "must be a table")
        for name, value in entries.items():
            is_text_or_texts = kind is str or (
                isinstance(value, list) and all(isinstance(item, str) for item in value)
            )
            if not isinstance(value, kind) or not value or not is_text_or_texts:
                of = "" if kind is str else " of texts"
                self._refuse(
                    f"{section}.{name}", f"must be a {kind.__name__}{of} that is not empty"
                )
            yield name, value

    def _clauses(self) -> dict[str, Clause]:
        clauses = {}
        for name, says in self._texts_or_lists("clauses", str):
            if not shapes.CLAUSE_PATTERN.match(name):
                self._refuse(
                    f"clauses.{name}", "a clause id is a short word such as LG-01, M-1 or Art.5"
                )
            clauses[name] = Clause(id=name, says=says)
        return clauses

    def _worded(
        self, section: str, tables: Mapping[str, Any], words: type[StrEnum]
    ) -> dict[str, Any]:
        """A table that has an entry for each of some words that the code knows, and no other."""
        entries = self._known_words(section, tables, words)
        for word in words:
            if word not in entries:
                self._refuse(f"{section}.{word}", "missing; the code asks for it")
        return entries

    def _known_words(
        self, section: str, tables: Mapping[str, Any], words: type[StrEnum]
    ) -> dict[str, Any]:
        """A table of which every entry is one of some words that the code knows."""
        entries: dict[str, Any] = tables[section]
        for name in entries:
            if name not in set(words):
                self._refuse(f"{section}.{name}", f"unknown; one of {', '.join(sorted(words))}")
        return entries

    # --- checks across entries ---

    def _check_clauses(self, policy: Policy) -> None:
        cited = set()
        for key, clause in _citations(policy):
            if clause not in policy.clauses:
                self._refuse(
                    key, f"cites a clause that the document does not have: {clause}", clause
                )
            cited.add(clause)
        for clause in policy.clauses:
            if clause not in cited:
                self._refuse(f"clauses.{clause}", "no entry carries this clause out", clause)

    def _check_forbidden_names(self, policy: Policy) -> None:
        sections = {
            "purposes": policy.purposes,
            "categories": policy.categories,
            "recipient_kinds": policy.recipient_kinds,
        }
        for prohibition in policy.prohibitions:
            if is_narrowed(prohibition):
                continue
            for section, declared in sections.items():
                for name in getattr(prohibition, section):
                    if name in declared:
                        self._refuse(
                            f"{section}.{name}",
                            f"can never be declared: {prohibition.says}",
                            prohibition.clause,
                        )

    def _check_categories(self, policy: Policy) -> None:
        for category in policy.categories.values():
            key = f"categories.{category.id}"
            self._known(f"{key}.region", [category.region], policy.regions, category.clause)
            self._known(f"{key}.subjects", category.subjects, policy.subjects, category.clause)

    def _check_rules(self, policy: Policy) -> None:
        for number, rule in enumerate(policy.rules):
            key = f"rules[{number}]"
            self._known(f"{key}.roles", rule.roles, policy.roles, rule.clause)
            self._known(f"{key}.categories", rule.categories, policy.categories, rule.clause)
            self._known(f"{key}.purposes", rule.purposes, policy.purposes, rule.clause)
            for name in sorted(rule.purposes):
                basis = policy.purposes[name].basis
                for category_id in sorted(rule.categories):
                    if basis not in policy.categories[category_id].bases:
                        self._refuse(
                            key,
                            f"purpose {name} rests on {basis}, which is not a lawful basis of "
                            "category "
                            f"{category_id}",
                            rule.clause,
                        )
                if basis is Basis.CONSENT and Condition.CONSENT not in rule.conditions:
                    self._refuse(
                        f"{key}.conditions",
                        f"purpose {name} rests on consent; add consent",
                        rule.clause,
                    )
        for number, right in enumerate(policy.rights):
            self._known(f"rights[{number}].subject", [right.subject], policy.subjects, right.clause)
            self._known(f"rights[{number}].roles", right.roles, policy.roles, right.clause)
            self._known(f"rights[{number}].purpose", [right.purpose], policy.purposes, right.clause)
            for name in sorted(right.rights - self._capabilities.rights):
                self._refuse(
                    f"rights[{number}].rights",
                    f"no code handles the right {name}; those that are handled are "
                    f"{', '.join(sorted(self._capabilities.rights))}",
                    right.clause,
                )

    def _check_purposes(self, policy: Policy) -> None:
        for group, entry in policy.endpoints.items():
            self._known(
                f"endpoints.{group}.purpose", [entry.purpose], policy.purposes, entry.clause
            )
        for purpose in policy.purposes.values():
            if (purpose.basis is Basis.CONSENT) != bool(purpose.texts):
                reason = (
                    "name the versions of the text that people consent to"
                    if not purpose.texts
                    else "only for consent"
                )
                self._refuse(f"purposes.{purpose.id}.texts", reason, purpose.clause)

    def _check_grants(self, policy: Policy) -> None:
        conditions = set()
        met: set[tuple[Condition, str]] = set()
        for kind in policy.grant_kinds.values():
            key = f"grant_kinds.{kind.id}"
            self._known(f"{key}.to", [kind.to], policy.roles, kind.clause)
            self._known(f"{key}.asked_by", kind.asked_by, policy.roles, kind.clause)
            self._known(f"{key}.given_by", kind.given_by, policy.roles, kind.clause)
            self._known(f"{key}.grounds", kind.grounds, policy.grounds, kind.clause)
            if kind.to in kind.given_by:
                self._refuse(
                    f"{key}.given_by", f"role {kind.to} would give access to itself", kind.clause
                )
            if (kind.condition, kind.to) in met:
                self._refuse(
                    f"{key}.condition",
                    f"another kind meets {kind.condition} for role {kind.to} already",
                    kind.clause,
                )
            met.add((kind.condition, kind.to))
            conditions.add(kind.condition)
        check_workflows(policy, self._capabilities, self._refuse)
        for number, rule in enumerate(policy.rules):
            for condition in sorted((rule.conditions & GRANTED) - conditions):
                self._refuse(
                    f"rules[{number}].conditions",
                    f"no grant_kinds entry meets {condition}",
                    rule.clause,
                )

    def _check_recipients(self, policy: Policy) -> None:
        region = policy.transfer_region
        for recipient in policy.recipients.values():
            key = f"recipients.{recipient.id}"
            refusal = prohibition_of_recipient(policy, recipient)
            if refusal is not None:
                self._refuse(key, f"can never be declared: {refusal.says}", refusal.clause)
            self._known(f"{key}.kind", [recipient.kind], policy.recipient_kinds, recipient.clause)
            self._known(
                f"{key}.categories", recipient.categories, policy.categories, recipient.clause
            )
            self._known(f"{key}.purposes", recipient.purposes, policy.purposes, recipient.clause)
            kind = policy.recipient_kinds[recipient.kind]
            if kind.agreement_required and recipient.agreement is None:
                self._refuse(
                    f"{key}.agreement",
                    f"a {kind.id} needs the agreement that binds it",
                    kind.clause,
                )
            if recipient.country not in region and recipient.transfer is None:
                clause = policy.commitments["transfer-tools"].clause
                self._refuse(
                    f"{key}.transfer", f"{recipient.country} needs a transfer tool", clause
                )

    def _known(self, key: str, names: Iterable[str], among: Mapping[str, Any], clause: str) -> None:
        for name in sorted(names):
            if name not in among:
                self._refuse(key, f"unknown: {name}", clause)


def _used_conditions(policy: Policy) -> set[Condition]:
    """The conditions that any entry asks for; the publisher's staff sign in strongly."""
    entries: tuple[Any, ...] = (
        *policy.rules,
        *policy.rights,
        *policy.roles.values(),
        *policy.purposes.values(),
        *policy.grant_kinds.values(),
    )
    has_staff = any(role.side == "publisher" for role in policy.roles.values())
    used = {Condition.STRONG_AUTHENTICATION} if has_staff else set()
    for entry in entries:
        for field in fields(entry):
            value = getattr(entry, field.name)
            words = value if isinstance(value, frozenset | tuple) else (value,)
            used |= {word for word in words if isinstance(word, Condition)}
    return used


def _citations(policy: Policy) -> Iterator[tuple[str, str]]:
    """Every (key, clause) that the document cites."""
    yield "contact", policy.contact.clause
    yield "deadline", policy.deadline.clause
    for section in (
        "categories",
        "roles",
        "purposes",
        "recipient_kinds",
        "recipients",
        "grounds",
        "grant_kinds",
        "commitments",
    ):
        for name, entry in getattr(policy, section).items():
            yield f"{section}.{name}", entry.clause
    for name, text in policy.conditions.items():
        yield f"conditions.{name}", text.clause
    for group, entry in policy.endpoints.items():
        yield f"endpoints.{group}", entry.clause
    for category in policy.categories.values():
        yield f"categories.{category.id}.retention", category.retention.clause
    for section in ("rules", "prohibitions", "rights"):
        for number, entry in enumerate(getattr(policy, section)):
            yield f"{section}[{number}]", entry.clause


def _flatten(messages: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flatten(inner, (*path, str(key)))
    else:
        yield path, str(messages[0])
