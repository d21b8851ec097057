"""Stores that an application brings: exports and erasures reach them, and wait for those that do not answer."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from school import CANARY, HERE, STORES, Backend, close, make_backend

from flask_lgprivacy import ConfigurationError, LGPrivacy
from flask_lgprivacy.errors import PrivacyError
from flask_lgprivacy.policy.model import Right

DRAWINGS = {
    **STORES,
    "database:keys": HERE,
    "files:drawings": {**HERE, "categories": ["student.activity"]},
}


class Drawings:
    """Files in memory, by subject; the store answers only while it is there."""

    name = "files:drawings"

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        self.is_there = True
        self.forgets = True

    def export(self, subject: tuple[str, str]) -> Mapping[str, bytes]:
        self._answer()
        return self.files.get(subject, {})

    def erase(self, subject: tuple[str, str]) -> int:
        self._answer()
        held = self.files.get(subject, {})
        return len(self.files.pop(subject, {}) if self.forgets else held)

    def count(self, subject: tuple[str, str]) -> int:
        self._answer()
        return len(self.files.get(subject, {}))

    def _answer(self) -> None:
        if not self.is_there:
            raise OSError(f"{CANARY} is in this path")


@pytest.fixture
def drawings() -> Drawings:
    return Drawings()


@pytest.fixture
def backend(tmp_path: Path, drawings: Drawings) -> Iterator[Backend]:
    made = make_backend(
        tmp_path / "b", privacy=LGPrivacy(stores=[drawings]), LGPRIVACY_STORES=DRAWINGS
    )
    with made.app.app_context():
        yield made
    close(made)


@pytest.fixture
def pupil(backend: Backend, drawings: Drawings) -> UUID:
    one: UUID = backend.students[backend.schools[0]][0]
    drawings.files["student", one.hex] = {"house.svg": b"<svg/>", "boat.svg": b"<svg/>"}
    return one


Submit = Callable[[Right], Any]


@pytest.fixture
def submit(backend: Backend, pupil: UUID) -> Submit:
    def ask(right: Right) -> Any:
        return backend.privacy.rights.submit(
            right, backend.administrator(), kind="student", one=str(pupil)
        )

    return ask


def test_an_export_holds_the_files_of_a_store(backend: Backend, submit: Submit) -> None:
    request = submit(Right.EXPORT)
    content = backend.privacy.rights.archive(backend.administrator(), request.id)
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.read("files/drawings/house.svg") == b"<svg/>"
    assert "files/drawings/boat.svg" in json.loads(archive.read("manifest.json"))


def test_an_export_fails_where_a_store_does_not_answer(
    backend: Backend, submit: Submit, drawings: Drawings
) -> None:
    drawings.is_there = False
    with pytest.raises(PrivacyError, match="'files:drawings' did not answer: OSError") as away:
        submit(Right.EXPORT)
    assert (away.value.code, away.value.status) == ("store-unavailable", 503)
    [request] = backend.privacy.rights.visible_to(backend.administrator())
    assert (request.state, request.steps[-1].note) == ("failed", "store-unavailable")


@pytest.mark.parametrize("name", ["../outside.svg", "/etc/outside.svg"])
def test_a_file_outside_the_folder_of_its_store_is_refused(
    submit: Submit, drawings: Drawings, pupil: UUID, name: str
) -> None:
    drawings.files["student", pupil.hex] = {name: b""}
    with pytest.raises(ConfigurationError, match="outside its folder"):
        submit(Right.EXPORT)


def test_an_erasure_waits_for_a_store_that_does_not_answer(
    backend: Backend, submit: Submit, drawings: Drawings
) -> None:
    drawings.is_there = False
    request = submit(Right.DELETE)
    assert request.state == "in-progress"
    assert "'files:drawings' did not answer" in request.steps[-1].note
    assert CANARY not in repr(request)
    list(backend.privacy.rights.work())
    waiting = backend.privacy.rights.find(backend.administrator(), request.id)
    assert len(waiting.steps) == len(request.steps)
    drawings.is_there = True
    list(backend.privacy.rights.work())
    done = backend.privacy.rights.find(backend.administrator(), request.id)
    assert (done.state, done.outcome["erased"]["files:drawings"]) == ("completed", 2)
    assert not drawings.files


def test_what_a_store_still_holds_is_left_over(submit: Submit, drawings: Drawings) -> None:
    drawings.forgets = False
    request = submit(Right.DELETE)
    assert request.state == "completed-with-remainder"
    assert request.outcome["left"] == {"files:drawings": 2}


def test_erasing_a_client_waits_for_its_stores(
    backend: Backend, drawings: Drawings, pupil: UUID
) -> None:
    drawings.is_there = False
    school = backend.schools[0]
    rights = backend.privacy.rights
    request = rights.submit(Right.DELETE, backend.administrator(), kind="client", one=str(school))
    list(rights.work())
    waiting = rights.find(backend.administrator(), request.id)
    assert waiting.state == "in-progress"
    note = str(waiting.steps[-1].note)
    assert "'files:drawings' did not answer: OSError in test_stores.py" in note
    said = backend.app.test_cli_runner().invoke(args=["privacy", "requests", "work"])
    assert "waits: the store 'files:drawings' did not answer" in said.stderr
    drawings.is_there = True
    list(rights.work())
    assert rights.find(backend.administrator(), request.id).state == "completed"
    assert not drawings.files


def test_a_store_that_is_not_declared_is_refused(tmp_path: Path, drawings: Drawings) -> None:
    with pytest.raises(ConfigurationError, match="'files:drawings' is not declared"):
        make_backend(tmp_path / "b", privacy=LGPrivacy(stores=[drawings]))


def test_a_store_that_is_brought_twice_is_refused(tmp_path: Path, drawings: Drawings) -> None:
    with pytest.raises(ConfigurationError, match="'files:drawings' is brought twice"):
        make_backend(
            tmp_path / "b",
            privacy=LGPrivacy(stores=[drawings, drawings]),
            LGPRIVACY_STORES=DRAWINGS,
        )


def test_what_a_store_still_holds_of_a_client_is_left_over(
    backend: Backend, drawings: Drawings, pupil: UUID
) -> None:
    drawings.forgets = False
    rights = backend.privacy.rights
    request = rights.submit(
        Right.DELETE, backend.administrator(), kind="client", one=str(backend.schools[0])
    )
    list(rights.work())
    done = rights.find(backend.administrator(), request.id)
    assert (done.state, done.outcome["left"]) == (
        "completed-with-remainder",
        {"files:drawings": 2},
    )


@pytest.mark.parametrize("answer", [None, [], True, -1, "2"])
@pytest.mark.parametrize("method", ["erase", "count"])
def test_an_answer_that_is_no_number_is_no_answer(
    backend: Backend, submit: Submit, drawings: Drawings, method: str, answer: Any
) -> None:
    setattr(drawings, method, lambda _subject: answer)
    request = submit(Right.DELETE)
    assert request.state == "in-progress"
    assert "did not answer: TypeError" in request.steps[-1].note
    delattr(drawings, method)
    list(backend.privacy.rights.work())
    done = backend.privacy.rights.find(backend.administrator(), request.id)
    assert done.state == "completed"


def test_a_name_that_occurs_in_an_error_goes_nowhere(
    backend: Backend, submit: Submit, drawings: Drawings, caplog: pytest.LogCaptureFixture
) -> None:
    class Falling:
        def keys(self) -> Any:
            raise ValueError(f"{CANARY} is in this path")

    drawings.export = lambda _subject: Falling()  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(PrivacyError) as away:
        submit(Right.EXPORT)
    assert CANARY not in str(away.value) + caplog.text


@pytest.mark.parametrize("name", ["a\\..\\b", "C:b", "a//b", "./a", "a\0b", "", ".."])
def test_a_file_name_that_an_unpacker_could_take_for_another_place_is_refused(
    submit: Submit, drawings: Drawings, pupil: UUID, name: str
) -> None:
    drawings.files["student", pupil.hex] = {name: b""}
    with pytest.raises(ConfigurationError, match="outside its folder, or by signs"):
        submit(Right.EXPORT)


def test_what_is_never_exported_stands_in_a_store_of_its_own(
    tmp_path: Path, drawings: Drawings
) -> None:
    mixed = {**HERE, "categories": ["student.activity", "student.credentials"]}
    with pytest.raises(ConfigurationError, match="what is exported and what never is"):
        make_backend(
            tmp_path / "b",
            privacy=LGPrivacy(stores=[drawings]),
            LGPRIVACY_STORES={**DRAWINGS, "files:drawings": mixed},
        )


def test_the_check_says_that_a_store_is_asked(backend: Backend) -> None:
    asked = backend.app.test_cli_runner().invoke(args=["privacy", "check"]).output
    assert "student.activity; asked at exports and erasures" in asked


def test_the_check_says_that_a_store_is_not_asked(tmp_path: Path) -> None:
    forgotten = make_backend(tmp_path / "c", LGPRIVACY_STORES=DRAWINGS)
    said = forgotten.app.test_cli_runner().invoke(args=["privacy", "check"]).output
    assert "NOT asked at exports and erasures: bring it with LGPrivacy(stores=…)" in said


def test_a_replay_refuses_to_end_while_a_store_holds_what_was_erased(
    backend: Backend, submit: Submit, drawings: Drawings, pupil: UUID
) -> None:
    submit(Right.DELETE)
    drawings.files["student", pupil.hex] = {"house.svg": b"<svg/>"}
    drawings.forgets = False
    said = backend.app.test_cli_runner().invoke(args=["privacy", "retention", "replay"])
    assert said.exit_code == 1
    assert "'files:drawings' still holds what was erased" in said.output
