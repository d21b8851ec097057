"""Refusals of nobody in particular are told one by one up to a number, then counted: nobody fills the disk by asking."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from school import db, make_backend

from flask_lgprivacy import LGPrivacy
from flask_lgprivacy.testing import acting_as, captured_trail


def test_many_anonymous_refusals_leave_room_for_people(tmp_path: Path) -> None:
    now = [dt.datetime(2026, 11, 26, 8, tzinfo=dt.UTC)]
    backend = make_backend(tmp_path / "backend", privacy=LGPrivacy(utcnow=lambda: now[0]))
    client = backend.app.test_client()

    def asked(times: int, actor: Any = None) -> None:
        with acting_as(backend.app, actor):
            for _ in range(times):
                client.get("/privacy/grants")

    with captured_trail(backend.app) as trail:
        asked(300)
        assert len(trail.events) == 10
        asked(2, backend.guest())
        assert len(trail.events) == 12
        now[0] += dt.timedelta(minutes=1)
        asked(1)
    counted = [event for event in trail.events if event.event == "refusals-counted"]
    assert [(one.endpoint, one.method, one.code, one.count) for one in counted] == [
        ("lgprivacy.list_grants", "GET", "authentication-required", 290 + 1 - 1)
    ]
    with backend.app.app_context():
        db.session.remove()
