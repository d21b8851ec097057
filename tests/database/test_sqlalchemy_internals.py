"""SQLAlchemy and Flask-SQLAlchemy still do what this package uses and they do not document."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    String,
    create_engine,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    Session,
    class_mapper,
    mapped_column,
)
from sqlalchemy.orm.attributes import get_history
from werkzeug.local import LocalProxy

from flask_lgprivacy.database.sqlalchemy_internals import (
    bind_key_of,
    default_of,
    forget_committed_values,
    is_flushing,
    is_of_unit_of_work,
    keep_history,
    positional_order,
    replace_attribute_class,
    state_of,
)


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "row"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str | None] = mapped_column(String)
    kept: Mapped[str | None] = mapped_column(String)
    shown: Mapped[str | None] = mapped_column(String)


@pytest.fixture
def engine() -> Engine:
    made = create_engine("sqlite://")
    Base.metadata.create_all(made)
    return made


def test_the_state_of_an_instance_is_what_inspect_returns() -> None:
    row = Row(id=1)
    assert state_of(row) is inspect(row)
    assert (state_of(row).key, state_of(row).session_id, state_of(row).modified) == (
        None,
        None,
        True,
    )


def test_the_state_is_reached_through_a_proxy() -> None:
    row = Row(id=1)
    assert state_of(LocalProxy(lambda: row)).mapper is inspect(Row)


def test_a_row_that_takes_the_place_of_a_deleted_one_is_written_with_its_columns(
    engine: Engine,
) -> None:
    with Session(engine) as session:
        session.add(Row(id=1, name="before", kept="before"))
        session.commit()
        session.delete(session.get(Row, 1))
        new = Row(id=1)
        session.add(new)
        new.__dict__["name"] = "after"
        forget_committed_values(new, ["name"])
        session.commit()
        assert session.scalars(select(Row.name)).one() == "after"


def test_a_kept_history_has_the_old_value_of_a_column_that_was_not_loaded() -> None:
    class Own(DeclarativeBase):
        pass

    class Keeping(Own):
        __tablename__ = "keeping"
        id: Mapped[int] = mapped_column(Integer, primary_key=True)
        kept: Mapped[str | None] = mapped_column(String)

    mapper = class_mapper(Keeping, configure=False)
    keep_history(mapper, mapper.columns["kept"])
    engine = create_engine("sqlite://")
    Own.metadata.create_all(engine)
    with Session(engine) as session:
        row = Keeping(id=1, kept="before")
        session.add(row)
        session.commit()
        row.kept = "after"
        assert get_history(row, "kept").deleted == ["before"]


def test_an_attribute_of_another_class_is_read_through_it(engine: Engine) -> None:
    class Shouting(InstrumentedAttribute[Any]):
        __slots__ = ()
        inherit_cache = True

        def __get__(self, instance: Any, owner: Any) -> Any:
            value = super().__get__(instance, owner)
            return value if instance is None else value.upper()

    replaced = replace_attribute_class(Row, "shown", Shouting)
    with Session(engine) as session:
        session.add(Row(id=1, shown="quietly"))
        session.commit()
        assert session.scalars(select(Row).where(replaced == "quietly")).one().shown == "QUIETLY"
        session.execute(update(Row).values(shown="still"))
        assert session.scalars(select(Row)).one().shown == "STILL"


def test_a_statement_of_a_flush_is_told_from_one_of_a_developer(engine: Engine) -> None:
    seen: list[bool] = []

    @event.listens_for(engine, "before_cursor_execute")
    def look(
        _connection: Any, _cursor: Any, _text: str, _values: Any, context: Any, _many: Any
    ) -> None:
        if context.isinsert:
            seen.append(is_of_unit_of_work(context.execution_options, Row))

    with Session(engine) as session:
        session.add(Row(id=1))
        session.commit()
        session.execute(insert(Row).values(id=2))
        session.commit()
    assert seen == [True, False]


def test_a_session_says_that_it_is_flushing(engine: Engine) -> None:
    seen: list[bool] = []
    with Session(engine) as session:
        event.listen(session, "before_flush", lambda *_: seen.append(is_flushing(session)))
        session.add(Row(id=1))
        seen.append(is_flushing(session))
        session.flush()
        seen.append(is_flushing(session))
    assert seen == [False, True, False]


@pytest.mark.parametrize("default", [uuid4, lambda: 7, lambda _context: 7, 7])
def test_a_default_is_called_without_a_context(default: Any) -> None:
    value = default_of(Column("x", Integer, default=default).default)
    assert value == 7 or value.version == 4


def test_the_order_of_parameters_is_known_where_a_driver_takes_them_by_place(
    engine: Engine,
) -> None:
    statement = select(Row).where(Row.name == "x", Row.id == 1)
    compiled = statement.compile(dialect=engine.dialect)
    assert positional_order(compiled) == ["name_1", "id_1"]


def test_a_table_knows_its_bind() -> None:
    app = Flask("binds")
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", SQLALCHEMY_BINDS={"keys": "sqlite://"})
    db = SQLAlchemy()

    class Here(db.Model):  # type: ignore[name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)

    class There(db.Model):  # type: ignore[name-defined]
        __bind_key__ = "keys"
        id: Mapped[int] = mapped_column(primary_key=True)

    db.init_app(app)
    assert (bind_key_of(Here.__table__), bind_key_of(There.__table__)) == (None, "keys")
