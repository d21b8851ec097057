"""Usage statistics identify nobody: nothing but declared words is counted, and no report, or two, says anything of a small group (LG-05)."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from school import CANARY, Backend, Student, add_school, close, db, make_backend
from sqlalchemy import select, text

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.errors import ConfigurationError, RequestInvalid, UsageRefused
from flask_lgprivacy.policy import load_policy
from flask_lgprivacy.testing import acting_as, captured_trail
from flask_lgprivacy.usage.aggregation import publishable
from flask_lgprivacy.usage.events import parse_usage

EVENTS = {
    "lesson.completed": {"by": "student", "dimensions": {"level": ["CP", "CE1", "CE2"]}},
    "page.opened": {"by": "account"},
}
DAY = dt.date(2026, 11, 2)


class Clock:
    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 2, 8, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(tmp_path: Path, clock: Clock) -> Iterator[Backend]:
    made = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=clock), LGPRIVACY_USAGE=EVENTS)
    with made.app.app_context():
        yield made
    close(made)


def completed(backend: Backend, school: UUID, times: int, level: str = "CP") -> None:
    backend.privacy.usage.count("lesson.completed", client=school, times=times, level=level)


def test_what_is_counted_is_reported_by_what_was_declared(backend: Backend, clock: Clock) -> None:
    add_school(backend, 12)
    large = backend.schools[2]
    completed(backend, large, 30)
    completed(backend, large, 20, "CE1")
    clock.now += dt.timedelta(days=1)
    usage = backend.privacy.usage
    assert usage.report("lesson.completed", by=["level"]).rows == (
        {"level": "CE1", "count": 20},
        {"level": "CP", "count": 30},
    )
    assert usage.report("lesson.completed", by=["client", "month"]).rows == (
        {"client": large.hex, "month": "2026-11", "count": 50},
    )
    assert usage.report("lesson.completed", since=DAY, until=DAY).total == 50
    assert usage.report("lesson.completed", since=DAY + dt.timedelta(days=1)).total == 0


def test_today_is_in_no_report(backend: Backend) -> None:
    add_school(backend, 12)
    completed(backend, backend.schools[2], 30)
    assert backend.privacy.usage.report("lesson.completed").total == 0


@pytest.mark.parametrize(
    ("event", "more"),
    [
        ("undeclared.event", {}),
        ("lesson.completed", {}),
        ("lesson.completed", {"level": CANARY}),
        ("lesson.completed", {"level": "CP", "student": CANARY}),
        ("lesson.completed", {"level": "CP", "times": 0}),
        ("lesson.completed", {"level": "CP", "times": True}),
        ("lesson.completed", {"level": "CP", "times": 10**30}),
        ("lesson.completed", {"level": "CP", "client": CANARY}),
        ("lesson.completed", {"level": ["CP"]}),
        (CANARY, {"level": "CP"}),
        (7, {}),
    ],
)
def test_what_is_not_declared_is_refused_without_its_value(
    backend: Backend, event: Any, more: Any
) -> None:
    with (
        captured_trail(backend.app) as trail,
        pytest.raises(UsageRefused) as refused,
        backend.reading(),
    ):
        backend.privacy.usage.count(event, **more)
    assert (refused.value.clause, CANARY in str(refused.value) + repr(trail.events)) == (
        "LG-05",
        False,
    )
    assert trail.events[-1].refused[0].code == "usage-refused"
    assert db.session.execute(select(backend.runtime.database.tables.usage)).all() == []


def test_a_labelled_value_is_refused(backend: Backend) -> None:
    with backend.reading():
        row: Any = db.session.get(Student, backend.students[backend.schools[0]][0])
        for value in (row.first_name, str(row.id), row, row.id):
            with pytest.raises(UsageRefused):
                backend.privacy.usage.count("lesson.completed", level=value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"Lesson Completed": {"by": "student"}}, "an event is named like lesson.completed"),
        ({"lesson.completed": {"by": "robot"}}, "takes by"),
        ({"lesson.completed": {"by": "student", "who": []}}, "takes by"),
        ({"lesson.completed": {"by": "student", "dimensions": {"client": ["a"]}}}, "but not client"),
        ({"lesson.completed": {"by": "student", "dimensions": {"level": []}}}, "at most 50 values"),
        ({"lesson.completed": {"by": "student", "dimensions": {"level": [str(n) for n in range(51)]}}}, "at most 50 values"),
        ({"lesson.completed": {"by": "student", "dimensions": {"level": ["jane@school.example"]}}}, "could be an identifier"),
        ({"lesson.completed": {"by": "student", "dimensions": {"level": ["f1d3ff84-4329-4732-866c-4f1a4a3b2c10"]}}}, "could be an identifier"),
        ({"lesson.completed": {"by": "student", "dimensions": {"religion": ["a"]}}}, "sensitive data are not collected"),
        ({"lesson.completed": {"by": "student", "dimensions": {name: ["a"] for name in "abcdef"}}}, "at most 5 dimensions"),
    ],
)  # fmt: skip
def test_an_event_that_could_name_somebody_stops_the_start(given: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_usage(given, load_policy())


# --- one school has one student: the attack ---


def test_nothing_of_the_only_student_of_a_school_is_in_any_report_or_any_two(
    backend: Backend, clock: Clock
) -> None:
    """The same world with and without the only student's lessons: every report that anybody can ask for is the same."""
    add_school(backend, 15)
    add_school(backend, 1)
    add_school(backend, 11)
    large, tiny, middle = backend.schools[2:]
    for day in range(4):
        completed(backend, large, 40 + day)
        completed(backend, middle, 12, "CE1")
        completed(backend, middle, 3, "CE2")
        clock.now += dt.timedelta(days=1)
    without = every_report(backend)
    table = backend.runtime.database.tables.usage
    for day, times in ((0, 1), (1, 9), (2, 25), (3, 500)):
        clock.now = dt.datetime(2026, 11, 2 + day, 12, tzinfo=dt.UTC)
        completed(backend, tiny, times)
    clock.now = dt.datetime(2026, 11, 20, 8, tzinfo=dt.UTC)
    assert db.session.execute(select(table).where(table.c.client == tiny.hex)).all()
    assert every_report(backend) == without
    assert tiny.hex not in json.dumps(without)


def every_report(backend: Backend) -> dict[str, Any]:
    """Every report over every range of days, by everything."""
    possible = ("day", "month", "client", "level")
    found = {}
    for size in range(len(possible) + 1):
        for by in itertools.combinations(possible, size):
            for first, last in itertools.combinations_with_replacement(range(5), 2):
                since, until = DAY + dt.timedelta(days=first), DAY + dt.timedelta(days=last)
                report = backend.privacy.usage.report(
                    "lesson.completed", by=by, since=since, until=until
                )
                found[f"{by} {since} {until}"] = [list(report.rows), report.total]
    return found


def test_a_school_that_was_small_at_any_moment_of_a_day_is_not_shown_for_that_day(
    backend: Backend, clock: Clock
) -> None:
    ids = add_school(backend, 9)
    grows = backend.schools[2]
    completed(backend, grows, 50)
    with backend.writing(2):
        db.session.add_all(
            [Student(school_id=grows, first_name=CANARY, last_name=CANARY) for _ in range(5)]
        )
        db.session.commit()
    completed(backend, grows, 50)
    clock.now += dt.timedelta(days=1)
    completed(backend, grows, 70)
    clock.now += dt.timedelta(days=1)
    assert len(ids) == 9
    assert backend.privacy.usage.report("lesson.completed", by=["day"]).rows == (
        {"day": "2026-11-03", "count": 70},
    )


def test_who_comes_after_the_count_does_not_hide_the_only_student(
    backend: Backend, clock: Clock
) -> None:
    add_school(backend, 1)
    tiny = backend.schools[2]
    with backend.writing(2):
        backend.privacy.usage.count("lesson.completed", level="CP", times=12)
        db.session.add_all(
            [Student(school_id=tiny, first_name=CANARY, last_name=CANARY) for _ in range(12)]
        )
        db.session.commit()
    clock.now += dt.timedelta(days=1)
    assert backend.privacy.usage.report("lesson.completed").total == 0


def test_students_that_were_rolled_back_are_no_people(backend: Backend, clock: Clock) -> None:
    add_school(backend, 1)
    tiny = backend.schools[2]
    with backend.writing(2):
        db.session.add_all(
            [Student(school_id=tiny, first_name=CANARY, last_name=CANARY) for _ in range(12)]
        )
        db.session.flush()
        db.session.rollback()
    completed(backend, tiny, 50)
    clock.now += dt.timedelta(days=1)
    assert backend.privacy.usage.report("lesson.completed").total == 0


def test_a_day_that_has_ended_stays_as_it_was(backend: Backend, clock: Clock) -> None:
    add_school(backend, 12)
    large = backend.schools[2]
    completed(backend, large, 20)
    with backend.reading(2):
        backend.privacy.usage.count("lesson.completed", level="CP", times=15)
        clock.now += dt.timedelta(days=1)
        before = backend.privacy.usage.report("lesson.completed", until=DAY).total
    assert backend.privacy.usage.report("lesson.completed", until=DAY).total == before == 20


CELLS = st.dictionaries(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["a", "b", "tiny"]), st.sampled_from(["x", "y", "z"])
    ),
    st.integers(1, 30),
    max_size=20,
)


@settings(max_examples=300, deadline=None)
@given(cells=CELLS, more=CELLS, threshold=st.integers(2, 15))
def test_no_atom_is_about_a_small_group(cells: Any, more: Any, threshold: int) -> None:
    """Whatever is counted, an atom has enough people and counts, and a tiny client changes none."""
    people = {
        (DAY + dt.timedelta(days=day), client): (1 if client == "tiny" else threshold)
        for day in range(3)
        for client in "ab"
    }
    people |= {(DAY + dt.timedelta(days=day), "tiny"): 1 for day in range(3)}

    def atoms(counted: Any) -> Any:
        rows = [
            (DAY + dt.timedelta(days=day), client, (("level", level),), times)
            for (day, client, level), times in counted.items()
        ]
        return sorted(publishable(rows, people, threshold=threshold), key=repr)

    found = atoms(cells)
    assert all(atom.count >= threshold and atom.client != "tiny" for atom in found)
    tiny = {cell: times for cell, times in more.items() if cell[1] == "tiny"}
    assert atoms({**cells, **tiny}) == atoms(
        {cell: times for cell, times in cells.items() if cell[1] != "tiny"}
    )


def test_small_cells_of_a_large_school_are_shown_together_or_not_at_all() -> None:
    people = {(DAY, "a"): 10}
    rows = [
        (DAY, "a", (("level", "x"),), 4),
        (DAY, "a", (("level", "y"),), 7),
        (DAY, "a", (("level", "z"),), 30),
    ]
    assert sorted(
        (atom.dimensions, atom.count)
        for atom in publishable(rows, people, threshold=10)
        if atom.dimensions
    ) == [((("level", "z"),), 30)]
    assert [
        atom.count for atom in publishable(rows, people, threshold=10) if atom.dimensions is None
    ] == [11]
    assert [atom.count for atom in publishable(rows[:1], people, threshold=10)] == []


# --- storing ---


def test_a_request_counts_when_it_ends_for_the_client_it_acts_for(backend: Backend) -> None:
    @backend.app.post("/done")
    @backend.privacy.handles(roles={"teacher"}, purpose="provide-service")
    def done() -> str:
        backend.privacy.usage.count("lesson.completed", level="CE1")
        return "ok"

    with acting_as(backend.app, backend.teacher()):
        assert backend.app.test_client().post("/done").status_code == 200
    rows = db.session.execute(select(backend.runtime.database.tables.usage)).all()
    assert [(row.client, row.dimensions, row.times) for row in rows] == [
        (backend.schools[0].hex, "level=CE1", 1)
    ]
    assert list(backend.runtime.database.tables.usage.c.keys()) == [
        "day",
        "event",
        "client",
        "dimensions",
        "times",
    ]


def test_threads_count_everything_once(backend: Backend) -> None:
    def work() -> None:
        with backend.app.app_context():
            for _ in range(25):
                backend.privacy.usage.count(
                    "lesson.completed", client=backend.schools[0], level="CP"
                )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    backend.privacy.usage.store()
    assert (
        sum(db.session.execute(select(backend.runtime.database.tables.usage.c.times)).scalars())
        == 100
    )


def test_counts_wait_while_the_database_is_away(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    usage = backend.runtime.database.tables.usage
    db.session.execute(text(f"ALTER TABLE {usage.name} RENAME TO away"))
    db.session.commit()
    completed(backend, backend.schools[0], 3)
    assert "usage counts wait for the database" in caplog.text
    db.session.execute(text(f"ALTER TABLE away RENAME TO {usage.name}"))
    db.session.commit()
    completed(backend, backend.schools[0], 4)
    assert sum(db.session.execute(select(usage.c.times)).scalars()) == 7


def test_a_report_says_what_can_be_asked(backend: Backend) -> None:
    with pytest.raises(RequestInvalid, match="event: one of lesson.completed, page.opened"):
        backend.privacy.usage.report("lesson")
    with pytest.raises(
        RequestInvalid, match="by: must be one or more of day, month, client, level"
    ):
        backend.privacy.usage.report("lesson.completed", by=["student"])


def test_the_command_prints_counts(backend: Backend, clock: Clock) -> None:
    add_school(backend, 12)
    completed(backend, backend.schools[2], 30)
    clock.now += dt.timedelta(days=1)
    run = backend.app.test_cli_runner().invoke
    assert "event=lesson.completed" in run(args=["privacy", "usage"]).output
    out = run(args=["privacy", "usage", "lesson.completed", "--by", "level"]).output
    assert out.splitlines() == [
        "level=CP  count=30",
        "total 30; groups below 10 are in no row and in no total",
    ]
    assert (
        json.loads(run(args=["privacy", "usage", "lesson.completed", "--json"]).output)["total"]
        == 30
    )
    refused = run(args=["privacy", "usage", "lesson.completed", "--by", "student"])
    assert (refused.exit_code, "one or more of day" in refused.output) == (1, True)


def test_research_needs_no_more_than_the_counts() -> None:
    from flask_lgprivacy.policy import Action, Outcome, PolicyEngine

    decisions = PolicyEngine(load_policy())
    assert decisions.decide("job", "usage.statistics", Action.READ, "research-statistics").allowed
    for category in ("student.profile", "student.activity", "account.identity"):
        assert (
            decisions.decide("job", category, Action.READ, "research-statistics").outcome
            is not Outcome.ALLOWED
        )
    assert Actor("x", role="job").role == "job"
