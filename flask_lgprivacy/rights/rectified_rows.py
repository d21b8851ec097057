"""Rows of a person, besides their own, of which fields are rectified: named `Model/key/field`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..errors import RequestInvalid
from ..gate.runtime import Runtime
from ..orm.columns import coerce, matches_any_id
from ..orm.model_info import ModelInfo
from ..orm.row_people import RowPeople

SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class RectifiedRow:
    """A row of which a field is to be rectified.

    Attributes:
        layout: Its class.
        key: Its identifier, as the column holds it.
    """

    layout: ModelInfo
    key: Any

    def load(self, session: Session) -> Any:
        """The row, read again; raises `RequestInvalid` where it is gone."""
        is_it = self.layout.column(self.layout.key) == self.key
        query: Select[Any] = select(self.layout.model).where(is_it)
        query = query.execution_options(populate_existing=True)
        row = session.execute(query).scalar_one_or_none()
        if row is None:
            raise _no_such_row(self.layout.name)
        return row


def find_row(
    runtime: Runtime, session: Session, subject: SubjectRef, name: str
) -> tuple[RectifiedRow, str]:
    """The row and the field that a change names.

    Args:
        runtime: The application's.
        session: On the data.
        subject: Who asks that it be changed, or for whom it is asked.
        name: `Model/key/field`.

    Raises:
        RequestInvalid: There is no such row of theirs, or no label lets them change the field.
    """
    model, _, rest = name.partition(SEPARATOR)
    text, _, field = rest.rpartition(SEPARATOR)
    layout = next((one for one in runtime.models.graph.models if one.name == model), None)
    if layout is None or layout.is_subject:
        known = ", ".join(sorted(one.name for one in runtime.models.graph.models))
        raise RequestInvalid(f"changes: no model is called so; there are {known}")
    primary, key = list(layout.table.primary_key.columns), layout.identifier
    if len(primary) != 1 and key in primary:
        raise RequestInvalid(f"changes: rows of {layout.name} have a key of several columns")
    try:
        matching = matches_any_id(key, [str(coerce(key, text))])
    except (TypeError, ValueError):
        raise _no_such_row(layout.name) from None
    found = session.execute(select(key, *primary).where(matching)).first()
    if found is None:
        raise _no_such_row(layout.name)
    row_key = tuple(found[1:])
    people = RowPeople(runtime.models, lambda: session).now(session, layout.table, [row_key])
    person = next((one for one in people.get(row_key, ()) if one.subject == subject), None)
    if person is None or not person.is_owner:
        raise _no_such_row(layout.name)
    if field not in person.rectifies:
        possible = ", ".join(sorted(person.rectifies)) or "none"
        raise RequestInvalid(f"changes: of this {layout.name} they may have rectified: {possible}")
    member = next(
        one
        for one in layout.family()
        if session.execute(select(key).where(matching, one.is_exactly())).first() is not None
    )
    return RectifiedRow(member, found[0]), field


def _no_such_row(model: str) -> RequestInvalid:
    return RequestInvalid(f"changes: there is no such {model} of this person")
