"""Labels of foreign keys: what a key means for the person to whom it leads.

A row is somebody's (`owner`), is somebody else's and about or shared with them (`concerns`), or
only names them (`refers`). Where the key stands on the other side, its row owns (`owns`) or shows
(`shares`) the row to which it leads. Rows lead on: who owns a post owns the attachments whose key
to the post is labelled `owner`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from ..errors import ModelInvalid
from .registry import INFO_KEY


class Meaning(StrEnum):
    """What a key means for whoever it leads to."""

    OWNER = "owner"
    CONCERNS = "concerns"
    REFERS = "refers"
    OWNS = "owns"
    SHARES = "shares"


class AllFields(Enum):
    """Stands for every field of a row."""

    EVERYTHING = "everything"


EVERYTHING: Final = AllFields.EVERYTHING
"""Every field of a row, those that are added later too."""
Shown = Collection[str] | AllFields


@dataclass(frozen=True, slots=True)
class Clear:
    """The key and some fields become NULL."""

    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Keep:
    """The key stays, for a reason that the certificate tells; some fields become NULL."""

    reason: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteRow:
    """The row is deleted, whoever else it is about."""


OnErasure = Clear | Keep | DeleteRow


def clear(*fields: str) -> Clear:
    """When the person is erased, the key becomes NULL, and these fields of the row too.

    Args:
        fields: Names, as the row has them.
    """
    return Clear(fields)


def keep(reason: str, *, clears: Collection[str] = ()) -> Keep:
    """When the person is erased, the key stays; the certificate says how often, and why.

    Args:
        reason: Why it stays (GDPR Art. 17(3)).
        clears: Fields of the row that become NULL.

    Raises:
        ModelInvalid: There is no reason.
    """
    if not reason.strip():
        raise ModelInvalid("keep() needs the reason why the key stays when the person is erased")
    return Keep(reason, _names(clears, "clears"))


def delete_row() -> DeleteRow:
    """When the person is erased, the row is deleted, whoever else it is about."""
    return DeleteRow()


@dataclass(frozen=True, slots=True)
class KeyLabel:
    """One label: `shows` is None for every field, `leads_to` where the foreign key says it."""

    meaning: Meaning
    shows: frozenset[str] | None
    on_erasure: OnErasure
    leads_to: str | None = None
    when: tuple[tuple[str, Any], ...] = ()
    rectifies: frozenset[str] = frozenset()


def owner(
    *,
    shows: Shown = EVERYTHING,
    rectifies: Collection[str] = (),
    on_erasure: OnErasure = Clear(),
    leads_to: str | None = None,
    when: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The row belongs to whom the key leads to; it is deleted with its last owner.

    Args:
        shows: The fields that this owner is shown; none, and the row is left out for this owner.
        rectifies: The fields that this owner may have rectified.
        on_erasure: What becomes of the row when this owner is erased and another one is left.
        leads_to: "table.column", where the column has no foreign key that says it.
        when: Values of other columns under which the key has this meaning (`object_type`).

    Returns:
        The `info` of the column, or of a `ForeignKeyConstraint`.
    """
    return _info(Meaning.OWNER, shows, on_erasure, leads_to, when, rectifies)


def concerns(
    *,
    shows: Shown,
    on_erasure: OnErasure = Clear(),
    leads_to: str | None = None,
    when: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The row belongs to somebody else, and is about or shared with whom the key leads to.

    Args:
        shows: The fields that this person is shown, or `EVERYTHING`.
        on_erasure: What becomes of the row when this person is erased.
        leads_to: As of `owner`.
        when: As of `owner`.

    Returns:
        The `info` of the column, or of a `ForeignKeyConstraint`.
    """
    return _info(Meaning.CONCERNS, shows, on_erasure, leads_to, when)


def refers(
    *,
    on_erasure: Clear | Keep = Clear(),
    leads_to: str | None = None,
    when: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The key gives nobody a right to the row (`created_by`, `assigned_to`).

    Args:
        on_erasure: What becomes of the key when the row to which it leads is deleted.
        leads_to: As of `owner`.
        when: As of `owner`.

    Returns:
        The `info` of the column, or of a `ForeignKeyConstraint`.
    """
    return _info(Meaning.REFERS, (), on_erasure, leads_to, when)


def owns(
    *,
    shows: Shown = EVERYTHING,
    rectifies: Collection[str] = (),
    on_erasure: OnErasure = Clear(),
    leads_to: str | None = None,
    when: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The row to which the key leads belongs to whoever this row belongs to, or is.

    Args:
        shows: The fields of that row that they are shown.
        rectifies: The fields that they may have rectified.
        on_erasure: What becomes of that row when one of them is erased and another is left.
        leads_to: As of `owner`.
        when: As of `owner`.

    Returns:
        The `info` of the column, or of a `ForeignKeyConstraint`.
    """
    return _info(Meaning.OWNS, shows, on_erasure, leads_to, when, rectifies)


def shares(
    *,
    shows: Shown,
    on_erasure: OnErasure = Clear(),
    leads_to: str | None = None,
    when: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The row to which the key leads is shown to whoever this row belongs to.

    Args:
        shows: The fields of that row that they are shown, or `EVERYTHING`.
        on_erasure: What becomes of that row when one of them is erased.
        leads_to: As of `owner`.
        when: As of `owner`.

    Returns:
        The `info` of the column, or of a `ForeignKeyConstraint`.
    """
    return _info(Meaning.SHARES, shows, on_erasure, leads_to, when)


def one_of(*labels: Mapping[str, Any]) -> dict[str, Any]:
    """Several labels of one key, each with its `leads_to` and `when` (`object_type`, `object_id`).

    Args:
        labels: What `owner`, `concerns`, `refers`, `owns` or `shares` returned.

    Returns:
        The `info` of the column.
    """
    return {INFO_KEY: {"keys": tuple(key for label in labels for key in label[INFO_KEY]["keys"])}}


def no_personal_data(reason: str) -> dict[str, Any]:
    """A column of a table without a model that holds no personal data, and why.

    Args:
        reason: Why.

    Returns:
        The `info` of the column.

    Raises:
        ModelInvalid: There is no reason.
    """
    if not reason.strip():
        raise ModelInvalid("no_personal_data() needs the reason why the column holds none")
    return {INFO_KEY: {"reason": reason}}


def _info(
    meaning: Meaning,
    shows: Shown,
    on_erasure: OnErasure,
    leads_to: str | None,
    when: Mapping[str, Any] | None,
    rectifies: Collection[str] = (),
) -> dict[str, Any]:
    if not isinstance(on_erasure, Clear | Keep | DeleteRow):
        raise ModelInvalid(f"{meaning}(on_erasure=…) takes clear(…), keep(reason) or delete_row()")
    if meaning is Meaning.REFERS and isinstance(on_erasure, DeleteRow):
        raise ModelInvalid(
            "refers(on_erasure=…) takes clear() or keep(reason); a row that goes with the person "
            "concerns them: write concerns(shows=…, on_erasure=delete_row())"
        )
    shown = None if shows is EVERYTHING else frozenset(_names(shows, "shows"))
    label = KeyLabel(
        meaning,
        shown,
        on_erasure,
        leads_to,
        tuple((when or {}).items()),
        frozenset(_names(rectifies, "rectifies")),
    )
    return {INFO_KEY: {"keys": (label,)}}


def _names(names: Any, parameter: str) -> tuple[str, ...]:
    is_list = isinstance(names, Collection) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise ModelInvalid(f"{parameter}=… takes names of fields, such as ('title', 'sent_at')")
    return tuple(names)
