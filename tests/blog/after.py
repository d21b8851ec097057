"""A small blog with comments, under the privacy policy that ships with this package."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

from flask import Flask, abort, session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

import flask_lgprivacy as lg
from flask_lgprivacy import Actor, LGPrivacy, belongs_to, not_personal, schema_of, sealed, subject

db = SQLAlchemy(engine_options={"hide_parameters": True})
privacy = LGPrivacy()
app = Flask(__name__, static_folder=None, instance_path=os.environ["BLOG"])
app.config["SECRET_KEY"] = "change me"
app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{os.environ['BLOG']}/blog.db"
here = {"host": "OVH SAS, Roubaix", "country": "FR"}
app.config["LGPRIVACY_STORES"] = {"database": here, "key-service:root": here, "trail": here}
db.init_app(app)
privacy.init_app(app)


class Author(db.Model):
    __privacy__ = subject("account")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = sealed("account.identity")
    email: Mapped[str] = sealed("account.identity")


class Post(db.Model):
    __privacy__ = belongs_to("account")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    author_id: Mapped[UUID] = mapped_column(ForeignKey("author.id"))
    text: Mapped[str] = not_personal("published by its author")


class Comment(db.Model):
    __privacy__ = subject("visitor")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    post_id: Mapped[UUID] = mapped_column(
        ForeignKey("post.id"), info=lg.concerns(shows=(), on_erasure=lg.delete_row())
    )
    name: Mapped[str] = sealed("visitor.message")
    email: Mapped[str] = sealed("visitor.message")
    text: Mapped[str] = sealed("visitor.message")


@privacy.actor_loader
def current_actor():
    if "officer" in session:
        return Actor(session["officer"], role="operator", strongly_authenticated=True)
    me = UUID(session["author"]) if "author" in session else None
    return Actor(me, role="teacher", subjects=[("account", me)]) if me else None


@app.get("/")
@privacy.exempt("published texts")
def posts():
    return [{"id": post.id, "text": post.text} for post in db.session.scalars(select(Post))]


@app.get("/me")
@privacy.handles("account.identity", roles={"teacher"}, purpose="provide-service")
def me():
    author = db.session.get(Author, UUID(session["author"])) if "author" in session else abort(401)
    return {"name": author.name, "email": author.email}


@app.post("/posts/<uuid:post_id>/comments")
@privacy.handles(
    "visitor.message",
    roles={"public"},
    purpose="answer-enquiry",
    actions={"write"},
    accepts=schema_of(Comment, "name", "email", "text"),
)
def comment(post_id: UUID):
    row = Comment(post_id=post_id, **privacy.accepted)
    db.session.add(row)
    db.session.commit()
    return {"id": row.id}, 201


@app.get("/comments")
@privacy.handles("visitor.message", roles={"operator"}, purpose="answer-enquiry")
def comments():
    return [
        {"name": row.name, "email": row.email, "text": row.text}
        for row in db.session.scalars(select(Comment))
    ]
