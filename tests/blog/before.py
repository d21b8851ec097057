"""A small blog with comments, as somebody wrote it who had never heard of this package."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

from flask import Flask, abort, request, session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()
app = Flask(__name__, static_folder=None, instance_path=os.environ["BLOG"])
app.config["SECRET_KEY"] = "change me"
app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{os.environ['BLOG']}/blog.db"
db.init_app(app)


class Author(db.Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    email: Mapped[str]


class Post(db.Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    author_id: Mapped[UUID] = mapped_column(ForeignKey("author.id"))
    text: Mapped[str]


class Comment(db.Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    post_id: Mapped[UUID] = mapped_column(ForeignKey("post.id"))
    name: Mapped[str]
    email: Mapped[str]
    text: Mapped[str]


@app.get("/")
def posts():
    return [{"id": post.id, "text": post.text} for post in db.session.scalars(select(Post))]


@app.get("/me")
def me():
    author = db.session.get(Author, UUID(session["author"])) if "author" in session else abort(401)
    return {"name": author.name, "email": author.email}


@app.post("/posts/<uuid:post_id>/comments")
def comment(post_id: UUID):
    sent = request.get_json()
    row = Comment(post_id=post_id, name=sent["name"], email=sent["email"], text=sent["text"])
    db.session.add(row)
    db.session.commit()
    return {"id": row.id}, 201


@app.get("/comments")
def comments():
    return [
        {"name": row.name, "email": row.email, "text": row.text}
        for row in db.session.scalars(select(Comment))
    ]
