"""Whatever tables, keys and labels there are, people are shown and leave behind what a naive reading of the labels says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from ownership import KINDS, fresh_database, policy_document
from sqlalchemy import ForeignKey, Integer, String, create_engine, event, insert, select, update
from sqlalchemy.orm import Session, mapped_column
from sqlalchemy.pool import StaticPool

from flask_lgprivacy import (
    EVERYTHING,
    belongs_to,
    clear,
    concerns,
    delete_row,
    not_personal,
    owner,
    owns,
    refers,
    shares,
    subject,
)
from flask_lgprivacy.errors import ModelInvalid
from flask_lgprivacy.orm.graph_checks import build_ownership_graph
from flask_lgprivacy.orm.row_search import RowSearch
from flask_lgprivacy.policy.loader import parse_policy
from flask_lgprivacy.rights.erasure_plan import ErasurePlan, find_people

POLICY = parse_policy(policy_document(), source="generated")
EXAMPLES = int(os.environ.get("LGPRIVACY_GENERATED_SCHEMAS", "150"))
FIELDS = ("id", "a", "b")
LABELS = {"owner": owner, "concerns": concerns, "owns": owns, "shares": shares}
Row = tuple[str, int]


@dataclass(frozen=True)
class Key:
    """A labelled key of a generated table."""

    name: str
    target: str
    meaning: str
    shows: frozenset[str] | None
    action: str
    cleared: bool

    @property
    def is_turned(self) -> bool:
        return self.meaning in ("owns", "shares")


@dataclass
class Schema:
    """Tables by name, each with its keys; people's tables first."""

    people: list[str]
    keys: dict[str, list[Key]]
    rows: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)


@st.composite
def schemas(draw: Any) -> Schema:
    people = [f"p{number}" for number in range(draw(st.integers(1, 2)))]
    others = [f"t{number}" for number in range(draw(st.integers(1, 4)))]
    keys: dict[str, list[Key]] = {}
    for table in people + others:
        is_person = table in people
        count = draw(st.integers(0, 1) if is_person else st.integers(1, 3))
        keys[table] = [
            Key(
                name=f"k{number}",
                target=draw(st.sampled_from(people if is_person else people + others)),
                meaning=draw(
                    st.sampled_from(
                        ["owner", "concerns", "refers"]
                        if is_person
                        else ["owner", "owner", "owner", "concerns", "owns", "shares", "refers"]
                    )
                ),
                shows=draw(
                    st.one_of(
                        st.none(), st.frozensets(st.sampled_from(FIELDS), min_size=0, max_size=3)
                    )
                ),
                action=draw(st.sampled_from(["clear", "clear", "clear", "delete"])),
                cleared=draw(st.booleans()),
            )
            for number in range(count)
        ]
    schema = Schema(people, keys)
    for table in people + others:
        ids = range(1, draw(st.integers(1, 4 if table in people else 5)) + 1)
        schema.rows[table] = {one: {"id": one, "a": "a", "b": "b"} for one in ids}
    for table, table_keys in keys.items():
        for row in schema.rows[table].values():
            for key in table_keys:
                choices = [None, *schema.rows[key.target]]
                row[key.name] = draw(st.sampled_from(choices))
    return schema


# --- a naive reading of the labels ---


class Reading:
    """What labels say, worked out over sets of rows and again from the start at each step."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = {(table, one) for table, rows in schema.rows.items() for one in rows}

    def edges(self, rows: set[Row]) -> list[tuple[Row, Row, str, Key]]:
        """(over which row, which row, the key's table, the key) for every key that gives a right."""
        found = []
        for table, keys in self.schema.keys.items():
            for one, values in self.schema.rows[table].items():
                for key in keys:
                    held, led = (table, one), (key.target, values[key.name])
                    if key.meaning == "refers" or held not in rows or led not in rows:
                        continue
                    over, about = (held, led) if key.is_turned else (led, held)
                    found.append((over, about, table, key))
        return found

    def owners(self, rows: set[Row]) -> set[tuple[Row, Row]]:
        """Pairs of a person and a row that is theirs."""
        pairs = {(row, row) for row in rows if row[0] in self.schema.people}
        while True:
            more = {
                (person, about)
                for over, about, _, key in self.edges(rows)
                if key.meaning in ("owner", "owns")
                for person, owned in pairs
                if owned == over
            } - pairs
            if not more:
                return pairs
            pairs |= more

    def comes(self, rows: set[Row]) -> set[tuple[Row, Row]]:
        """Pairs of a person and a row that is theirs, or that they are shown."""
        owned = self.owners(rows)
        pairs = set(owned)
        while True:
            more = {
                (person, about)
                for over, about, _, _ in self.edges(rows)
                for person, reached in pairs
                if reached == over
                and (over[0] not in self.schema.people or (person, over) in owned)
            } - pairs
            if not more:
                return pairs
            pairs |= more

    def over(self, person: Row, row: Row) -> list[tuple[str, Key]]:
        """The keys over which a person comes to a row."""
        comes, owned = self.comes(self.rows), self.owners(self.rows)
        if row == person:
            return []
        return [
            (table, key)
            for over, about, table, key in self.edges(self.rows)
            if about == row
            and (person, over) in comes
            and (over[0] not in self.schema.people or (person, over) in owned)
        ]

    def shown(self, person: Row) -> dict[Row, frozenset[str] | None]:
        """The rows that a person is shown, each with the fields; None for all."""
        result: dict[Row, frozenset[str] | None] = {}
        for who, row in self.comes(self.rows):
            if who == person:
                limits = [key.shows for _, key in self.over(person, row) if key.shows is not None]
                if frozenset() not in limits:
                    result[row] = frozenset.intersection(*limits) if limits else None
        return result

    def erased(self, person: Row) -> dict[str, dict[int, dict[str, Any]]]:
        """The rows that are there after a person was erased."""
        people = {person}
        while True:
            gone = self._gone(people)
            with_them = {row for row in gone if row[0] in self.schema.people} - people
            if not with_them:
                return self._without(gone, people)
            people |= with_them

    def _gone(self, people: set[Row]) -> set[Row]:
        gone = set(people)
        owned = {row for who, row in self.owners(self.rows) if who in people}
        while True:
            taken = {
                row for row, keys in self._acting(people, gone).items() if any(key.action == "delete" for key in keys)
            } - gone  # fmt: skip
            if not taken:
                alive = {row for _, row in self.owners(self.rows - gone)}
                reached = {row for who, row in self.comes(self.rows) if who in people}
                lost = {
                    about
                    for over, about, _, key in self.edges(self.rows)
                    if key.meaning in ("owner", "owns") and over in gone
                }
                taken = {
                    row
                    for row in reached - gone
                    if row not in alive and (row in owned or row in lost)
                }
            if not taken:
                return gone
            gone |= taken

    def _acting(self, people: set[Row], gone: set[Row]) -> dict[Row, list[Key]]:
        """By row, the keys that say what becomes of it: they come from what is the people's, or goes."""
        owned = {row for who, row in self.owners(self.rows) if who in people}
        acting: dict[Row, list[Key]] = {}
        for who in people:
            for row in {row for other, row in self.comes(self.rows) if other == who} - people:
                for over, about, _, key in self.edges(self.rows):
                    comes = (who, over) in self.comes(self.rows)
                    passes = over[0] not in self.schema.people or (who, over) in self.owners(
                        self.rows
                    )
                    if about == row and comes and passes and (over in owned or over in gone):
                        acting.setdefault(row, []).append(key)
        return acting

    def _without(self, gone: set[Row], people: set[Row]) -> dict[str, dict[int, dict[str, Any]]]:
        acting = self._acting(people, gone)
        result: dict[str, dict[int, dict[str, Any]]] = {}
        for table, rows in self.schema.rows.items():
            result[table] = {}
            for one, values in rows.items():
                if (table, one) in gone:
                    continue
                after = dict(values)
                for key in self.schema.keys[table]:
                    if (key.target, after[key.name]) in gone:
                        after[key.name] = None
                if any(
                    key.cleared and key.action == "clear" for key in acting.get((table, one), [])
                ):
                    after["b"] = None
                result[table][one] = after
        return result


# --- the same over the package ---


def label(key: Key) -> dict[str, Any]:
    if key.meaning == "refers":
        return refers()
    action = delete_row() if key.action == "delete" else clear(*(["b"] if key.cleared else []))
    shows = EVERYTHING if key.shows is None else key.shows
    return LABELS[key.meaning](shows=shows, on_erasure=action)


def models_of(schema: Schema) -> Any:
    db = fresh_database()
    db.made = {}
    for table, keys in schema.keys.items():
        kind = KINDS[schema.people.index(table)] if table in schema.people else None
        body: dict[str, Any] = {
            "__tablename__": table,
            "__module__": __name__,
            "__privacy__": belongs_to() if kind is None else subject(kind),
            "id": mapped_column(Integer, primary_key=True),
            "a": not_personal("generated", String(1), nullable=True),
            "b": not_personal("generated", String(1), nullable=True),
        }
        for key in keys:
            body[key.name] = mapped_column(ForeignKey(f"{key.target}.id"), info=label(key))
        db.made[table] = type(table.upper(), (db.Model,), body)
    return db


NO_KEYS: Any = None
"""Nothing is sealed in the generated schemas."""


@given(schemas())
@settings(max_examples=EXAMPLES, deadline=None)
def test_people_are_shown_and_leave_what_the_labels_say(schema: Schema) -> None:
    db = models_of(schema)
    mappers = [model.__mapper__ for model in db.made.values()]
    try:
        graph = build_ownership_graph(mappers, POLICY)
    except ModelInvalid as refused:
        assert "leads to" in str(refused)
        return
    reading = Reading(schema)
    for table, one in [(name, one) for name in schema.people for one in schema.rows[name]]:
        with FilledSession(db, schema) as session:
            kind = KINDS[schema.people.index(table)]
            person = find_people(session, graph, kind, [str(one)])
            shown: dict[Row, frozenset[str] | None] = {
                (row.table.name, row.key[0]): row.shown_fields()
                for row in RowSearch(session, graph).reached_by(person)
                if not row.is_left_out
            }
            for direct in graph.direct_tables:
                if graph.owner_of_direct(direct).target is db.metadata.tables[table]:
                    rows = RowSearch(session, graph).reached_directly(direct, person)
                    shown.update({(direct.name, row.key[0]): None for row in rows})
            assert shown == reading.shown((table, one))
            ErasurePlan(session, graph, NO_KEYS, person).carry_out()
            session.commit()
            assert stored(db, session) == reading.erased((table, one))


class FilledSession(Session):
    """A session on a database of its own that holds the rows of a schema, with foreign keys that hold."""

    def __init__(self, db: Any, schema: Schema) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        event.listen(
            engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON")
        )
        db.metadata.create_all(engine)
        with engine.begin() as connection:
            for table, rows in schema.rows.items():
                names = [key.name for key in schema.keys[table]]
                for row in rows.values():
                    values = {name: value for name, value in row.items() if name not in names}
                    connection.execute(insert(db.metadata.tables[table]).values(values))
            for table, rows in schema.rows.items():
                made = db.metadata.tables[table]
                for one, row in rows.items():
                    values = {key.name: row[key.name] for key in schema.keys[table]}
                    if values:
                        connection.execute(update(made).where(made.c.id == one).values(values))
        super().__init__(engine)
        self._engine = engine

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._engine.dispose()


def stored(db: Any, session: Session) -> dict[str, dict[int, dict[str, Any]]]:
    return {
        name: {row["id"]: dict(row) for row in session.execute(select(table)).mappings()}
        for name, table in db.metadata.tables.items()
        if not name.startswith("lgprivacy")
    }
