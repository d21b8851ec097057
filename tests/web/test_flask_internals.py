"""Flask still does what this package uses and it does not document."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest
from flask import Flask, request

from flask_lgprivacy.web.flask_internals import answers_options, is_flasks_own, running_request


def test_the_running_request_is_that_behind_the_proxy() -> None:
    with Flask("own").test_request_context("/here?x=1"):
        assert running_request() == request
        assert type(running_request()).__name__ == "Request"
        assert running_request().args["x"] == "1"


def test_no_request_runs_outside_of_one() -> None:
    with pytest.raises(RuntimeError):
        running_request()


def test_flask_says_whether_it_answers_options_by_itself() -> None:
    app = Flask("own", static_folder=None)
    app.add_url_rule("/plain", "plain", lambda: "")
    app.add_url_rule("/own", "own", lambda: "", methods=["GET", "OPTIONS"])
    found = {rule.endpoint: answers_options(rule) for rule in app.url_map.iter_rules()}
    assert found == {"plain": True, "own": False}


@pytest.mark.parametrize("name", ["dispatch_request", "ensure_sync"])
def test_a_method_that_was_patched_is_not_flasks_own(name: str) -> None:
    app: Any = Flask("own")
    assert is_flasks_own(app, name)
    before = getattr(app, name)

    @wraps(before)
    def patched(*given: Any) -> Any:
        return before(*given)

    setattr(app, name, patched)
    assert not is_flasks_own(app, name)


def test_a_method_that_was_overridden_is_not_flasks_own() -> None:
    class Own(Flask):
        def dispatch_request(self) -> Any:
            return super().dispatch_request()

    assert not is_flasks_own(Own("own"), "dispatch_request")
