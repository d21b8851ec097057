"""A forum: accounts that follow one another, posts, comments, likes, and messages between two accounts."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, jsonify, request
from marshmallow import fields
from sqlalchemy import ForeignKey, String, or_, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_lgprivacy import (
    LGPrivacy,
    belongs_to,
    concerns,
    delete_row,
    no_personal_data,
    not_personal,
    owner,
    schema_of,
    sealed,
    subject,
    tagged,
    without_label,
)

ROLE, PURPOSE = {"teacher"}, "provide-service"
IDENTITY = "account.identity"


def build(db: Any, privacy: LGPrivacy) -> tuple[dict[str, Any], Blueprint]:
    """Its models and its pages."""
    followers = db.Table(
        "followers",
        db.Column("follower_id", ForeignKey("user.id"), primary_key=True, info=owner()),
        db.Column(
            "followed_id",
            ForeignKey("user.id"),
            primary_key=True,
            info=concerns(shows=("followed_id",), on_erasure=delete_row()),
        ),
    )

    class User(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        username: Mapped[str] = tagged(IDENTITY, String(40), unique=True)
        about_me: Mapped[str | None] = tagged(IDENTITY, String(140))
        password_hash: Mapped[str] = tagged("account.credentials", String(80))
        followed = relationship(
            "User",
            secondary=followers,
            primaryjoin=followers.c.follower_id == id,
            secondaryjoin=followers.c.followed_id == id,
        )

    class Post(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("user.id"), info=owner())
        body: Mapped[str] = tagged(IDENTITY, String(200))
        language: Mapped[str | None] = not_personal("of the words", String(5))
        comments = relationship("Comment", back_populates="post")

    class Comment(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        post_id: Mapped[int] = mapped_column(
            ForeignKey("post.id"), info=concerns(shows=("id", "post_id"), on_erasure=delete_row())
        )
        author_id: Mapped[int] = mapped_column(ForeignKey("user.id"), info=owner())
        body: Mapped[str] = tagged(IDENTITY, String(200))
        post = relationship("Post", back_populates="comments")

    class Message(db.Model):  # type: ignore[misc, name-defined]
        """Stays with the other one when one of the two goes."""

        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        sender_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"), info=owner())
        recipient_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"), info=owner())
        body: Mapped[str] = sealed(IDENTITY)

    db.Table(
        "likes",
        db.Column("user_id", ForeignKey("user.id"), primary_key=True, info=owner()),
        db.Column(
            "post_id",
            ForeignKey("post.id"),
            primary_key=True,
            info=concerns(shows=("post_id",), on_erasure=delete_row()),
        ),
        db.Column("sign", String(4), info=no_personal_data("which sign")),
    )
    pages = Blueprint("forum", __name__)

    def writing(accepts: Any = None) -> Any:
        return privacy.handles(
            IDENTITY, roles=ROLE, purpose=PURPOSE, actions={"read", "write"}, accepts=accepts
        )

    @pages.post("/posts")
    @writing(schema_of(Post, "body"))
    def write_post() -> Any:
        post = Post(author_id=me(), **privacy.accepted)
        db.session.add(post)
        db.session.commit()
        return jsonify(id=post.id)

    @pages.post("/posts/<int:post_id>/comments")
    @writing(schema_of(Comment, "body"))
    def comment(post_id: int) -> Any:
        db.session.add(Comment(post_id=post_id, author_id=me(), **privacy.accepted))
        db.session.commit()
        return "", 204

    @pages.post("/messages")
    @writing(schema_of(Message, "body", recipient_id=number("an account")))
    def send() -> Any:
        db.session.add(Message(sender_id=me(), **privacy.accepted))
        db.session.commit()
        return "", 204

    @pages.get("/messages")
    @privacy.handles(IDENTITY, roles=ROLE, purpose=PURPOSE)
    def messages() -> Any:
        mine = or_(Message.sender_id == me(), Message.recipient_id == me())
        return jsonify(
            [
                message.body
                for message in db.session.scalars(select(Message).where(mine).order_by(Message.id))
            ]
        )

    @pages.get("/messages/<int:message_id>")
    @privacy.handles(IDENTITY, roles=ROLE, purpose=PURPOSE)
    def message(message_id: int) -> Any:
        return jsonify(body=(db.session.get(Message, message_id) or abort(404)).body)

    @pages.post("/follow/<int:user_id>")
    @writing()
    def follow(user_id: int) -> Any:
        myself = db.session.get(User, me())
        myself.followed.append(db.session.get(User, user_id))
        db.session.commit()
        return "", 204

    return {"user": User, "post": Post, "comment": Comment, "message": Message}, pages


def number(reason: str) -> Any:
    """A field of a body that names a row."""
    return without_label(fields.Int(), reason)


def me() -> int:
    """Who asks, as a header says in these tests."""
    return int(request.headers["X-User"])
