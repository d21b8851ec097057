"""An emergency is on a named ground, and the client is told before anything opens (LG-13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from granting import AGENTS, Clock, agent, emergency, first_name, operator, refused
from school import Backend, make_backend

from flask_lgprivacy import EmergencyNotice, LGPrivacy
from flask_lgprivacy.errors import ConfigurationError, PrivacyError


def test_in_an_emergency_the_client_is_told_before_anything_opens(
    backend: Backend, told: list[EmergencyNotice], clock: Clock
) -> None:
    grant = emergency(backend)
    assert [(notice.client, notice.grant, notice.case) for notice in told] == [
        (backend.schools[0].hex, grant.id, "INC-7")
    ]
    assert first_name(backend, agent())
    assert [one.ground for one in backend.privacy.grants.visible_to(backend.administrator())] == [
        "fraud-and-security"
    ]
    clock.passes(hours=2)
    assert refused(backend, agent()) == "LG-21"


def test_a_client_ends_an_emergency(backend: Backend) -> None:
    grant = emergency(backend)
    backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    assert refused(backend, agent()) == "LG-21"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"by": operator(strong=False)}, "strong authentication"),
        ({"by": agent()}, "declared by operator"),
        ({"ground": "curiosity"}, "ground: one of fraud-and-security"),
        ({"ground": "transfer-of-business"}, "ground: one of fraud-and-security"),
        ({"case": ""}, "case: a reference"),
        ({"case": "the case of Jane Doe"}, "case: a reference"),
        ({"to": ("account", UUID(int=9))}, "a colleague on the list"),
        ({"hours": 5}, "hours: between 1 and 4"),
        ({"categories": {"student.credentials"}}, "categories: must be one or more of"),
    ],
)  # fmt: skip
def test_an_emergency_that_is_refused_tells_nobody(
    backend: Backend, told: list[EmergencyNotice], changes: Any, says: str
) -> None:
    with pytest.raises(PrivacyError, match=says):
        emergency(backend, **changes)
    assert told == []
    assert refused(backend, agent()) == "LG-21"


def test_an_emergency_that_cannot_be_told_is_none(tmp_path: Path, clock: Clock) -> None:
    silent = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=clock), LGPRIVACY_AGENTS=AGENTS)
    with silent.app.app_context(), pytest.raises(ConfigurationError, match="LGPrivacy.notify=…."):
        emergency(silent)


def test_a_notice_that_fails_opens_nothing(tmp_path: Path, clock: Clock) -> None:
    def fails(_: EmergencyNotice) -> None:
        raise OSError("the mail server is away")

    made = make_backend(
        tmp_path / "b", privacy=LGPrivacy(utcnow=clock, notify=fails), LGPRIVACY_AGENTS=AGENTS
    )
    with made.app.app_context():
        with pytest.raises(OSError, match="away"):
            emergency(made)
        assert refused(made, agent()) == "LG-21"
