"""The demonstration: which accounts can be tried, and what each will be shown and refused. All
people are invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from pyotp import TOTP

ROSTERS = Path(__file__).with_name("demo_roster")


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """An account of the demonstration."""

    username: str
    password: str
    who: str
    shown: str
    refused: str
    school: str | None = None
    second_factor: str | None = None

    @property
    def code(self) -> str | None:
        """What the account's authenticator shows now; in the demonstration the start page
        shows it.
        """
        return TOTP(self.second_factor).now() if self.second_factor else None


ACCOUNTS = (
    DemoAccount(
        "admin.tilleuls",
        "tilleuls-admin-1",
        "Administrator, École des Tilleuls",
        "the students of École des Tilleuls; export, rectify and erase one; the requests about "
        "them",
        "students of École du Port",
    ),
    DemoAccount(
        "m.perrin",
        "tilleuls-teacher-1",
        "Teacher, École des Tilleuls",
        "the students of École des Tilleuls and what they wrote; the newsletter",
        "students of École du Port; sending a student's name to the newsletter; erasing a student",
    ),
    DemoAccount(
        "o.kervella",
        "tilleuls-teacher-2",
        "Another teacher, École des Tilleuls",
        "the students of École des Tilleuls",
        "students of École du Port",
    ),
    DemoAccount(
        "admin.port",
        "port-admin-1",
        "Administrator, École du Port",
        "the students of École du Port",
        "students of École des Tilleuls",
    ),
    DemoAccount(
        "k.legoff",
        "port-teacher-1",
        "Teacher, École du Port",
        "the students of École du Port",
        "students of École des Tilleuls: 403, clause LG-03",
    ),
    DemoAccount(
        "d.morvan",
        "ile-teacher-1",
        "Teacher, École de l'Île, which keeps its profiles on its devices",
        "the page that keeps profiles in the browser",
        "recording a student on the server: 403, clause LG-06",
    ),
    DemoAccount(
        "lena.t",
        "tilleuls-pupil-1",
        "Student, École des Tilleuls",
        "her own page; a request of hers is passed on to the school",
        "every other student",
        school="École des Tilleuls",
    ),
    DemoAccount(
        "a.lebris",
        "tilleuls-guest-1",
        "Guest, École des Tilleuls",
        "what the administrator of the school granted, until it is revoked (POST /privacy/grants)",
        "every student without a grant: 403, clause LG-20",
    ),
    DemoAccount(
        "s.tanguy",
        "port-guest-1",
        "Guest, École du Port",
        "what the administrator of the school granted",
        "every student without a grant: 403, clause LG-20",
    ),
    DemoAccount(
        "support",
        "support-agent-1",
        "Support agent of the publisher",
        "nothing: no school has asked for assistance",
        "every student: 403, clause LG-21",
        second_factor="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    ),
    DemoAccount(
        "support.b",
        "support-agent-2",
        "Another support agent",
        "nothing: no school has named this agent",
        "every student: 403, clause LG-21",
        second_factor="KRSXG5DTMVRXEZLUKRSXG5DTMVRXEZLU",
    ),
    DemoAccount(
        "privacy.officer",
        "privacy-officer-1",
        "Privacy officer of the publisher",
        "declaring an emergency, which the school is told (POST /privacy/grants)",
        "every student",
        second_factor="MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK",
    ),
    DemoAccount(
        "auditor",
        "outside-auditor-1",
        "Outside auditor",
        "the trail, and whether it holds",
        "every student",
    ),
)

DEVICE_SCHOOL = "École de l'Île"
"""A school that keeps its profiles on its devices, and the username of its teacher."""
DEVICE_TEACHER = "d.morvan"

STAFF = (
    ("support", "support"),
    ("support.b", "support"),
    ("privacy.officer", "operator"),
    ("auditor", "auditor"),
)
"""Accounts that no roster brings: username and role."""


def staff_id(username: str) -> UUID:
    """The id of an account that no roster brings."""
    return uuid5(NAMESPACE_URL, f"staff:{username}")


AGENTS = [("account", staff_id(username)) for username, role in STAFF if role == "support"]
"""The publisher's short list of support agents (LG-22)."""
