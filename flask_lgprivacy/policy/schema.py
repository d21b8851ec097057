"""The strict shape of a policy document, entry by entry; unknown keys and missing clauses are
faults.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from . import model as words
from .sensitive_terms import SHIPPED_VOCABULARIES, SHORTEST_PART

IDENTIFIER = validate.Regexp(
    r"^[a-z0-9]+([.\-][a-z0-9]+)*$", error="use lower-case words joined by '-' or '.'"
)
CLAUSE_PATTERN = re.compile(r"^[A-Za-z][A-Za-z0-9]{0,15}([.\-][A-Za-z0-9]{1,15}){0,4}$")
CLAUSE_ID = validate.Regexp(
    CLAUSE_PATTERN, error="a clause id is a short word such as LG-01, M-1 or Art.5"
)
PERIOD = validate.Regexp(r"^P(\d+Y)?(\d+M)?(\d+D)?$", error="use an ISO 8601 duration such as P6M")
HOST = validate.Regexp(
    r"^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*$", error="a host name, '*.' allowed in front"
)


class TomlDate(fields.Field):  # type: ignore[type-arg]  # marshmallow 3 has no generic fields
    """A TOML local date, which the parser has already made a `date`."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dt.date:
        if type(value) is not dt.date:
            raise ValidationError("write a TOML date such as 2026-11-22, without quotes")
        return value


class TrueOrFalse(fields.Field):  # type: ignore[type-arg]  # marshmallow 3 has no generic fields
    """A TOML boolean; no text, and no number, that counts as one."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if type(value) is not bool:
            raise ValidationError("write true or false, without quotes")
        return value


class ListOf(fields.List):  # type: ignore[type-arg]  # marshmallow 3 has no generic fields
    """A TOML list, each thing in it once; no text, and no table, that could be gone through like
    one.
    """

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> list[Any]:
        if type(value) is not list:
            raise ValidationError("write a list, in square brackets")
        return super()._deserialize(value, *rest, **options)


def _identifier(**kwargs: Any) -> fields.Str:
    return fields.Str(validate=IDENTIFIER, **kwargs)


def _identifiers(*, at_least: int = 0, **kwargs: Any) -> ListOf:
    return ListOf(fields.Str(validate=IDENTIFIER), validate=validate.Length(min=at_least), **kwargs)


def _clause() -> fields.Str:
    return fields.Str(required=True, validate=CLAUSE_ID)


def _word(kind: type[StrEnum], **kwargs: Any) -> fields.Enum[Any]:
    return fields.Enum(kind, by_value=True, **kwargs)


def _words(kind: type[StrEnum], *, at_least: int = 0, **kwargs: Any) -> ListOf:
    return ListOf(
        fields.Enum(kind, by_value=True), validate=validate.Length(min=at_least), **kwargs
    )


def _text(**kwargs: Any) -> fields.Str:
    return fields.Str(validate=validate.Length(min=1), **kwargs)


class _Entry(Schema):
    """An entry that becomes the frozen value named by `makes`; lists become frozen sets."""

    makes: Callable[..., Any]

    class Meta:
        unknown = RAISE

    @post_load
    def freeze(self, loaded: dict[str, Any], **_: Any) -> Any:
        return type(self).makes(
            **{
                key: frozenset(value) if type(value) is list else value
                for key, value in loaded.items()
            }
        )


class RetentionSchema(_Entry):
    makes = words.Retention
    after = _identifier(required=True)
    period = fields.Str(required=True, validate=PERIOD)
    clause = _clause()


class CategorySchema(_Entry):
    makes = words.Category
    id = _identifier(required=True)
    label = _text(required=True)
    capacity = _word(words.Capacity, required=True)
    subjects = _identifiers(at_least=1, required=True)
    bases = _words(words.Basis, at_least=1, required=True)
    region = fields.Str(required=True)
    retention = fields.Nested(RetentionSchema, required=True)
    exportable = TrueOrFalse(load_default=True)
    allows = _words(words.Identifier, load_default=list)
    clause = _clause()


class ConditionSchema(_Entry):
    makes = words.ConditionInfo
    missing = _text(required=True)
    clause = _clause()


class RoleSchema(_Entry):
    makes = words.Role
    id = _identifier(required=True)
    label = _text(required=True)
    side = fields.Str(required=True, validate=validate.OneOf(["client", "publisher", "public"]))
    needs = _words(words.Condition, load_default=list)
    clause = _clause()


class PurposeSchema(_Entry):
    makes = words.Purpose
    id = _identifier(required=True)
    label = _text(required=True)
    basis = _word(words.Basis, required=True)
    needs = _words(words.Condition, load_default=list)
    texts = ListOf(_text(), load_default=list)
    clause = _clause()


class RuleSchema(_Entry):
    makes = words.Rule
    roles = _identifiers(at_least=1, required=True)
    categories = _identifiers(at_least=1, required=True)
    actions = _words(words.Action, at_least=1, required=True)
    purposes = _identifiers(at_least=1, required=True)
    conditions = ListOf(
        fields.Str(validate=validate.OneOf([*sorted(words.Condition), words.ANYBODY])),
        required=True,
    )
    clause = _clause()

    @post_load
    def freeze(self, loaded: dict[str, Any], **_: Any) -> words.Rule:
        condition_names = loaded.pop("conditions")
        if words.ANYBODY in condition_names and len(condition_names) > 1:
            raise ValidationError(f"{words.ANYBODY} stands alone", "conditions")
        conditions = frozenset(
            words.Condition(name) for name in condition_names if name != words.ANYBODY
        )
        frozen: dict[str, Any] = {
            key: frozenset(of) if type(of) is list else of for key, of in loaded.items()
        }
        return words.Rule(
            **frozen, conditions=conditions, is_for_anybody=bool(condition_names) and not conditions
        )


class ProhibitionSchema(_Entry):
    makes = words.Prohibition
    id = _identifier(required=True)
    says = _text(required=True)
    clause = _clause()
    roles = _identifiers(load_default=list)
    categories = _identifiers(load_default=list)
    actions = _words(words.Action, load_default=list)
    purposes = _identifiers(load_default=list)
    recipient_kinds = _identifiers(load_default=list)
    except_roles = _identifiers(load_default=list)
    except_purposes = _identifiers(load_default=list)
    except_recipient_kinds = _identifiers(load_default=list)
    terms = ListOf(_text(), load_default=list)
    parts = ListOf(fields.Str(validate=validate.Length(min=SHORTEST_PART)), load_default=list)
    whole_terms = ListOf(_text(), load_default=list)
    except_terms = ListOf(_text(), load_default=list)
    vocabulary = fields.Str(load_default=None, validate=validate.OneOf(SHIPPED_VOCABULARIES))

    @post_load
    def freeze(self, loaded: dict[str, Any], **_: Any) -> words.Prohibition:
        matchers = ("roles", "categories", "actions", "purposes", "recipient_kinds")
        if not any(loaded[name] for name in matchers):
            raise ValidationError(
                "a prohibition that names nothing would match everything", "_schema"
            )
        terms: dict[str, Any] = {
            name: tuple(loaded.pop(name))
            for name in ("terms", "parts", "whole_terms", "except_terms")
        }
        frozen: dict[str, Any] = {
            key: frozenset(of) if type(of) is list else of for key, of in loaded.items()
        }
        return words.Prohibition(**terms, **frozen)


class RecipientKindSchema(_Entry):
    makes = words.RecipientKind
    id = _identifier(required=True)
    label = _text(required=True)
    agreement_required = TrueOrFalse(required=True)
    clause = _clause()


class AgreementSchema(_Entry):
    makes = words.Agreement
    reference = _text(required=True)
    since = TomlDate(required=True)


class TransferSchema(_Entry):
    makes = words.Transfer
    tool = _word(words.TransferTool, required=True)
    reference = _text(required=True)
    since = TomlDate(required=True)
    until = TomlDate(load_default=None)


class RecipientSchema(_Entry):
    makes = words.Recipient
    id = _identifier(required=True)
    name = _text(required=True)
    kind = _identifier(required=True)
    country = fields.Str(
        required=True, validate=validate.Regexp(r"^[A-Z]{2}$", error="use ISO 3166 alpha-2")
    )
    hosts = ListOf(fields.Str(validate=HOST), required=True)
    categories = _identifiers(at_least=1, required=True)
    purposes = _identifiers(at_least=1, required=True)
    agreement = fields.Nested(AgreementSchema, load_default=None)
    transfer = fields.Nested(TransferSchema, load_default=None)
    clause = _clause()


class GroundSchema(_Entry):
    makes = words.Ground
    id = _identifier(required=True)
    label = _text(required=True)
    requires = _identifiers(at_least=1, required=True)
    clause = _clause()


class GrantKindSchema(_Entry):
    makes = words.GrantKind
    id = _identifier(required=True)
    label = _text(required=True)
    workflow = _identifier(required=True)
    condition = _word(
        words.Condition, required=True, validate=validate.OneOf(sorted(words.GRANTED))
    )
    to = _identifier(required=True)
    asked_by = _identifiers(load_default=list)
    given_by = _identifiers(at_least=1, required=True)
    beside = _words(words.Condition, load_default=list)
    hours = fields.Int(required=True, strict=True, validate=validate.Range(1, 10_000))
    agents = fields.Int(load_default=None, strict=True, validate=validate.Range(1, 100))
    grounds = _identifiers(load_default=list)
    clause = _clause()


class RightRuleSchema(_Entry):
    makes = words.RightRule
    rights = _identifiers(at_least=1, required=True)
    subject = _identifier(required=True)
    roles = _identifiers(at_least=1, required=True)
    condition = _word(words.Condition, required=True)
    outcome = _word(words.RightOutcome, required=True)
    purpose = _identifier(required=True)
    clause = _clause()


class DeadlineSchema(_Entry):
    makes = words.Deadline
    months = fields.Int(required=True, strict=True, validate=validate.Range(1, 12))
    extension_months = fields.Int(required=True, strict=True, validate=validate.Range(0, 12))
    archive_days = fields.Int(required=True, strict=True, validate=validate.Range(1, 90))
    clause = _clause()


class CommitmentSchema(_Entry):
    makes = words.Commitment
    says = _text(required=True)
    clause = _clause()
    parameters = fields.Dict(keys=fields.Str(), values=fields.Raw(), load_default=dict)


class ContactSchema(_Entry):
    makes = words.Contact
    name = _text(required=True)
    address = _text(required=True)
    email = fields.Email(required=True)
    phone = _text(required=True)
    clause = _clause()


class HeaderSchema(Schema):
    class Meta:
        unknown = RAISE

    name = _text(required=True)
    version = _text(required=True)
    publisher = _text(required=True)
    source = _text(required=True)


TABLES: Mapping[str, type[_Entry]] = {
    "categories": CategorySchema,
    "conditions": ConditionSchema,
    "roles": RoleSchema,
    "purposes": PurposeSchema,
    "recipient_kinds": RecipientKindSchema,
    "recipients": RecipientSchema,
    "grounds": GroundSchema,
    "grant_kinds": GrantKindSchema,
    "commitments": CommitmentSchema,
}
"""Sections that map an id to an entry; the id is written once, as the key."""
LISTS: Mapping[str, type[_Entry]] = {
    "rules": RuleSchema,
    "prohibitions": ProhibitionSchema,
    "rights": RightRuleSchema,
}
"""Sections that are lists of entries."""
SINGLES: Mapping[str, type[Schema]] = {
    "policy": HeaderSchema,
    "contact": ContactSchema,
    "deadline": DeadlineSchema,
}
"""Sections of which there is one."""
PLAIN = frozenset({"clauses", "regions", "subjects"})
"""Sections of names with a text or a list."""
KEYED_BY_ID = frozenset(
    {"categories", "roles", "purposes", "recipient_kinds", "recipients", "grounds", "grant_kinds"}
)
"""Tables whose entries carry their own key as `id`."""
