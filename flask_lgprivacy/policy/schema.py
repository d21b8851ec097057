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


def _described(description: str) -> dict[str, str]:
    """What the reference and editors say of a key."""
    return {"description": description}


def _identifier(description: str, **kwargs: Any) -> fields.Str:
    return fields.Str(validate=IDENTIFIER, metadata=_described(description), **kwargs)


def _identifiers(description: str, *, at_least: int = 0, **kwargs: Any) -> ListOf:
    return ListOf(
        fields.Str(validate=IDENTIFIER),
        validate=validate.Length(min=at_least),
        metadata=_described(description),
        **kwargs,
    )


def _clause() -> fields.Str:
    return fields.Str(
        required=True, validate=CLAUSE_ID, metadata=_described("The clause that says so.")
    )


def _word(kind: type[StrEnum], description: str, **kwargs: Any) -> fields.Enum[Any]:
    return fields.Enum(kind, by_value=True, metadata=_described(description), **kwargs)


def _words(kind: type[StrEnum], description: str, *, at_least: int = 0, **kwargs: Any) -> ListOf:
    return ListOf(
        fields.Enum(kind, by_value=True),
        validate=validate.Length(min=at_least),
        metadata=_described(description),
        **kwargs,
    )


def _text(description: str, **kwargs: Any) -> fields.Str:
    return fields.Str(validate=validate.Length(min=1), metadata=_described(description), **kwargs)


def _texts(description: str) -> ListOf:
    return ListOf(
        fields.Str(validate=validate.Length(min=1)),
        load_default=list,
        metadata=_described(description),
    )


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
    """How long a category is kept."""

    makes = words.Retention
    after = _identifier("The event from which the period is counted.", required=True)
    period = fields.Str(
        required=True,
        validate=PERIOD,
        metadata=_described("An ISO 8601 duration in years, months and days."),
    )
    clause = _clause()


class CategorySchema(_Entry):
    """A category of personal data; labels on columns name it."""

    makes = words.Category
    id = _identifier("Its name, written as the key.", required=True)
    label = _text("What it is called.", required=True)
    capacity = _word(
        words.Capacity,
        "In which capacity the publisher holds it: as controller, or as processor for the client.",
        required=True,
    )
    subjects = _identifiers("The kinds of subject that it is about.", at_least=1, required=True)
    bases = _words(
        words.Basis,
        "The lawful bases on which it may be processed (GDPR Art. 6(1)).",
        at_least=1,
        required=True,
    )
    region = fields.Str(
        required=True,
        metadata=_described("The region in which every store that may hold it stands."),
    )
    retention = fields.Nested(
        RetentionSchema, required=True, metadata=_described("How long it is kept.")
    )
    exportable = TrueOrFalse(
        load_default=True,
        metadata=_described(
            "Whether it may leave in an archive or be rectified; credentials do not."
        ),
    )
    allows = _words(
        words.Identifier,
        "Identifiers that its texts may hold, which are refused elsewhere.",
        load_default=list,
    )
    clause = _clause()


class ConditionSchema(_Entry):
    """How a condition is explained where it is missing."""

    makes = words.ConditionInfo
    missing = _text("What a refusal says.", required=True)
    clause = _clause()


class RoleSchema(_Entry):
    """A role that an actor may have."""

    makes = words.Role
    id = _identifier("Its name, written as the key.", required=True)
    label = _text("What it is called.", required=True)
    side = fields.Str(
        required=True,
        validate=validate.OneOf(["client", "publisher", "public"]),
        metadata=_described(
            "On whose side the actor stands: the client, the publisher or the public."
        ),
    )
    needs = _words(words.Condition, "Conditions that its rules never leave out.", load_default=list)
    clause = _clause()


class PurposeSchema(_Entry):
    """A purpose of processing."""

    makes = words.Purpose
    id = _identifier("Its name, written as the key.", required=True)
    label = _text("What it is called.", required=True)
    basis = _word(words.Basis, "The lawful basis on which it rests.", required=True)
    needs = _words(words.Condition, "Conditions that its rules never leave out.", load_default=list)
    texts = _texts("For consent: the versions of the text that still cover it.")
    clause = _clause()


class RuleSchema(_Entry):
    """Who may do what to which categories; what no rule allows is refused."""

    makes = words.Rule
    roles = _identifiers("The roles that may.", at_least=1, required=True)
    categories = _identifiers("What they may do it to.", at_least=1, required=True)
    actions = _words(words.Action, "What they may do.", at_least=1, required=True)
    purposes = _identifiers("For what.", at_least=1, required=True)
    conditions = ListOf(
        fields.Str(validate=validate.OneOf([*sorted(words.Condition), words.ANYBODY])),
        required=True,
        metadata=_described(
            "What has to hold, all of it. The list may be empty for what the publisher does itself "
            "and for what visitors send; elsewhere `anybody` alone says that nothing has to hold."
        ),
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
    """What nobody may do; prohibitions come before rules, and no grant lifts them. A matcher that
    is left out matches everything.
    """

    makes = words.Prohibition
    id = _identifier("Its name, written as the key.", required=True)
    says = _text("What a refusal says.", required=True)
    clause = _clause()
    roles = _identifiers("Roles to which it applies.", load_default=list)
    categories = _identifiers("Categories to which it applies.", load_default=list)
    actions = _words(words.Action, "Actions to which it applies.", load_default=list)
    purposes = _identifiers("Purposes to which it applies.", load_default=list)
    recipient_kinds = _identifiers("Kinds of recipient to which it applies.", load_default=list)
    except_roles = _identifiers("Roles to which it does not apply.", load_default=list)
    except_purposes = _identifiers("Purposes to which it does not apply.", load_default=list)
    except_recipient_kinds = _identifiers(
        "Kinds of recipient to which it does not apply.", load_default=list
    )
    terms = _texts(
        "Names that stand for what is prohibited; a longer name that begins or ends with one does "
        "too."
    )
    parts = ListOf(
        fields.Str(validate=validate.Length(min=SHORTEST_PART)),
        load_default=list,
        metadata=_described("Parts of words that stand for it wherever they are."),
    )
    whole_terms = _texts("Names that stand for it only as a whole.")
    except_terms = _texts("Names that do not stand for it.")
    vocabulary = fields.Str(
        load_default=None,
        validate=validate.OneOf(SHIPPED_VOCABULARIES),
        metadata=_described("A vocabulary that the package ships."),
    )

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
    """A kind of recipient."""

    makes = words.RecipientKind
    id = _identifier("Its name, written as the key.", required=True)
    label = _text("What it is called.", required=True)
    agreement_required = TrueOrFalse(
        required=True, metadata=_described("Whether an agreement must bind such a recipient.")
    )
    clause = _clause()


class AgreementSchema(_Entry):
    """The contract that binds a recipient (GDPR Art. 28(3))."""

    makes = words.Agreement
    reference = _text("Which contract.", required=True)
    since = TomlDate(required=True, metadata=_described("Since when it is in force."))


class TransferSchema(_Entry):
    """A transfer to a third country (GDPR Art. 44 to 49)."""

    makes = words.Transfer
    tool = _word(words.TransferTool, "The transfer tool.", required=True)
    reference = _text("Which decision or contract.", required=True)
    since = TomlDate(required=True, metadata=_described("Since when it is in force."))
    until = TomlDate(
        load_default=None, metadata=_described("Until when; left out where it has no end.")
    )


class RecipientSchema(_Entry):
    """Somebody outside who may receive data."""

    makes = words.Recipient
    id = _identifier("Its name, written as the key.", required=True)
    name = _text("Who it is.", required=True)
    kind = _identifier("Of the recipient kinds.", required=True)
    country = fields.Str(
        required=True,
        validate=validate.Regexp(r"^[A-Z]{2}$", error="use ISO 3166 alpha-2"),
        metadata=_described("Where it is, in two letters (ISO 3166-1)."),
    )
    hosts = ListOf(
        fields.Str(validate=HOST),
        required=True,
        metadata=_described("Where it is reached; `*.` stands for one label."),
    )
    categories = _identifiers("What it may receive.", at_least=1, required=True)
    purposes = _identifiers("For what.", at_least=1, required=True)
    agreement = fields.Nested(
        AgreementSchema, load_default=None, metadata=_described("The agreement that binds it.")
    )
    transfer = fields.Nested(
        TransferSchema,
        load_default=None,
        metadata=_described("The transfer tool, where its country is outside the region."),
    )
    clause = _clause()


class GroundSchema(_Entry):
    """An exceptional ground of disclosure."""

    makes = words.Ground
    id = _identifier("Its name, written as the key.", required=True)
    label = _text("What it is called.", required=True)
    requires = _identifiers("The details that each use needs.", at_least=1, required=True)
    clause = _clause()


class GrantKindSchema(_Entry):
    """A kind of grant."""

    makes = words.GrantKind
    id = _identifier("Its name, written as the key.", required=True)
    label = _text("What it is called.", required=True)
    workflow = _identifier(
        "How it comes about: `invitation`, `assistance`, `emergency`, or one that the application "
        "brings.",
        required=True,
    )
    condition = _word(
        words.Condition,
        "The condition that it meets.",
        required=True,
        validate=validate.OneOf(sorted(words.GRANTED)),
    )
    to = _identifier("The role of the grantee.", required=True)
    asked_by = _identifiers("Who opens a request for assistance.", load_default=list)
    given_by = _identifiers("Who gives it.", at_least=1, required=True)
    beside = _words(
        words.Condition,
        "Conditions that rules under this grant never leave out.",
        load_default=list,
    )
    hours = fields.Int(
        required=True,
        strict=True,
        validate=validate.Range(1, 10_000),
        metadata=_described("For how many hours at most."),
    )
    agents = fields.Int(
        load_default=None,
        strict=True,
        validate=validate.Range(1, 100),
        metadata=_described("How many people may be on the list on which the grantee has to be."),
    )
    grounds = _identifiers("The grounds on which an emergency is declared.", load_default=list)
    clause = _clause()


class RightRuleSchema(_Entry):
    """Who may exercise which right over whom."""

    makes = words.RightRule
    rights = _identifiers(
        "The rights: `export`, `delete`, `rectify`, or one that the application brings.",
        at_least=1,
        required=True,
    )
    subject = _identifier("The kind of subject.", required=True)
    roles = _identifiers("Who may ask.", at_least=1, required=True)
    condition = _word(words.Condition, "What has to hold.", required=True)
    outcome = _word(
        words.RightOutcome,
        "Whether the request is carried out, or passed on to the controller.",
        required=True,
    )
    purpose = _identifier("For what data is processed then.", required=True)
    clause = _clause()


class EndpointPurposeSchema(_Entry):
    """For what purpose a group of the package's own HTTP calls processes."""

    makes = words.EndpointPurpose
    purpose = _identifier("For what, of the purposes.", required=True)
    clause = _clause()


class DeadlineSchema(_Entry):
    """Until when a request is answered (GDPR Art. 12(3))."""

    makes = words.Deadline
    months = fields.Int(
        required=True,
        strict=True,
        validate=validate.Range(1, 12),
        metadata=_described("Within how many months."),
    )
    extension_months = fields.Int(
        required=True,
        strict=True,
        validate=validate.Range(0, 12),
        metadata=_described("By how many it may be extended."),
    )
    archive_days = fields.Int(
        required=True,
        strict=True,
        validate=validate.Range(1, 90),
        metadata=_described("For how many days an archive is kept."),
    )
    clause = _clause()


class CommitmentSchema(_Entry):
    """A clause that the code carries out, besides the rules."""

    makes = words.Commitment
    says = _text("What is committed.", required=True)
    clause = _clause()
    parameters = fields.Dict(
        keys=fields.Str(),
        values=fields.Raw(),
        load_default=dict,
        metadata=_described("What the code needs to know of it."),
    )


class ContactSchema(_Entry):
    """Whom to ask; every refusal says so."""

    makes = words.Contact
    name = _text("Who.", required=True)
    address = _text("The postal address.", required=True)
    email = fields.Email(required=True, metadata=_described("The e-mail address."))
    phone = _text("The telephone number.", required=True)
    clause = _clause()


class HeaderSchema(Schema):
    """What the document is."""

    class Meta:
        unknown = RAISE

    name = _text("Its name.", required=True)
    version = _text("Its version.", required=True)
    publisher = _text("Whose policy it is.", required=True)
    source = _text("Where the policy is published.", required=True)


TABLES: Mapping[str, type[_Entry]] = {
    "categories": CategorySchema,
    "conditions": ConditionSchema,
    "roles": RoleSchema,
    "purposes": PurposeSchema,
    "recipient_kinds": RecipientKindSchema,
    "recipients": RecipientSchema,
    "grounds": GroundSchema,
    "grant_kinds": GrantKindSchema,
    "endpoints": EndpointPurposeSchema,
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
MAY_BE_ABSENT = frozenset(
    {"conditions", "prohibitions", "recipient_kinds", "recipients", "grounds", "grant_kinds"}
)
"""Sections that a document leaves out which does not use them."""
SECTIONS: Mapping[str, str] = {
    "policy": "What the document is.",
    "contact": "Whom to ask; every refusal says so.",
    "clauses": "The clauses by id, each with what it says; every entry cites one.",
    "regions": "Regions by name, each a list of countries (ISO 3166-1).",
    "subjects": "Kinds of data subject by name, each with who that is.",
    "categories": "Categories of personal data by name; labels on columns name them.",
    "conditions": "How each condition that an entry asks for is explained where it is missing.",
    "roles": "Roles of actors by name.",
    "purposes": "Purposes of processing by name.",
    "rules": "Who may do what to which categories; what no rule allows is refused.",
    "prohibitions": "What nobody may do; prohibitions come before rules.",
    "recipient_kinds": "Kinds of recipient by name.",
    "recipients": "Those outside who may receive data, by name.",
    "grounds": "Exceptional grounds of disclosure by name.",
    "grant_kinds": "Kinds of grant by name.",
    "rights": "Who may exercise which right over whom.",
    "endpoints": "For what purpose the package's own HTTP calls process; rights have their own.",
    "deadline": "Until when a request is answered.",
    "commitments": "Clauses that the code carries out, besides the rules, by name.",
}
"""What each section is for, in the order in which a document is read."""
KEYED_BY_ID = frozenset(
    {"categories", "roles", "purposes", "recipient_kinds", "recipients", "grounds", "grant_kinds"}
)
"""Tables whose entries carry their own key as `id`."""
