"""A blog that is not ours is protected in under forty lines; every message met on the way says what to do."""

from __future__ import annotations

import difflib
import importlib.util
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from school import CANARY

HERE = Path(__file__).parent
BEFORE, AFTER = ((HERE / name).read_text(encoding="utf-8") for name in ("before.py", "after.py"))
NIR = "1 85 05 78 006 084 91"
SAID = {
    "name": f"{CANARY} Jane",
    "email": f"{CANARY}@home.example",
    "text": f"{CANARY} well written",
}


def test_it_takes_fewer_than_forty_lines() -> None:
    changed = [
        line
        for line in difflib.ndiff(BEFORE.splitlines(), AFTER.splitlines())
        if line.startswith("+ ") and line.strip() != "+"
    ]
    assert 10 < len(changed) < 40


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Starts a blog from its text, in a folder of its own."""
    started: list[Any] = []
    monkeypatch.setenv("BLOG", str(tmp_path))

    def run(text: str) -> Any:
        path = tmp_path / f"blog_{len(started)}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        blog: Any = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(__import__("sys").modules, path.stem, blog)
        spec.loader.exec_module(blog)
        started.append(blog)
        blog.app.testing = True
        return blog

    yield run
    for blog in started:
        with blog.app.app_context():
            blog.db.session.remove()
            blog.db.engine.dispose()


@pytest.fixture
def blog(start: Callable[[str], Any]) -> Any:
    made = start(AFTER)
    with made.app.app_context():
        made.privacy.initialise()
        made.db.create_all()
    return made


def post(blog: Any, body: Any) -> Any:
    return blog.app.test_client().post(f"/posts/{uuid4()}/comments", json=body)


def read(blog: Any, path: str, **session: str) -> Any:
    client = blog.app.test_client()
    with client.session_transaction() as held:
        held.update(session)
    return client.get(path)


def test_a_comment_of_anybody_is_read_by_the_officer_only(blog: Any) -> None:
    assert post(blog, SAID).status_code == 201
    assert read(blog, "/comments", officer="one").json == [SAID]
    assert read(blog, "/comments").status_code == 401
    refused = read(blog, "/comments", author=uuid4().hex)
    assert (refused.status_code, refused.json["clause"], CANARY in refused.text) == (
        403,
        "LG-07",
        False,
    )
    assert read(blog, "/").json == []
    for file in Path(os.environ["BLOG"]).glob("*.db"):
        with closing(sqlite3.connect(file)) as raw:
            assert CANARY not in "".join(raw.iterdump())
        assert CANARY.encode() not in file.read_bytes()


def test_an_author_reads_the_own_account_only(blog: Any) -> None:
    from flask_lgprivacy import Actor

    actor = Actor("sign-up", role="job")
    with (
        blog.app.app_context(),
        blog.privacy.processing(
            "account.identity",
            actor=actor,
            purpose="provide-service",
            actions={"write"},
            job="sign-up",
        ),
    ):
        mine, other = (
            blog.Author(name=f"{CANARY} {number}", email=f"{CANARY}{number}@blog.example")
            for number in range(2)
        )
        blog.db.session.add_all([mine, other])
        blog.db.session.commit()
        one = mine.id.hex
    assert read(blog, "/me", author=one).json["name"] == f"{CANARY} 0"
    assert read(blog, "/me").status_code == 401


@pytest.mark.parametrize(
    ("body", "clause", "says"),
    [
        ({**SAID, "shoe_size": 4}, "LG-02", "shoe_size: unknown field"),
        ({"name": "x"}, "LG-02", "email: missing data"),
        ({**SAID, "religion": "x"}, "LG-08", "religion: sensitive data are not collected"),
        (
            {**SAID, "text": f"my number is {NIR}"},
            "LG-02",
            "text: a social security number has no place here",
        ),
    ],
)
def test_what_must_not_be_sent_is_refused_with_its_path(
    blog: Any, body: Any, clause: str, says: str
) -> None:
    answer = post(blog, body)
    assert (answer.status_code, answer.json["clause"]) == (422, clause)
    assert says in answer.json["detail"]
    assert read(blog, "/comments", officer="one").json == []


MISTAKES = [
    ("engine_options={\"hide_parameters\": True}", "", "use SQLAlchemy(engine_options={'hide_parameters': True})"),
    ('"database": here, ', "", "the store 'database' is not declared; say who hosts each"),
    ('email: Mapped[str] = sealed("visitor.message")', "email: Mapped[str]", "Comment.email has no label; use sealed(category)"),
    ('name: Mapped[str] = sealed("account.identity")', 'name: Mapped[str] = sealed("account.name")', "no category 'account.name'; it has account"),
    ('name: Mapped[str] = sealed("account.identity")', 'name: Mapped[str] = sealed("visitor.message")', "is not a category of subject 'account', which has"),
    ('__privacy__ = belongs_to("account")\n    id', "id", "Post.author_id leads to Author and has no label; write info=owner() where the row is theirs (or, for its one owner, __privacy__ = belongs_to('account'))"),
    ('roles={"operator"}, purpose="answer-enquiry"', 'roles={"teacher"}, purpose="answer-enquiry"', "a rule has it for operator for answer-enquiry"),
    ('roles={"teacher"}, purpose="provide-service"', 'roles={"author"}, purpose="provide-service"', "no role 'author'; it has administrator"),
    ('purpose="provide-service"', 'purpose="blogging"', "no purpose 'blogging'; it has"),
    ('purpose="provide-service"', 'purpose="advertising"', "advertising is no purpose here [LG-11]"),
    ('accepts=schema_of(Comment, "name", "email", "text")', 'accepts=schema_of(Author, "name")', "which the endpoint does not declare"),
    ('accepts=schema_of(Comment, "name", "email", "text")', 'accepts=schema_of(Comment, "post_id")', "Comment.post_id holds no personal data, so a schema names it with a reason: post_id=without_label(fields.…, 'why')"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong", "says"), MISTAKES, ids=[says[:30] for _, _, says in MISTAKES]
)
def test_a_mistake_at_the_start_is_named_with_what_to_do(
    start: Callable[[str], Any], right: str, wrong: str, says: str
) -> None:
    text = AFTER.replace(right, wrong, 1)
    assert text != AFTER
    with pytest.raises(Exception, match=".") as met:
        blog = start(text)
        with blog.app.app_context():
            blog.privacy.initialise()
            _ = blog.app.extensions["lgprivacy"].runtime.models.graph
    assert says in str(met.value)


AT_RUN_TIME = [
    ("@app.get(\"/comments\")\n@privacy.handles(\"visitor.message\", roles={\"operator\"}, purpose=\"answer-enquiry\")\n", "@app.get(\"/comments\")\n",
     "decorate the view with @privacy.handles(…) below its route"),
    ("@app.get(\"/comments\")\n@privacy.handles(\"visitor.message\", roles={\"operator\"}, purpose=\"answer-enquiry\")\n",
     "@privacy.handles(\"visitor.message\", roles={\"operator\"}, purpose=\"answer-enquiry\")\n@app.get(\"/comments\")\n",
     "its @privacy.handles(…) stands above the route, which took the bare view; move it below"),
    ('@privacy.handles("visitor.message", roles={"operator"}', '@privacy.handles(roles={"operator"}', "does not declare 'visitor.message'; add it to its declaration"),
    ("db.session.scalars(select(Comment))", "db.session.scalars(select(Comment).order_by(Comment.name))", "to sort, sort in Python"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    AT_RUN_TIME,
    ids=["forgotten", "above the route", "undeclared", "sorted"],
)
def test_a_mistake_that_only_a_call_shows_is_named_with_what_to_do(
    blog: Any, start: Callable[[str], Any], right: str, wrong: str, says: str
) -> None:
    assert post(blog, SAID).status_code == 201
    text = AFTER.replace(right, wrong, 1)
    assert text != AFTER
    answer = read(start(text), "/comments", officer="one")
    assert answer.status_code >= 400
    assert says in answer.json["detail"]
    assert CANARY not in answer.text


def test_the_check_command_names_a_forgotten_declaration(
    start: Callable[[str], Any], blog: Any
) -> None:
    assert blog.app.test_cli_runner().invoke(args=["privacy", "check"]).exit_code == 0
    forgotten = start(AFTER.replace('@privacy.exempt("published texts")\n', "", 1))
    said = forgotten.app.test_cli_runner().invoke(args=["privacy", "check"])
    assert (said.exit_code, "endpoint posts (GET /) declares no processing" in said.output) == (
        1,
        True,
    )


def test_models_that_come_after_the_extension_are_checked_before_anything_is_read(
    start: Callable[[str], Any], blog: Any
) -> None:
    """Set up before its models, an application with a wrong label answers nothing that opens anything."""
    assert post(blog, SAID).status_code == 201
    early = AFTER.replace("privacy.init_app(app)\n", "", 1).replace(
        "db.init_app(app)\n", "db.init_app(app)\nprivacy.init_app(app)\n", 1
    )
    wrong = early.replace('__privacy__ = subject("visitor")', '__privacy__ = subject("contact")', 1)
    late = start(wrong)
    for _ in range(2):
        answer = read(late, "/comments", officer="one")
        assert answer.status_code == 500
        assert "visitor.message is not a category of subject 'contact'" in answer.json["detail"]
    assert read(late, "/").status_code == 200
