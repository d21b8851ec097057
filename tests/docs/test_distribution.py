"""What is installed is the package alone."""

from __future__ import annotations

from importlib.metadata import distribution

import flask_lgprivacy

INSTALLED = distribution("flask-lgprivacy")


def test_no_other_package_is_installed_along() -> None:
    assert (INSTALLED.read_text("top_level.txt") or "").split() == ["flask_lgprivacy"]


def test_the_version_is_the_packages_own() -> None:
    assert INSTALLED.version == flask_lgprivacy.__version__


def test_the_licence_is_named_as_spdx_does() -> None:
    assert INSTALLED.metadata["License-Expression"] == "MIT"
