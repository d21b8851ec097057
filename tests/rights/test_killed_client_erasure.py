"""Everything of a client with shared rows, circles and tables without a model: erased and exported, killed and taken up."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import clubs
import pytest
from killing import kill_in_the_middle
from ownership import Application
from sqlalchemy import select

KILLS = int(os.environ.get("LGPRIVACY_TEST_KILLS", "2"))
SUPPORT = Path(__file__).parents[1] / "support"
N = clubs.PUPILS


@pytest.fixture(params=["beside", "apart"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def table(application: Application, name: str) -> set[tuple[Any, ...]]:
    return set(application.stored(name))


def erased_by_killed_processes(folder: Path, where: str) -> int:
    kills = 0
    while True:
        running = subprocess.Popen(
            [sys.executable, "-W", "ignore", SUPPORT / "clubs.py", folder, where],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": f"{SUPPORT}:{SUPPORT.parents[1]}"},
        )  # fmt: skip
        if kills < KILLS:
            kill_in_the_middle(running, most=4)
        _, fault = running.communicate()
        assert running.returncode in (0, -signal.SIGKILL), fault[-2000:]
        if running.returncode == 0:
            return kills
        kills += 1


def test_everything_of_a_client_is_erased_however_often_it_is_killed(
    tmp_path: Path, where: str
) -> None:
    folder = tmp_path / "clubs"
    application = clubs.clubs(folder, separate_keys=where == "apart")
    with application.app.app_context():
        clubs.fill(application)
        application.db.session.remove()
    assert erased_by_killed_processes(folder, where) > 0
    with application.app.app_context():
        application.runtime.keys.forget_all()
        requests = application.privacy.rights.visible_to(clubs.administrator(1))
        assert [(one.state, (one.outcome or {})["left"]) for one in requests] == [("completed", {})]
        db, made = application.db, application.db.made
        theirs = range(N + 1, 2 * N + 1)
        assert {row[0] for row in table(application, "pupil")} == set(theirs)
        # story N was of pupil N and of pupil N + 1, story 2N of pupil 2N and of pupil 1
        stories = {(row[0], row[1], row[2]) for row in table(application, "story")}
        assert stories == {
            (N, None, N + 1),
            *((one, one, one + 1) for one in range(N + 1, 2 * N)),
            (2 * N, 2 * N, None),
        }
        pages = {(row[1], row[2]) for row in table(application, "page")}
        assert {story for story, _ in pages} == {N, *theirs} and None not in {
            following for _, following in pages
        }
        clubs_left = set(range(2, N + 1, 2))
        assert {(row[0], row[1]) for row in table(application, "club")} == {
            (one, None) for one in clubs_left
        }
        assert {(row[1], row[2]) for row in table(application, "member")} == {
            (one + N, one) for one in clubs_left
        }
        liked = {(row[0], row[1]) for row in table(application, "likes")}
        # what is about a story of somebody who goes, goes: the label says delete_row()
        assert liked == {(pupil, N + 2) for pupil in (N + 1, 2 * N)}
        with clubs.teaching(application, 2):
            words = {
                story.id: (story.words, story.note)
                for story in db.session.scalars(select(made["story"]))
            }
            mottos = {club.id: club.motto for club in db.session.scalars(select(made["club"]))}
        assert words == {
            one: (f"story {one}", None if one == N else f"of {one}") for one in (N, *theirs)
        }
        assert mottos == {one: f"club {one}" for one in clubs_left}
        keys = application.runtime.keys.table.subjects
        with application.runtime.keys.connected(db.session()) as connection:
            alive = select(keys.c.kind, keys.c.subject).where(keys.c.wrapped.is_not(None))
            left = set(map(tuple, connection.execute(alive)))
        assert left == {
            *(("student", str(one)) for one in theirs),
            *(("row:story", str(one)) for one in (N, *theirs)),
            *(("row:page", str(2 * one + number)) for one in (N, *theirs) for number in (0, 1)),
            *(("row:club", str(one)) for one in clubs_left),
        }


def test_everything_of_a_client_is_exported(tmp_path: Path, where: str) -> None:
    application = clubs.clubs(tmp_path / "clubs", separate_keys=where == "apart")
    with application.app.app_context():
        clubs.fill(application)
        rights, actor = application.privacy.rights, clubs.administrator(1)
        request = rights.submit("export", actor, kind="client", one="1")
        archive = zipfile.ZipFile(io.BytesIO(b"".join(rights.client_archive(actor, request.id))))
        folders = {name.split("/")[1] for name in archive.namelist() if name.endswith("/data.json")}
        assert folders == {str(one) for one in range(1, N + 1)}
        lines = [json.loads(line) for line in archive.read("shared.jsonl").splitlines()]
        found: dict[str, list[Any]] = {}
        for line in lines:
            found.setdefault(line["table"], []).append(line)
        assert {line["row"]["id"] for line in found["Story"]} == {*range(1, N + 1), 2 * N}
        assert {line["row"]["words"] for line in found["Story"]} == {
            f"story {one}" for one in (*range(1, N + 1), 2 * N)
        }
        last = next(line for line in found["Story"] if line["row"]["id"] == 2 * N)
        assert last["people"] == [{"kind": "student", "id": "1"}]
        assert len(found["Page"]) == 2 * (N + 1)
        assert {line["row"]["motto"] for line in found["Club"]} == {
            f"club {one}" for one in range(1, N + 1)
        }
        assert len(found["Member"]) == N
        liked = {(line["row"]["pupil_id"], line["row"]["story_id"]) for line in found["likes"]}
        assert liked >= {(pupil, story) for pupil in (1, N) for story in (1, N, N + 2)}
        assert len(lines) == len({json.dumps(line["row"]) + line["table"] for line in lines})
