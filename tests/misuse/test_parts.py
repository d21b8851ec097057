"""What an application brings is looked at before it is used."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from school import make_backend

from flask_lgprivacy import ConfigurationError, LGPrivacy
from flask_lgprivacy.audit import FileAuditTrail

OWN = ModuleType("own_parts")
OWN.NOTHING = None  # type: ignore[attr-defined]
OWN.NUMBER = 7  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "own_parts", OWN)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"trail": "own_parts:NOTHING"}, "a NoneType lacks commit"),
        ({"key_provider": "own_parts:NOTHING"}, "a NoneType lacks wrap, unwrap"),
        ({"notify": "own_parts:NOTHING"}, r"notify=…\) takes a function"),
        ({"notify": "os"}, r"notify=…\) takes a function"),
        ({"trail": "own_parts:MISSING"}, "cannot be imported"),
        ({"trail": FileAuditTrail}, "takes an object and not its class"),
        ({"stores": "own_parts:NUMBER"}, "takes a list"),
        ({"stores": ["own_parts:NUMBER"]}, "a int lacks name, export, erase, count"),
        ({"stores": [None]}, "a NoneType lacks name"),
        ({"rights": [7]}, "a int lacks name, actions"),
        ({"renderers": [7]}, "a int lacks render"),
        ({"grant_workflows": [7]}, "a int lacks name, takes, give"),
        ({"key_provider_kinds": {"own": 7}}, "takes a function or a class"),
        ({"key_provider_kinds": {"kms": print}}, "'kms' is built in"),
    ],
)
def test_what_is_no_such_part_is_refused(tmp_path: Path, given: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make_backend(tmp_path / "b", privacy=LGPrivacy(**given))


def test_a_trail_that_can_be_gone_through_is_still_the_trail(tmp_path: Path) -> None:
    class Listed(FileAuditTrail):
        def __iter__(self) -> Any:
            return iter(())

    trail = Listed(tmp_path / "own", now=lambda: "2026-11-27T00:00:00+00:00")
    backend = make_backend(tmp_path / "b", privacy=LGPrivacy(trail=trail))
    assert backend.runtime.audit.trail is trail
    assert list((tmp_path / "own").glob("*.jsonl"))
