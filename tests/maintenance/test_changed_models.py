"""A model that is changed between deployments: nothing reads as None that was not None, and what cannot be read stops the start."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import IS_POSTGRESQL
from ownership import Application, fresh_database, start
from sqlalchemy import ForeignKey, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, belongs_to, find_by, owner, sealed, subject
from flask_lgprivacy.errors import (
    ConfigurationError,
    ModelInvalid,
    RecordOfAnotherModel,
    RequestInvalid,
    SealBroken,
)
from flask_lgprivacy.maintenance.layout_catalogue import LayoutCatalogue
from flask_lgprivacy.maintenance.model_reshaping import ModelReshaping
from flask_lgprivacy.maintenance.runner import MaintenanceRunner

IDENTITY = "account.identity"
Fields = dict[str, tuple[Any, Any]]
"""By name, the annotation and what makes the label."""
BLOB = "BYTEA" if IS_POSTGRESQL else "BLOB"


def plain(kind: Any, **options: Any) -> tuple[Any, Callable[[], Any]]:
    return Mapped[kind], lambda: sealed(options.pop("category", IDENTITY), **options)


FIRST: Fields = {"name": plain(str), "born": plain(dt.date | None), "town": plain(str | None)}
ONE = UUID(int=1)


def model_with(fields: Fields, *, shared: bool = False) -> Any:
    """A database whose people have some fields; where they are `shared`, rows of several owners have them."""
    db = fresh_database()
    columns = {name: make() for name, (_, make) in fields.items()}
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    fields_of_it = {**columns, "__annotations__": annotations}
    if shared:
        db.Person = type("Person", (db.Model,), body_of("user", subject("account")))
        key = mapped_column(ForeignKey("user.id"), info=owner())
        note = {**body_of("note", belongs_to()), "person_id": key}
        db.Made = type("Note", (db.Model,), {**note, **fields_of_it})
    else:
        person = body_of("user", subject("account"))
        db.Made = type("Person", (db.Model,), {**person, **fields_of_it})
    return db


def body_of(table: str, label: Any) -> dict[str, Any]:
    return {
        "__module__": __name__,
        "__tablename__": table,
        "__privacy__": label,
        "id": mapped_column(Uuid(), primary_key=True, default=uuid4),
    }


def acting(application: Application) -> Any:
    return application.privacy.processing(
        IDENTITY,
        actor=Actor(ONE, role="teacher", subjects=[("account", ONE)]),
        purpose="provide-service",
        actions={"read", "write"},
        job="test",
    )


def row_of(application: Application) -> Any:
    return application.db.session.scalars(application.db.select(application.db.Made)).one()


def values_of(application: Application, *names: str) -> tuple[Any, ...]:
    with application.app.app_context(), acting(application):
        row = row_of(application)
        return tuple(getattr(row, name) for name in names)


def first_deployment(folder: Path, *, shared: bool = False, fields: Fields = FIRST) -> Application:
    """An application with one row."""
    application = start(model_with(fields, shared=shared), folder)
    db = application.db
    with application.app.app_context():
        with application.writing():
            if shared:
                db.session.add(db.Person(id=ONE))
                db.session.flush()
            values = {"name": "Léna", "born": dt.date(2015, 3, 1), "town": "Rennes"}
            given = {name: value for name, value in values.items() if name in fields}
            db.session.add(db.Made(id=ONE, **given, **({"person_id": ONE} if shared else {})))
            db.session.commit()
        LayoutCatalogue(application.runtime).keep(db.session())
        db.session.remove()
    return application


def deploy(folder: Path, fields: Fields, *, shared: bool = False) -> Application:
    """The next version, without the refusal that `init` would make."""
    return start(model_with(fields, shared=shared), folder, initialised=False)


def migrate(application: Application, *statements: str) -> None:
    with application.app.app_context():
        for statement in statements:
            application.db.session.execute(text(statement))
        application.db.session.commit()


def faults_of(application: Application) -> list[str]:
    with application.app.app_context():
        return list(LayoutCatalogue(application.runtime).faults(application.db.session()))


def reshape(application: Application, *dropped: str, model: str = "Person") -> dict[str, int]:
    with application.app.app_context():
        counts = MaintenanceRunner(application.runtime).reshape(model, dropped=dropped)
        application.db.session.remove()
        return counts


@pytest.fixture(params=[False, True], ids=["people", "shared rows"])
def shared(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def name_of(*, shared: bool) -> str:
    return "Note" if shared else "Person"


# --- what is read ---


def test_a_renamed_field_is_read_and_rewritten(tmp_path: Path, shared: bool) -> None:
    first_deployment(tmp_path / "a", shared=shared)
    fields = {"given": plain(str, was="name"), "born": FIRST["born"], "town": FIRST["town"]}
    second = deploy(tmp_path / "a", fields, shared=shared)
    assert faults_of(second) == []
    assert values_of(second, "given", "born", "town") == ("Léna", dt.date(2015, 3, 1), "Rennes")
    with second.app.app_context(), acting(second):
        row_of(second).town = "Brest"
        second.db.session.commit()
    assert values_of(second, "given", "town") == ("Léna", "Brest")
    assert reshape(second, model=name_of(shared=shared))["rows rewritten"] == 0
    third = deploy(tmp_path / "a", {**fields, "given": plain(str)}, shared=shared)
    assert faults_of(third) == []
    assert values_of(third, "given", "town") == ("Léna", "Brest")


def test_a_renamed_field_without_its_former_name_stops_the_start(tmp_path: Path) -> None:
    first_deployment(tmp_path / "a")
    second = deploy(tmp_path / "a", {"given": plain(str | None), "born": FIRST["born"]})
    (fault,) = faults_of(second)
    assert fault == (
        "Person.given is new, and stored records hold name, town, which no field reads; where it was "
        "called so, write sealed(…, was='name'); where it is another one, run 'flask privacy keys "
        "reshape Person --drop name --drop town'"
    )
    with second.app.app_context(), pytest.raises(ModelInvalid, match="Person.given is new"):
        second.runtime.startup.run()
    with second.app.app_context(), pytest.raises(ModelInvalid), acting(second):
        pass


def test_a_new_field_that_may_be_none_is_none_in_older_rows(tmp_path: Path, shared: bool) -> None:
    first_deployment(tmp_path / "a", shared=shared)
    second = deploy(tmp_path / "a", {**FIRST, "nick": plain(str | None)}, shared=shared)
    assert faults_of(second) == []
    assert values_of(second, "name", "nick") == ("Léna", None)


def test_what_an_older_process_writes_keeps_the_newer_field(tmp_path: Path, shared: bool) -> None:
    older = first_deployment(tmp_path / "a", shared=shared)
    newer = deploy(tmp_path / "a", {**FIRST, "nick": plain(str | None)}, shared=shared)
    with newer.app.app_context(), acting(newer):
        row_of(newer).nick = "Lé"
        newer.db.session.commit()
    with older.app.app_context(), acting(older):
        row = row_of(older)
        row.name, row.born, row.town = "Lena", None, None  # the whole record, as it knows it
        older.db.session.commit()
    assert values_of(newer, "name", "nick", "town") == ("Lena", "Lé", None)


def test_an_older_process_does_not_read_a_renamed_field_as_none(tmp_path: Path) -> None:
    older = first_deployment(tmp_path / "a")
    place = plain(str | None, was="town")
    newer = deploy(tmp_path / "a", {"name": FIRST["name"], "born": FIRST["born"], "place": place})
    reshape(newer)
    with older.app.app_context(), acting(older):
        row = row_of(older)
        with pytest.raises(RecordOfAnotherModel, match="lacks town"):
            _ = row.town


def test_a_group_that_is_new_is_none_in_older_rows_until_they_are_rewritten(
    tmp_path: Path, shared: bool
) -> None:
    first = first_deployment(tmp_path / "a", shared=shared)
    table = "note" if shared else '"user"'
    migrate(first, f"ALTER TABLE {table} ADD COLUMN lgprivacy_photo {BLOB}")
    second = deploy(
        tmp_path / "a", {**FIRST, "photo": plain(bytes | None, group="photo")}, shared=shared
    )
    assert faults_of(second) == []
    assert values_of(second, "name", "photo") == ("Léna", None)
    assert reshape(second, model=name_of(shared=shared))["rows rewritten"] == 1
    assert values_of(second, "name", "photo") == ("Léna", None)
    migrate(second, f"UPDATE {table} SET lgprivacy_photo = NULL")
    with pytest.raises(SealBroken):
        values_of(second, "photo")


# --- what stops the start until a command has run ---


def moved_to_a_group() -> Fields:
    return {**FIRST, "town": plain(str | None, group="address")}


def with_an_index() -> Fields:
    return {**FIRST, "name": plain(str, index=True)}


def renamed_and_indexed() -> Fields:
    return {
        "label": plain(str, was="name", index=True),
        "born": FIRST["born"],
        "town": FIRST["town"],
    }


def required() -> Fields:
    return {**FIRST, "town": plain(str)}


CHANGES: dict[str, tuple[Callable[[], Fields], list[str], str]] = {
    "moved": (
        moved_to_a_group, [f"ALTER TABLE \"user\" ADD COLUMN lgprivacy_address {BLOB}"],
        "Person.town: it moved to another record (category or group), and stored rows hold it in "
        "lgprivacy_account_identity; run 'flask privacy keys reshape Person'",
    ),
    "index": (
        with_an_index, [f"ALTER TABLE \"user\" ADD COLUMN lgprivacy_name_index {BLOB}"],
        "Person.name: stored rows have no blind index of it under this name; run 'flask privacy",
    ),
    "renamed with an index": (
        renamed_and_indexed, [f"ALTER TABLE \"user\" ADD COLUMN lgprivacy_label_index {BLOB}"],
        "Person.label: stored rows have no blind index of it under this name; run 'flask privacy",
    ),
    "required": (
        required, [],
        "Person.town: stored records may hold None, and the model says that none does; run 'flask",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_stops_the_start_until_records_are_rewritten(name: str, tmp_path: Path) -> None:
    change, statements, told = CHANGES[name]
    first = first_deployment(tmp_path / "a")
    migrate(first, *statements)
    second = deploy(tmp_path / "a", change())
    (fault,) = faults_of(second)
    assert fault.startswith(told)
    with second.app.app_context(), pytest.raises(ModelInvalid):
        second.privacy.initialise()
    with second.app.app_context():
        plan = MaintenanceRunner(second.runtime).plan_reshaping("Person", dropped=())
    is_rewritten = int(name != "required")
    assert plan == {
        "rows": 1,
        "rows to rewrite": is_rewritten,
        "rows that lack a required field": 0,
    }
    assert reshape(second)["rows rewritten"] == is_rewritten
    assert faults_of(second) == []
    with second.app.app_context():
        second.privacy.initialise()
    names = [one if one in change() else "label" for one in ("name", "born", "town")]
    assert values_of(second, *names) == ("Léna", dt.date(2015, 3, 1), "Rennes")
    if "index" in name:
        with second.app.app_context(), acting(second):
            made, searched = second.db.Made, names[0]
            assert (
                second.db.session.scalars(find_by(made, **{searched: "Léna"})).one().town
                == "Rennes"
            )


def test_rows_that_lack_what_is_required_are_counted_and_stay(tmp_path: Path) -> None:
    first = first_deployment(tmp_path / "a")
    with first.app.app_context(), acting(first):
        row_of(first).town = None
        first.db.session.commit()
    second = deploy(tmp_path / "a", required())
    with pytest.raises(
        ConfigurationError, match="Person: the model requires town, and 1 rows have"
    ):
        reshape(second)
    assert len(faults_of(second)) == 1
    assert values_of(first, "name", "town") == ("Léna", None)


def test_what_an_older_process_writes_meanwhile_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = first_deployment(tmp_path / "a")
    migrate(older, f'ALTER TABLE "user" ADD COLUMN lgprivacy_name_index {BLOB}')
    second = deploy(tmp_path / "a", {**required(), "name": plain(str, index=True)})
    one_pass = ModelReshaping._pass

    def and_then_older(reshaping: ModelReshaping, *given: Any) -> int:
        rewritten = one_pass(reshaping, *given)
        with older.app.app_context(), acting(older):
            row_of(older).town = None
            older.db.session.commit()
        return rewritten

    monkeypatch.setattr(ModelReshaping, "_pass", and_then_older)
    with pytest.raises(
        ConfigurationError, match="Person: the model requires town, and 1 rows have"
    ):
        reshape(second)
    assert faults_of(second) != []


def test_another_type_stops_the_start(tmp_path: Path) -> None:
    first_deployment(tmp_path / "a")
    (fault,) = faults_of(deploy(tmp_path / "a", {**FIRST, "name": plain(int)}))
    assert fault.startswith(
        "Person.name: stored records hold it as str, and the model says int; add"
    )


def test_a_new_field_that_takes_no_none_stops_the_start(tmp_path: Path) -> None:
    first_deployment(tmp_path / "a")
    (fault,) = faults_of(deploy(tmp_path / "a", {**FIRST, "nick": plain(str)}))
    assert fault.startswith("Person.nick is new and takes no None, and stored records lack it")


def test_a_field_that_is_taken_out_stays_in_records_until_it_is_dropped(
    tmp_path: Path, shared: bool
) -> None:
    first_deployment(tmp_path / "a", shared=shared)
    fields = {"name": FIRST["name"], "born": FIRST["born"]}
    model = name_of(shared=shared)
    second = deploy(tmp_path / "a", fields, shared=shared)
    assert faults_of(second) == []
    with second.app.app_context(), acting(second):
        row_of(second).name = "Lena"
        second.db.session.commit()
    with second.app.app_context():
        notes = list(LayoutCatalogue(second.runtime).notes(second.db.session()))
        checked = second.app.test_cli_runner().invoke(args=["privacy", "check"]).output
    assert notes == [
        f"{model}: stored records hold 'town', which no field reads; 'flask privacy keys reshape "
        f"{model} --drop town' removes it"
    ]
    assert notes[0] in checked
    assert values_of(deploy(tmp_path / "a", FIRST, shared=shared), "name", "town") == (
        "Lena",
        "Rennes",
    )
    assert reshape(second, "town", model=model)["rows rewritten"] == 1
    with second.app.app_context():
        assert list(LayoutCatalogue(second.runtime).notes(second.db.session())) == []
    third = deploy(tmp_path / "a", FIRST, shared=shared)
    assert values_of(third, "name", "town") == ("Lena", None)


def test_rows_of_a_model_that_did_not_change_stay(tmp_path: Path, shared: bool) -> None:
    application = first_deployment(
        tmp_path / "a", shared=shared, fields=with_an_index() if not shared else FIRST
    )
    with application.app.app_context():
        with application.writing():
            owner_of_it = {"person_id": ONE} if shared else {}
            application.db.session.add(
                application.db.Made(name="without the others", **owner_of_it)
            )
            application.db.session.commit()
        model = name_of(shared=shared)
        plan = MaintenanceRunner(application.runtime).plan_reshaping(model, dropped=())
    assert plan == {"rows": 2, "rows to rewrite": 0, "rows that lack a required field": 0}


def test_what_cannot_be_dropped_is_named(tmp_path: Path) -> None:
    application = first_deployment(tmp_path / "a")
    with pytest.raises(ConfigurationError, match=r"--drop name: .* \(such are: none\)"):
        reshape(application, "name")
    with pytest.raises(ConfigurationError, match=r"Persona: no model .*; there are: Person"):
        reshape(application, model="Persona")


def test_a_database_without_rows_takes_every_model(tmp_path: Path) -> None:
    start(model_with(FIRST), tmp_path / "a")
    application = start(model_with({"name": plain(int), "other": plain(str)}), tmp_path / "a")
    assert faults_of(application) == []


def test_layouts_that_are_not_kept_are_a_fault_of_the_check(tmp_path: Path) -> None:
    application = first_deployment(tmp_path / "a")
    migrate(application, "DELETE FROM lgprivacy_record_layout")
    runner = application.app.test_cli_runner()
    told = "Person: the layout of its records is not kept, so a change of the model would not be"
    with application.app.app_context():
        assert told in runner.invoke(args=["privacy", "check"]).output
        runner.invoke(args=["privacy", "init"])
        assert told not in runner.invoke(args=["privacy", "check"]).output


def test_the_command_shows_what_it_did(tmp_path: Path) -> None:
    first = first_deployment(tmp_path / "a")
    migrate(first, f'ALTER TABLE "user" ADD COLUMN lgprivacy_address {BLOB}')
    second = deploy(tmp_path / "a", moved_to_a_group())
    runner = second.app.test_cli_runner()
    rehearsed = runner.invoke(args=["privacy", "keys", "reshape", "Person", "--dry-run", "--json"])
    assert '"rows to rewrite": 1' in rehearsed.stdout
    assert faults_of(second) != []
    done = runner.invoke(args=["privacy", "keys", "reshape", "Person"])
    assert (done.exit_code, "rows rewritten: 1" in done.output) == (0, True)
    assert "Léna" not in rehearsed.output + done.output


@pytest.mark.parametrize("was", ["born", "name"])
def test_a_former_name_that_another_field_has_is_refused(was: str) -> None:
    fields = {**FIRST, "one": plain(str | None, was=was)}
    with pytest.raises(ModelInvalid, match=f"was='{was}' is the name of another field"):
        model_with(fields)


def test_a_required_field_is_still_required(tmp_path: Path) -> None:
    application = first_deployment(tmp_path / "a")
    with application.app.app_context(), application.writing():
        application.db.session.add(application.db.Made(born=None))
        with pytest.raises(RequestInvalid, match=r"Person\.name: must be set"):
            application.db.session.commit()
        application.db.session.rollback()
