"""Rights that an application brings: what their handlers may answer, and what becomes of a request whose handler fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from school import CANARY, Backend, db, make_backend

from flask_lgprivacy import ConfigurationError, LGPrivacy
from flask_lgprivacy.errors import PrivacyError
from flask_lgprivacy.policy import SHIPPED, Action
from flask_lgprivacy.policy.model import Right
from flask_lgprivacy.rights import Outcome, RightsCase
from flask_lgprivacy.testing import acting_as

NAMES = 'rights = ["export", "delete", "rectify"]'


class Objection:
    """`object`: does what a test gives it to do."""

    name = "object"
    actions = frozenset({Action.READ, Action.WRITE})

    def __init__(self, deed: Callable[[RightsCase], Any]) -> None:
        self.deed = deed

    def categories(self, runtime: Any, kind: str) -> frozenset[str]:
        return frozenset({"student.profile"})

    def carry_out(self, case: RightsCase) -> Any:
        return self.deed(case)


class Resumed(Objection):
    """The same, whose work may be repeated."""

    def resume(self, case: RightsCase) -> Any:
        return self.deed(case)


def backend_with(folder: Path, handler: Any, *, outcome: str = "execute") -> Backend:
    document = SHIPPED.read_text(encoding="utf-8")
    document = document.replace(NAMES, NAMES.replace('"]', '", "object"]'), 1)
    if outcome == "forward":
        document = document.replace('outcome = "execute"', 'outcome = "forward"', 1)
    folder.mkdir()
    (folder / "policy.toml").write_text(document, encoding="utf-8")
    return make_backend(
        folder, privacy=LGPrivacy(rights=[handler]), LGPRIVACY_POLICY=folder / "policy.toml"
    )


def submit(backend: Backend, right: str = "object", number: int = 0) -> Any:
    pupil = backend.students[backend.schools[0]][number]
    return backend.privacy.rights.submit(
        right, backend.administrator(), kind="student", one=str(pupil)
    )


def last_request(backend: Backend) -> Any:
    return backend.privacy.rights.visible_to(backend.administrator())[0]


@pytest.mark.parametrize("answer", [None, True, {}, "completed"])
def test_an_answer_that_is_no_outcome_fails_the_request(tmp_path: Path, answer: Any) -> None:
    backend = backend_with(tmp_path / "b", Objection(lambda _case: answer))
    with backend.app.app_context():
        with pytest.raises(ConfigurationError, match="'object' returns an Outcome"):
            submit(backend)
        assert last_request(backend).state == "failed"


@pytest.mark.parametrize("state", ["received", "forwarded", "banana", "", f"refused {CANARY}"])
def test_an_outcome_has_one_of_two_states(state: str) -> None:
    with pytest.raises(ConfigurationError, match="completed or completed-with") as refused:
        Outcome(state, {})
    assert CANARY not in str(refused.value)


def test_an_outcome_holds_what_json_can_hold() -> None:
    with pytest.raises(ConfigurationError, match="details that JSON can hold"):
        Outcome("completed", {"at": object()})


def test_what_a_handler_raises_goes_on_without_its_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_case: RightsCase) -> None:
        raise ValueError(f"{CANARY} cannot be objected to")

    backend = backend_with(tmp_path / "b", Objection(fails))
    about = {"kind": "student", "id": str(backend.students[backend.schools[0]][0])}
    with acting_as(backend.app, backend.administrator()):
        answer = backend.app.test_client().post("/privacy/object", json={"subject": about})
    assert answer.status_code == 500
    assert "ValueError in test_own_rights.py, line" in answer.json["detail"]
    assert CANARY not in answer.text + caplog.text


def test_one_request_that_fails_stops_no_other(tmp_path: Path) -> None:
    answers: list[Any] = [None]

    def deed(_case: RightsCase) -> Any:
        if answers:
            return answers.pop()
        raise ValueError(f"{CANARY} is stuck")

    backend = backend_with(tmp_path / "b", Resumed(deed))
    with backend.app.app_context():
        rights, admin = backend.privacy.rights, backend.administrator()
        assert submit(backend).state == "in-progress"
        other = submit(backend, Right.DELETE, 1)
        rights.requests.transition(db.session(), other.id, "in-progress")
        with pytest.raises(PrivacyError, match="ValueError in test_own_rights.py"):
            list(rights.work())
        states = {request.right: request for request in rights.visible_to(admin)}
        assert states["delete"].state == "completed"
        stuck = rights.find(admin, states["object"].id)
        assert (stuck.state, CANARY in repr(stuck)) == ("in-progress", False)


def test_a_resumed_handler_finds_its_subject(tmp_path: Path) -> None:
    answers: list[Any] = [None]

    def deed(case: RightsCase) -> Any:
        found = case.subject_row().id
        return answers.pop() if answers else Outcome("completed", {"found": str(found)})

    backend = backend_with(tmp_path / "b", Resumed(deed))
    with backend.app.app_context():
        submit(backend)
        list(backend.privacy.rights.work())
        assert last_request(backend).state == "completed"


def test_a_forwarded_right_keeps_only_what_its_handler_takes(tmp_path: Path) -> None:
    class Reasoned(Objection):
        def check_changes(self, *_: Any) -> Any:
            from flask_lgprivacy.orm.hidden_values import HiddenValues

            return HiddenValues({"reason": "too much homework"})

    handler = Reasoned(lambda _case: None)
    backend = backend_with(tmp_path / "b", handler, outcome="forward")
    with backend.app.app_context():
        pupil = backend.students[backend.schools[0]][0]
        request = backend.privacy.rights.submit(
            "object",
            backend.administrator(),
            kind="student",
            one=str(pupil),
            changes={f"{CANARY} is ill": 1, "reason": "too much homework"},
        )
        assert (request.state, request.outcome) == ("forwarded", {"fields": ["reason"]})


@pytest.mark.parametrize(
    "name", ["grants", "requests", "archive", "list-requests", "<x>", "", "A", "a.b", "x/y"]
)
def test_a_right_is_called_as_no_other_call_is(tmp_path: Path, name: str) -> None:
    handler = Objection(lambda _case: None)
    handler.name = name
    with pytest.raises(ConfigurationError, match="a right cannot be called"):
        make_backend(tmp_path / "b", privacy=LGPrivacy(rights=[handler]))


def test_a_right_has_one_handler(tmp_path: Path) -> None:
    handler = Objection(lambda _case: None)
    with pytest.raises(ConfigurationError, match="'object' has a handler already"):
        make_backend(tmp_path / "b", privacy=LGPrivacy(rights=[handler, handler]))


def test_the_check_names_a_right_that_nobody_may_exercise(tmp_path: Path) -> None:
    backend = make_backend(
        tmp_path / "b", privacy=LGPrivacy(rights=[Objection(lambda _case: None)])
    )
    said = backend.app.test_cli_runner().invoke(args=["privacy", "check"])
    assert "the right 'object' has a handler and no [[rights]] entry" in said.output
    assert said.exit_code == 1
