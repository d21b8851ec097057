"""A message that names a function of this package names one that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import flask_lgprivacy
from flask_lgprivacy import LGPrivacy
from flask_lgprivacy.disclosure import FieldReference
from flask_lgprivacy.inbox import SealedInbox

PACKAGE = Path(flask_lgprivacy.__file__).parent
CALL = re.compile(r"(?<![\w.])([a-z_]+(?:\.[a-z_]+)?)\((?=…|\)|db\.)")
ELSEWHERE = {"repr", "write", "verify", "absorb", "map"}
"""Python's own, PEP 3333's, and methods of objects that a message has just named."""


def named_functions() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for match in CALL.finditer(node.value):
                    yield match[1], f"{path.name}:{node.lineno}"


def exists(name: str) -> bool:
    owner, _, method = name.rpartition(".")
    if owner == "privacy":
        return hasattr(LGPrivacy, method)
    return name in flask_lgprivacy.__all__ or hasattr(LGPrivacy, name) or name in ELSEWHERE


@pytest.mark.parametrize("name", sorted({name for name, _ in named_functions()}))
def test_a_function_that_a_message_names_is_there(name: str) -> None:
    assert exists(name), [place for named, place in named_functions() if named == name]


def test_methods_that_messages_name_are_there() -> None:
    assert hasattr(SealedInbox, "absorb")
    assert hasattr(FieldReference, "map")
