"""LG-20 to LG-23 by real HTTP: before, during and after each grant, and after its revocation while a session is open."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import requests
from pyotp import TOTP
from running import Running

from example_app.demonstration import ACCOUNTS, staff_id
from flask_lgprivacy.audit import read_trail

SECRETS = {account.username: account.second_factor for account in ACCOUNTS if account.second_factor}
PROFILE = ["student.profile"]


def signed_in(running: Running, username: str) -> requests.Session:
    """Signed in, staff with their second factor."""
    secret = SECRETS.get(username)
    return running.signed_in(username, code=TOTP(secret).now() if secret else None)


def account(running: Running, username: str) -> dict[str, str]:
    return {"kind": "account", "id": running.get(signed_in(running, username), "/me").json()["id"]}


def agent(username: str) -> dict[str, str]:
    return {"kind": "account", "id": str(staff_id(username))}


def students(running: Running, session: requests.Session) -> tuple[int, str | None, list[str]]:
    """The status, clause and first names of what a session sees of its students."""
    answer = running.get(session, "/students")
    content = answer.json()
    if answer.status_code != 200:
        return answer.status_code, content.get("clause"), []
    return 200, None, sorted(one["first_name"] for one in content)


def soon(**more: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(**more)).isoformat()


@pytest.fixture(scope="module")
def tilleuls(running: Running) -> dict[str, Any]:
    """What the first school's teacher knows: its id, classes and students."""
    teacher = signed_in(running, "m.perrin")
    schools = {one["name"]: one["id"] for one in running.get(requests, "/schools").json()}
    classes = {one["title"]: one["id"] for one in running.get(teacher, "/classes").json()}
    return {
        "id": schools["École des Tilleuls"],
        "classes": classes,
        "students": {one["username"]: one for one in running.get(teacher, "/students").json()},
    }


def test_each_role_sees_only_its_own_students(running: Running, tilleuls: dict[str, Any]) -> None:
    assert students(running, signed_in(running, "m.perrin"))[2] == [
        "Inès",
        "Jade",
        "Léna",
        "Malo",
        "Noé",
        "Sacha",
    ]
    assert students(running, signed_in(running, "k.legoff"))[0] == 200
    assert students(running, signed_in(running, "d.morvan")) == (200, None, [])
    lena = tilleuls["students"]["lena.t"]["id"]
    me = running.signed_in("lena.t", tilleuls["id"])
    assert running.get(me, f"/students/{lena}").status_code == 200
    assert running.get(me, f"/students/{tilleuls['students']['noe.q']['id']}").json()["clause"] in {
        "LG-03",
        "LG-30",
    }
    for stranger in ("k.legoff", "d.morvan"):
        assert (
            running.get(signed_in(running, stranger), f"/students/{lena}").json()["clause"]
            == "LG-03"
        )


def test_a_guest_sees_a_class_while_the_grant_lasts(
    running: Running, tilleuls: dict[str, Any]
) -> None:
    guest, administrator = signed_in(running, "a.lebris"), signed_in(running, "admin.tilleuls")
    assert students(running, guest)[:2] == (403, "LG-20")
    asked = {
        "kind": "guest", "to": account(running, "a.lebris"), "categories": PROFILE, "groups": [tilleuls["classes"]["CE1 B"]],
        "until": soon(hours=1),
    }  # fmt: skip
    for stranger in ("m.perrin", "a.lebris", "admin.port"):
        assert running.post(signed_in(running, stranger), "/privacy/grants", asked).status_code in {
            403,
            422,
        }
    given = running.post(administrator, "/privacy/grants", asked)
    assert (given.status_code, given.json()["state"]) == (201, "in-force")
    in_class = running.get(guest, f"/classes/{tilleuls['classes']['CE1 B']}/students")
    assert sorted(one["first_name"] for one in in_class.json()) == ["Jade", "Sacha"]
    assert (
        running.get(guest, f"/classes/{tilleuls['classes']['CP A']}/students").json()["clause"]
        == "LG-20"
    )
    assert (
        running.get(
            signed_in(running, "s.tanguy"), f"/classes/{tilleuls['classes']['CE1 B']}/students"
        ).status_code
        == 403
    )
    sheet = running.get(guest, f"/students/{tilleuls['students']['jade.l']['id']}/sheet").json()
    assert sheet["student"]["first_name"] == "Jade"
    assert sheet["exercises"] == [{}, {}]
    events = list(read_trail(running.instance / "trail", where={"grant": given.json()["id"]}))
    assert any(
        event["withheld"] == ["student.activity"]
        for event in events
        if event["event"] == "processing"
    )
    listed = running.get(administrator, "/privacy/grants").json()
    assert [one["state"] for one in listed if one["id"] == given.json()["id"]] == ["in-force"]
    assert running.get(signed_in(running, "admin.port"), "/privacy/grants").json() == []
    ended = administrator.delete(running.base + given.json()["links"]["revoke"], timeout=10)
    assert (ended.status_code, ended.json()["state"]) == (200, "revoked")
    assert (
        running.get(guest, f"/classes/{tilleuls['classes']['CE1 B']}/students").json()["clause"]
        == "LG-20"
    )


def test_a_grant_ends_at_its_time(running: Running, tilleuls: dict[str, Any]) -> None:
    import time

    guest, administrator = signed_in(running, "s.tanguy"), signed_in(running, "admin.port")
    asked = {
        "kind": "guest",
        "to": account(running, "s.tanguy"),
        "categories": PROFILE,
        "all": True,
        "until": soon(seconds=3),
    }
    assert running.post(administrator, "/privacy/grants", asked).status_code == 201
    assert students(running, guest)[0] == 200
    time.sleep(3)
    assert students(running, guest)[:2] == (403, "LG-20")


def test_an_agent_is_let_in_by_the_client_and_out_again(
    running: Running, tilleuls: dict[str, Any]
) -> None:
    teacher, administrator = signed_in(running, "m.perrin"), signed_in(running, "admin.tilleuls")
    first, second = signed_in(running, "support"), signed_in(running, "support.b")
    assert students(running, first)[:2] == (403, "LG-21")
    asked = {
        "categories": PROFILE,
        "all": True,
        "hours": 2,
        "agent": agent("support"),
        "reference": "KAL-1207",
    }
    request = running.post(teacher, "/privacy/assistance", asked).json()
    here = f"/students?school={tilleuls['id']}"
    assert running.get(first, here).json()["clause"] == "LG-22"
    assert [one["id"] for one in running.get(first, "/privacy/assistance").json()] == [
        request["id"]
    ]
    assert running.get(second, "/privacy/assistance").json() == []
    assert running.post(second, request["links"]["ask"], {}).json()["clause"] == "LG-22"
    given = running.post(
        administrator,
        "/privacy/grants",
        {"kind": "support", "assistance": request["id"], "to": agent("support")},
    )
    assert given.status_code == 201
    assert f"/pages{here}" in running.get(first, "/pages/students").text
    assert len(running.get(first, here).json()) == 6
    assert running.get(second, here).json()["clause"] == "LG-22"
    weak = running.signed_in("support")
    assert running.get(weak, here).json()["clause"] == "LG-23"
    lena = tilleuls["students"]["lena.t"]["id"]
    assert running.get(first, f"/students/{lena}/exercises").status_code == 403
    port = next(
        one["id"]
        for one in running.get(requests, "/schools").json()
        if one["name"] == "École du Port"
    )
    assert running.get(first, f"/students?school={port}").json()["clause"] == "LG-21"
    listed = next(
        one
        for one in running.get(administrator, "/privacy/grants").json()
        if one["id"] == given.json()["id"]
    )
    assert [(use["endpoint"], use["category"], use["subjects"]) for use in listed["uses"]] == [
        ("api.students", "student.profile", 6)
    ]
    assert (
        administrator.delete(running.base + given.json()["links"]["revoke"], timeout=10).status_code
        == 200
    )
    assert running.get(first, here).json()["clause"] == "LG-22"
    closed = teacher.delete(running.base + request["links"]["close"], timeout=10)
    assert closed.json()["state"] == "closed"
    assert running.get(first, here).json()["clause"] == "LG-21"


def test_an_emergency_is_told_to_the_school(running: Running, tilleuls: dict[str, Any]) -> None:
    officer, administrator = (
        signed_in(running, "privacy.officer"),
        signed_in(running, "admin.tilleuls"),
    )
    asked = {
        "kind": "emergency", "client": tilleuls["id"], "to": agent("support.b"), "ground": "fraud-and-security", "case": "INC-12",
        "categories": PROFILE, "all": True, "hours": 1,
    }  # fmt: skip
    weak = running.signed_in("privacy.officer")
    assert running.post(weak, "/privacy/grants", asked).json()["clause"] == "LG-13"
    assert running.get(administrator, "/notices").json() == []
    given = running.post(officer, "/privacy/grants", asked)
    assert given.status_code == 201
    assert "INC-12" in running.get(administrator, "/notices").json()[0]["text"]
    agent_b = signed_in(running, "support.b")
    assert len(running.get(agent_b, f"/students?school={tilleuls['id']}").json()) == 6
    assert (
        administrator.delete(running.base + given.json()["links"]["revoke"], timeout=10).status_code
        == 200
    )
    assert running.get(agent_b, f"/students?school={tilleuls['id']}").json()["clause"] == "LG-21"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/privacy/grants", {}),
        ("/privacy/grants", {"kind": "king", "to": {"kind": "account", "id": "x"}}),
        ("/privacy/grants", {"kind": "guest", "to": "x"}),
        (
            "/privacy/grants",
            {
                "kind": "guest",
                "to": {"kind": "account", "id": "x"},
                "categories": ["x"],
                "all": True,
            },
        ),
        (
            "/privacy/grants",
            {"kind": "guest", "to": {"kind": "account", "id": "x"}, "until": "tomorrow"},
        ),
        ("/privacy/grants", {"kind": "support", "to": {"kind": "account", "id": "x"}}),
        ("/privacy/assistance", {"hours": "many"}),
        ("/privacy/assistance", {"hours": 2, "categories": ["student.profile"]}),
        ("/privacy/assistance", {"colour": "red"}),
        ("/privacy/consents", {"purpose": "sale", "given": True}),
    ],
)
def test_what_cannot_be_understood_is_422_with_what_to_mend(
    running: Running, path: str, body: Any
) -> None:
    administrator = signed_in(running, "admin.tilleuls")
    method = administrator.put if path.endswith("consents") else administrator.post
    answer = method(
        running.base + path,
        data=json.dumps(body),
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    assert answer.status_code in {405, 422}
    assert answer.json()["detail"]


def test_consent_is_given_seen_and_withdrawn(running: Running) -> None:
    teacher = signed_in(running, "o.kervella")
    sent: dict[str, Any] = {"purpose": "product-updates", "given": True, "text_version": "2026-11"}
    given = teacher.put(running.base + "/privacy/consents", json=sent, timeout=10)
    assert [(one["purpose"], one["withdrawn"]) for one in given.json()] == [
        ("product-updates", None)
    ]
    old = teacher.put(
        running.base + "/privacy/consents", json={**sent, "text_version": "2019"}, timeout=10
    )
    assert (old.status_code, "it has 2026-11" in old.json()["detail"]) == (422, True)
    ended = teacher.put(
        running.base + "/privacy/consents", json={**sent, "given": False}, timeout=10
    )
    assert ended.json()[0]["withdrawn"]
