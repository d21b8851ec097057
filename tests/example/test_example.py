"""The example application as people use it: started by its command, called over HTTP, looked at from outside."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from running import PASSWORDS, Running, environment

from example_app.demonstration import ACCOUNTS, ROSTERS
from flask_lgprivacy.audit import verify_trail

PUPILS = [
    "Léna",
    "Tromeur",
    "Noé",
    "Quéméneur",
    "Inès",
    "Belkacem",
    "Titouan",
    "Morvan",
    "Louna",
    "Cariou",
    "Saliou",
    "Lozac’h",
    "Daniélou",
]
ROOT = Path(__file__).parents[2]


def student_of(running: Running, session: requests.Session, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = running.get(session, "/students").json()[number]
    return found


def test_the_start_page_says_which_accounts_can_be_tried(running: Running) -> None:
    page = running.get(requests, "/").text
    assert all(
        account.username in page
        and account.refused.split(":")[0].split(";")[0].replace("'", "&#39;") in page
        for account in ACCOUNTS
    )


def test_a_teacher_reads_the_students_of_the_school(running: Running) -> None:
    students = running.get(running.signed_in("m.perrin"), "/students").json()
    assert sorted(one["first_name"] for one in students) == [
        "Inès",
        "Jade",
        "Léna",
        "Malo",
        "Noé",
        "Sacha",
    ]


def test_a_teacher_of_another_school_gets_clause_with_contact_but_no_name(running: Running) -> None:
    student = student_of(running, running.signed_in("m.perrin"))
    answer = running.get(running.signed_in("k.legoff"), f"/students/{student['id']}")
    assert (answer.status_code, answer.json()["clause"], answer.json()["contact"]["email"]) == (
        403,
        "LG-03",
        "legal@learn-and-go.com",
    )
    assert not any(name in answer.text for name in PUPILS)


def test_a_support_agent_is_refused_without_a_request_for_assistance(running: Running) -> None:
    answer = running.get(running.signed_in("support"), "/students")
    assert (answer.status_code, answer.json()["clause"]) == (403, "LG-21")


def test_nobody_is_401(running: Running) -> None:
    assert running.get(requests, "/students").status_code == 401


@pytest.mark.parametrize(
    "sent",
    [
        {"username": "m.perrin", "password": "x"},
        {"username": "nobody", "password": "x"},
        {},
        {"school": "x"},
    ],
)
def test_a_wrong_sign_in_is_401(running: Running, sent: Any) -> None:
    assert running.post(requests, "/sign-in", sent).status_code == 401


def test_a_form_without_a_token_is_refused(running: Running) -> None:
    answer = requests.post(
        running.base + "/sign-in",
        data={"username": "m.perrin", "password": PASSWORDS["m.perrin"]},
        timeout=10,
    )
    assert answer.status_code == 400


def test_a_browser_that_signed_in_sees_pages(running: Running) -> None:
    session = requests.Session()
    token = re.search(r'name="csrf_token" value="([^"]+)"', running.get(session, "/").text)
    assert token is not None
    form = {"csrf_token": token[1], "username": "m.perrin", "password": PASSWORDS["m.perrin"]}
    assert session.post(running.base + "/sign-in", data=form, timeout=10).status_code == 200
    page = running.get(session, "/pages/students").text
    assert "Tromeur" in page
    link = re.search(r'href="(/pages/students/[^"]+)"', page)
    assert link is not None
    assert "<polyline" in running.get(session, link[1]).text


def test_a_name_is_found(running: Running) -> None:
    session = running.signed_in("m.perrin")
    assert [
        one["first_name"]
        for one in running.post(session, "/students/search", {"last_name": "TROMEUR"}).json()
    ] == ["Léna"]


def test_a_school_that_keeps_profiles_on_its_devices_has_none_on_the_server(
    running: Running,
) -> None:
    teacher = running.signed_in("d.morvan")
    assert "the profiles on this device" in running.get(teacher, "/").text
    page = running.get(teacher, "/pages/device")
    assert (page.status_code, "localStorage" in page.text) == (200, True)
    sent = {"username": "morgane.d", "first_name": "Morgane", "last_name": "Diskouez"}
    answer = teacher.post(f"{running.base}/students", json=sent, timeout=5)
    assert (answer.status_code, answer.json()["clause"]) == (403, "LG-06")
    assert answer.json()["missing"] == "storage in the client's cloud space"
    assert running.get(teacher, "/students").json() == []


def test_a_student_who_asks_for_a_right_is_sent_to_the_school(running: Running) -> None:
    schools = {one["name"]: one["id"] for one in running.get(requests, "/schools").json()}
    me = running.signed_in("lena.t", schools["École des Tilleuls"])
    mine = student_of(running, running.signed_in("m.perrin"))
    others = [
        one["id"]
        for one in running.get(running.signed_in("m.perrin"), "/students").json()
        if one["username"] != "lena.t"
    ]
    own = next(
        one["id"]
        for one in running.get(running.signed_in("m.perrin"), "/students").json()
        if one["username"] == "lena.t"
    )
    assert mine
    assert running.get(me, f"/students/{own}").json()["first_name"] == "Léna"
    assert running.get(me, f"/students/{others[0]}").status_code == 403
    asked = running.post(me, "/privacy/delete", {})
    assert (asked.status_code, asked.json()["state"]) == (202, "forwarded")
    assert running.get(me, f"/students/{own}").status_code == 200
    desk = running.get(running.signed_in("admin.tilleuls"), "/privacy/requests").json()
    assert asked.json()["id"] in {one["id"] for one in desk}


def test_the_newsletter_takes_no_student(running: Running) -> None:
    session = running.signed_in("m.perrin")
    assert (
        running.post(
            session, "/newsletter", {"email": "m@perrin.example", "agreed_to": "2026-11"}
        ).status_code
        == 200
    )
    refused = running.post(session, "/newsletter/with-a-student", {})
    assert (refused.status_code, refused.json()["clause"]) == (403, "LG-17")


def test_a_school_exports_and_erases_a_student(running: Running) -> None:
    admin = running.signed_in("admin.port")
    before = running.get(admin, "/students").json()
    subject = {"subject": {"kind": "student", "id": before[-1]["id"]}}
    exported = running.post(admin, "/privacy/export", subject).json()
    archive = zipfile.ZipFile(io.BytesIO(running.get(admin, exported["links"]["archive"]).content))
    data = json.loads(archive.read("data.json"))
    assert data["Student"][0]["first_name"] == before[-1]["first_name"]
    assert len(data["Exercise"]) == 2
    erased = running.post(admin, "/privacy/delete", subject).json()
    certificate = running.get(admin, erased["links"]["certificate"]).json()
    assert (certificate["key"], certificate["erased"]["Exercise"], certificate["left"]) == (
        "destroyed",
        2,
        {},
    )
    assert running.get(admin, "/students").json() == before[:-1]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/students", {"first_name": 1}, 422), ("/students", {"religion": "x"}, 422), ("/students", {"first_name": "x"}, 422), ("/newsletter", {"email": "x"}, 422)],
)  # fmt: skip
def test_bad_input_is_told_so(running: Running, path: str, body: Any, status: int) -> None:
    answer = running.post(running.signed_in("m.perrin"), path, body)
    assert answer.status_code == status
    assert "Traceback" not in answer.text


def test_an_administrator_imports_only_the_own_roster(running: Running, tmp_path: Path) -> None:
    import shutil

    admin = running.signed_in("admin.tilleuls")
    before = running.get(admin, "/students").json()
    answers = {}
    for name in ("tilleuls", "port"):
        (tmp_path / "input").mkdir(exist_ok=True)
        bundle = Path(
            shutil.make_archive(str(tmp_path / "input" / name), "zip", ROSTERS / name)
        ).read_bytes()
        headers = {"Content-Type": "application/zip"}
        answers[name] = admin.post(
            running.base + "/roster", data=bundle, headers=headers, timeout=60
        )
    assert (
        answers["tilleuls"].status_code,
        answers["tilleuls"].json()["imported"]["students"],
    ) == (200, 6)
    assert (answers["port"].status_code, "[LG-03]" in answers["port"].json()["faults"][0]) == (
        422,
        True,
    )
    assert running.get(admin, "/students").json() == before
    assert running.post(admin, "/roster", {}).status_code == 422


def test_an_auditor_sees_the_trail_but_no_student(running: Running) -> None:
    auditor = running.signed_in("auditor")
    page = running.get(auditor, "/trail").text
    assert "every line follows the one before" in page
    assert not any(name in page for name in PUPILS)
    assert running.get(auditor, "/students").status_code == 403


def test_a_rights_page_in_a_browser_is_a_page(running: Running) -> None:
    answer = requests.get(running.base + "/students", headers={"Accept": "text/html"}, timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (401, "text/html")


def test_outside_the_gate_there_is_no_name_anywhere(running: Running) -> None:
    files = [path for path in running.instance.parent.rglob("*") if path.is_file()]
    assert {"kaligo.db", "keys.db", "w0.jsonl", "server.out"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert [name for name in [*PUPILS, "lena.t", "2017-"] if name.encode() in content] == [], (
            path.name
        )
    with closing(sqlite3.connect(running.instance / "kaligo.db")) as connection:
        dump = "\n".join(connection.iterdump())
    assert not any(name in dump for name in PUPILS)


def test_the_trail_of_all_this_verifies(running: Running) -> None:
    report = verify_trail(running.instance / "trail")
    assert (report.exit_code, report.lines > 40) == (0, True)


def test_the_demonstration_is_in_oneroster_format() -> None:
    assert {path.name for path in (ROSTERS / "port").iterdir()} == {
        "manifest.csv",
        "orgs.csv",
        "users.csv",
        "classes.csv",
        "enrollments.csv",
    }


def test_the_example_declares_every_endpoint(tmp_path: Path) -> None:
    assert flask(tmp_path, "privacy", "init").returncode == 0
    done = flask(tmp_path, "privacy", "check")
    assert (done.returncode, "0 faults" in done.stdout) == (0, True), done.stdout


def flask(instance: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flask", "--app", "example_app", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(KALIGO_INSTANCE=str(instance)),
        check=False,
    )
