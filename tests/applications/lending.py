"""A lending library: readers and librarians are accounts of two tables; loans, a reading list, reviews of several kinds."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from forum import IDENTITY, PURPOSE, ROLE, me, number
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import (
    LGPrivacy,
    belongs_to,
    clear,
    no_personal_data,
    not_personal,
    owner,
    refers,
    schema_of,
    sealed,
    subject,
    tagged,
)


def build(db: Any, privacy: LGPrivacy) -> tuple[dict[str, Any], Blueprint]:
    """Its models and its pages."""

    class Reader(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)
        email: Mapped[str] = sealed(IDENTITY, index=True, unique=True)

    class Librarian(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account", name="librarian")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Book(db.Model):  # type: ignore[misc, name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(String(80))
        bought_by: Mapped[int | None] = mapped_column(ForeignKey("librarian.id"), info=refers())

    class Loan(db.Model):  # type: ignore[misc, name-defined]
        """Read through the reader alone; who handed it out is forgotten with the librarian."""

        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
        reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"), info=owner())
        handed_out_by: Mapped[int | None] = mapped_column(
            ForeignKey("librarian.id"), info=refers(on_erasure=clear())
        )
        note: Mapped[str | None] = sealed(IDENTITY)

    class Review(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "stars"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(10))
        reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"))
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
        stars: Mapped[int] = not_personal("of the book")

    class WrittenReview(Review):
        __mapper_args__ = {"polymorphic_identity": "written"}
        words: Mapped[str | None] = tagged(IDENTITY, String(400))

    db.Table(
        "reading_list",
        db.Column("reader_id", ForeignKey("reader.id"), primary_key=True, info=owner()),
        db.Column("book_id", ForeignKey("book.id"), primary_key=True),
        db.Column("place", db.Integer, info=no_personal_data("the order of the list")),
    )
    pages = Blueprint("lending", __name__)

    @pages.post("/loans")
    @privacy.handles(
        IDENTITY,
        roles=ROLE,
        purpose=PURPOSE,
        actions={"read", "write"},
        accepts=schema_of(Loan, "note", book_id=number("a book"), handed_out_by=number("who")),
    )
    def lend() -> Any:
        db.session.add(Loan(reader_id=me(), **privacy.accepted))
        db.session.commit()
        return "", 204

    @pages.get("/loans")
    @privacy.handles(IDENTITY, roles=ROLE, purpose=PURPOSE)
    def loans() -> Any:
        mine = select(Loan).where(Loan.reader_id == me())
        return jsonify([loan.note for loan in db.session.scalars(mine)])

    @pages.post("/reviews")
    @privacy.handles(
        IDENTITY,
        roles=ROLE,
        purpose=PURPOSE,
        actions={"read", "write"},
        accepts=schema_of(
            WrittenReview, "words", book_id=number("a book"), stars=number("of the book")
        ),
    )
    def review() -> Any:
        db.session.add(WrittenReview(reader_id=me(), **privacy.accepted))
        db.session.commit()
        return "", 204

    models = {
        "reader": Reader, "librarian": Librarian, "book": Book, "loan": Loan, "review": Review,
        "written": WrittenReview,
    }  # fmt: skip
    return models, pages
