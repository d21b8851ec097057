"""Rectification: fields of a subject get new values (GDPR Art. 16)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..errors import RequestConflict, RequestInvalid, TooManyRequests
from ..gate.runtime import Runtime
from ..orm.codec import encode_fields, from_json
from ..orm.columns import field_type, matches_any_id, subject_column
from ..orm.hidden_values import HiddenValues
from ..orm.model_info import ModelInfo
from ..policy.model import Action, Right
from .handler import Outcome, RightsCase, exportable_categories
from .rectified_rows import SEPARATOR, find_row
from .requests import RequestRepository

MOST_GUESSES = 10
"""How often somebody rectifies an indexed field of one subject within `GUESSING_PERIOD`: a refusal
says that a value is taken.
"""
GUESSING_PERIOD = dt.timedelta(days=1)


class RectificationHandler:
    """`rectify`: checks the changes against the model, and writes them in one flush."""

    name = Right.RECTIFY.value
    actions = frozenset({Action.READ, Action.WRITE})

    def categories(self, runtime: Runtime, kind: str) -> frozenset[str]:
        """Everything but credentials."""
        return exportable_categories(runtime, kind)

    def check_changes(
        self, runtime: Runtime, session: Session, subject: SubjectRef, changes: HiddenValues
    ) -> HiddenValues:
        """The changes as Python values.

        Raises:
            RequestInvalid: Names the field that cannot be changed so.
            TooManyRequests: What must be unique was changed too often today.
        """
        if not changes:
            raise RequestInvalid("changes: name at least one field with its new value")
        own = class_of_subject(session, runtime.models.graph.subjects[subject[0]], subject[1])
        categories = self.categories(runtime, subject[0])
        checked = {}
        for name in changes:
            layout, field = own, name
            if SEPARATOR in name:
                row, field = find_row(runtime, session, subject, name)
                layout = row.layout
            checked[name] = _checked_value(layout, field, changes[name], categories)
        if not own.indexes.keys().isdisjoint(checked):
            _refuse_guessing(runtime, session, subject)
        return HiddenValues(checked)

    def carry_out(self, case: RightsCase) -> Outcome:
        """Write the new values; what must be unique and is taken is a conflict."""
        runtime, session, subject = case.runtime, case.session, case.request.subject
        own = case.subject_row()
        for name in case.changes:
            row, field = own, name
            if SEPARATOR in name:
                found, field = find_row(runtime, session, subject, name)
                row = found.load(session)
            setattr(row, field, case.changes[name])
        try:
            session.flush()
        except IntegrityError:
            raise RequestConflict("a value must be unique and is taken", is_final=True) from None
        session.commit()
        layout = runtime.models.graph.subjects[subject[0]]
        return Outcome("completed", {"fields": sorted(case.changes), "model": layout.name})


def _checked_value(layout: ModelInfo, name: str, value: Any, categories: Collection[str]) -> Any:
    """A change as a Python value; raises `RequestInvalid`."""
    if layout.category_of(name) not in categories:
        possible_fields = sorted(
            field for field in layout.labelled if layout.category_of(field) in categories
        )
        raise RequestInvalid(
            f"changes: {layout.name} has no field of this name that can be rectified; it "
            f"has {', '.join(possible_fields)}"
        )
    field = field_type(layout, name)
    checked = from_json(field.python, value, name)
    try:
        field.check(checked, name)
    except TypeError as error:
        raise RequestInvalid(str(error)) from None
    encode_fields({name: checked}, name)
    return checked


def class_of_subject(session: Session, layout: ModelInfo, subject_id: str) -> ModelInfo:
    """The model or subclass of which a subject's row is."""
    if not layout.children:
        return layout
    is_subject = matches_any_id(subject_column(layout), [subject_id])
    query = select(subject_column(layout))
    return next(
        (
            member
            for member in layout.family()
            if session.execute(query.where(is_subject, member.is_exactly())).first() is not None
        ),
        layout,
    )


def _refuse_guessing(runtime: Runtime, session: Session, subject: SubjectRef) -> None:
    """Limit how often somebody learns, by rectifying what must be unique, whether a value is
    taken.
    """
    requests = RequestRepository(runtime.database.tables, runtime.policy, runtime.utcnow)
    since = runtime.utcnow() - GUESSING_PERIOD
    if requests.count(session, Right.RECTIFY, subject, since=since) >= MOST_GUESSES:
        raise TooManyRequests(
            f"such a field is rectified {MOST_GUESSES} times in {GUESSING_PERIOD.days} day at "
            "most; try again tomorrow"
        )
