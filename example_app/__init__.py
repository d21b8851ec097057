"""A small handwriting backend that keeps its privacy policy with flask_lgprivacy."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_wtf import CSRFProtect
from flask_wtf.csrf import CSRFError

from .access import access
from .api import api
from .commands import kaligo
from .demonstration import AGENTS
from .models import db
from .pages import pages
from .privacy import login, privacy

HOST = {"host": "OVH SAS, Roubaix", "country": "FR"}
csrf = CSRFProtect()
FORMS = {"application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""}
"""What a form of another site can send; everything else needs a request that its browser asks about
first.
"""


def create_app(instance: Path | None = None, config: Mapping[str, Any] | None = None) -> Flask:
    """The application.

    Parameters: `instance` is the folder of its databases, keys and trail, by default `instance/`
    where it is started (or `KALIGO_INSTANCE`); `config` overrides settings.
    """
    folder = (instance or Path(os.environ.get("KALIGO_INSTANCE", "instance"))).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    app = Flask(__name__, instance_path=str(folder))
    app.config.from_mapping(
        SECRET_KEY=_secret(folder / "session.key"),
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/kaligo.db",
        SQLALCHEMY_BINDS={"keys": f"sqlite:///{folder}/keys.db"},
        LGPRIVACY_KEYS_BIND="keys",
        LGPRIVACY_TRAIL_DIRECTORY=folder / "trail",
        LGPRIVACY_EXEMPT={"static": "files that ship with the application"},
        LGPRIVACY_STORES={
            "database": HOST,
            "database:keys": HOST,
            "key-service:root": HOST,
            "trail": HOST,
        },
        LGPRIVACY_AGENTS=AGENTS,
        LGPRIVACY_USAGE={
            "exercise.written": {"by": "student", "dimensions": {"length": ["short", "long"]}}
        },
        MAILCHIMP_LIST="kaligonews",
        WTF_CSRF_CHECK_DEFAULT=False,
    )
    app.config.from_mapping(config or {})
    db.init_app(app)
    privacy.init_app(app)
    login.init_app(app)
    csrf.init_app(app)
    app.before_request(_refuse_foreign_forms)
    app.register_error_handler(CSRFError, _explain_csrf)
    app.after_request(_harden)
    for blueprint in (access, api, pages):
        app.register_blueprint(blueprint)
    app.cli.add_command(kaligo)
    return app


def _refuse_foreign_forms() -> None:
    """Forms carry a token; JSON, and methods other than POST, cannot be sent by another site's
    form, so they need none.
    """
    if request.method == "POST" and request.mimetype in FORMS:
        csrf.protect()


def _explain_csrf(error: CSRFError) -> Any:
    said = (
        f"{error.description} Send JSON with Content-Type application/json (also an empty "
        "object), or a form of a page of ours."
    )
    return jsonify(code="csrf", detail=said), 400


def _harden(response: Response) -> Response:
    """No other site frames the pages, and no browser takes an answer for what it is not
    (ASVS 3.4).
    """
    response.headers.setdefault(
        "Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; form-action 'self'"
    )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


def _secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()
