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
