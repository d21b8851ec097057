"""A trail of the application's own: what is committed there is what commands read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from school import Backend, make_backend

from flask_lgprivacy import LGPrivacy
from flask_lgprivacy.audit import Event, Receipt
from flask_lgprivacy.policy import Right
from flask_lgprivacy.testing import InMemoryAuditTrail


class WriteOnlyTrail:
    """A trail as an application may have had it: it takes events and gives none back."""

    def commit(self, event: Event) -> Receipt:
        return Receipt("nowhere", 1, event.event)


def run(backend: Backend, *arguments: str) -> Any:
    return backend.app.test_cli_runner().invoke(args=["privacy", *arguments])


def test_show_prints_what_is_in_the_configured_trail(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "b", privacy=LGPrivacy(trail=InMemoryAuditTrail()))
    shown = run(backend, "audit", "show", "--event", "processing")
    assert "memory:1 processing" in shown.output
    assert not (tmp_path / "b" / "trail").exists()


def test_verify_asks_the_configured_trail(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "b", privacy=LGPrivacy(trail=InMemoryAuditTrail()))
    verified = run(backend, "audit", "verify")
    assert (verified.exit_code, verified.output.rpartition(": ")[2]) == (0, "all well\n")


def test_replay_reads_the_configured_trail(tmp_path: Path) -> None:
    trail = InMemoryAuditTrail()
    backend = make_backend(tmp_path / "b", privacy=LGPrivacy(trail=trail))
    school = backend.schools[0]
    person = backend.students[school][0]
    with backend.app.app_context():
        backend.privacy.rights.submit(
            Right.DELETE, backend.administrator(), kind="student", one=str(person)
        )
    replayed = run(backend, "retention", "replay", "--dry-run")
    assert replayed.exit_code == 0
    assert any(event["state"] == "erasing" for event in trail.read({"right": "delete"}))


def test_a_trail_that_cannot_be_read_is_named_with_what_to_add(tmp_path: Path) -> None:
    trail: Any = WriteOnlyTrail()
    backend = make_backend(tmp_path / "b", privacy=LGPrivacy(trail=trail))
    shown = run(backend, "audit", "show")
    assert shown.exit_code == 1
    assert "WriteOnlyTrail has no read(where); add it" in shown.output
