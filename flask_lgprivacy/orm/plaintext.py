"""The plain text of rows that are not migrated into sealed records yet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import object_session
from sqlalchemy.orm.attributes import InstrumentedAttribute, set_committed_value
from sqlalchemy.orm.exc import DetachedInstanceError

from .model_info import VERSION_COLUMN, ModelInfo


def load_plaintext(instance: Any, layout: ModelInfo) -> dict[str, Any] | None:
    """The plain text of a row as the database holds it now; None where the row was sealed since it
    was loaded.

    Text, version and records come in one look: a reader who took them one after another would find
    neither where the row is sealed in between. Of a sealed row, the instance then has the
    records and the version.
    """
    session = object_session(instance)
    if session is None:
        raise DetachedInstanceError(
            f"a detached {layout.name} that is not sealed yet cannot be read"
        )
    mapper = inspect(type(instance))
    names = [VERSION_COLUMN, *layout.groups]
    taken = {
        name: attribute.property.columns[0] for name, attribute in layout.plaintext_columns.items()
    }
    key = mapper.columns[layout.key]
    query = select(*(mapper.columns[name] for name in names), *taken.values()).where(
        key == instance.__dict__[layout.key]
    )
    with session.no_autoflush:
        loaded = session.execute(query).one()
    if not loaded[0]:
        return dict(zip(taken, loaded[len(names) :], strict=True))
    for name, value in zip(names, loaded, strict=False):
        set_committed_value(instance, name, value)
    return None


def clear_plaintext(instance: Any, layout: ModelInfo) -> None:
    """Remove the plain text of a row at its next flush."""
    for attribute in layout.plaintext_columns.values():
        InstrumentedAttribute.__set__(
            attribute, instance, None
        )  # past PlaintextAttribute, which refuses
