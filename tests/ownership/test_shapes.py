"""Shapes of ownership: for each its rows, who asks, and what they are shown and leave behind, written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from databases import IS_POSTGRESQL
from ownership import Application, fresh_database, start
from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    String,
    Uuid,
    inspect,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import (
    EVERYTHING,
    belongs_to,
    clear,
    concerns,
    delete_row,
    no_personal_data,
    one_of,
    owner,
    owns,
    refers,
    sealed,
    shares,
    subject,
    tagged,
)
from flask_lgprivacy.database.identifiers import canonical_id
from flask_lgprivacy.orm.registry import model_info_on

Keys = Mapping[str, tuple[str, dict[str, Any]]]
"""By column, the table to which it leads and its label."""
Ids = Mapping[str, list[int]]
ALL = EVERYTHING


@dataclass(frozen=True)
class Shape:
    """One shape.

    Attributes:
        people: Tables of people, each with its kind; their rows have a sealed `name`.
        tables: Other tables with a `note`, each with its keys.
        rows: By table, by number, the values of its keys in their order.
        asks: The person, as table and number.
        shown: By table, the numbers of the rows that they are shown.
        hidden: By table and number, the fields that are blank for them.
        gone: By table, the numbers of the rows that are gone when they are erased.
        cleared: By table and number, the columns that are NULL then.
        of_people: The keys of people's tables.
        bare: Tables without a model.
    """

    people: Mapping[str, str]
    tables: Mapping[str, Keys]
    rows: Mapping[str, Mapping[int, tuple[Any, ...]]]
    asks: tuple[str, int]
    shown: Ids
    gone: Ids
    hidden: Mapping[tuple[str, int], set[str]] = field(default_factory=dict)
    cleared: Mapping[tuple[str, int], set[str]] = field(default_factory=dict)
    of_people: Mapping[str, Keys] = field(default_factory=dict)
    bare: frozenset[str] = frozenset()


USER = {"user": "account"}
TWO = {"user": "account", "doc": "clinician"}
BY_USER = ("user", owner())
SHOW_NOTE = ("id", "note")


SHAPES: dict[str, Shape] = {
    # --- one owner ---
    "one owner": Shape(
        USER, {"post": {"user_id": BY_USER}},
        rows={"user": {1: (), 2: ()}, "post": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "post": [1]}, gone={"user": [1], "post": [1]},
    ),
    "an owner that may be absent": Shape(
        USER, {"order": {"user_id": BY_USER}},
        rows={"user": {1: (), 2: ()}, "order": {1: (1,), 2: (None,), 3: (2,)}},
        asks=("user", 1), shown={"user": [1], "order": [1]}, gone={"user": [1], "order": [1]},
    ),
    "one owner over another row": Shape(
        USER, {"post": {"user_id": BY_USER}, "file": {"post_id": ("post", owner())}},
        rows={"user": {1: (), 2: ()}, "post": {1: (1,), 2: (2,)}, "file": {1: (1,), 2: (2,), 3: (1,), 4: (None,)}},
        asks=("user", 1), shown={"user": [1], "post": [1], "file": [1, 3]},
        gone={"user": [1], "post": [1], "file": [1, 3]},
    ),
    "four tables deep": Shape(
        USER,
        {
            "blog": {"user_id": BY_USER}, "post": {"blog_id": ("blog", owner())},
            "file": {"post_id": ("post", owner())}, "page": {"file_id": ("file", owner())},
        },
        rows={
            "user": {1: (), 2: ()}, "blog": {1: (1,), 2: (2,)}, "post": {1: (1,), 2: (2,)},
            "file": {1: (2,), 2: (1,)}, "page": {1: (1,), 2: (2,), 3: (2,)},
        },
        asks=("user", 1), shown={"user": [1], "blog": [1], "post": [1], "file": [2], "page": [2, 3]},
        gone={"user": [1], "blog": [1], "post": [1], "file": [2], "page": [2, 3]},
    ),
    "two ways to one owner": Shape(
        USER,
        {"post": {"user_id": BY_USER}, "draft": {"user_id": BY_USER}, "file": {"post_id": ("post", owner()), "draft_id": ("draft", owner())}},
        rows={
            "user": {1: (), 2: ()}, "post": {1: (1,)}, "draft": {1: (1,), 2: (2,)},
            "file": {1: (1, 1), 2: (1, None), 3: (1, 2)},
        },
        asks=("user", 1), shown={"user": [1], "post": [1], "draft": [1], "file": [1, 2, 3]},
        gone={"user": [1], "post": [1], "draft": [1], "file": [1, 2]}, cleared={("file", 3): {"post_id"}},
    ),
    "an owner who is shown a part": Shape(
        USER, {"report": {"user_id": ("user", owner(shows=("id",)))}},
        rows={"user": {1: ()}, "report": {1: (1,)}},
        asks=("user", 1), shown={"user": [1], "report": [1]}, hidden={("report", 1): {"note", "user_id"}},
        gone={"user": [1], "report": [1]},
    ),
    "an owner who is shown nothing": Shape(
        USER, {"score": {"user_id": ("user", owner(shows=()))}},
        rows={"user": {1: ()}, "score": {1: (1,)}},
        asks=("user", 1), shown={"user": [1]}, gone={"user": [1], "score": [1]},
    ),
    # --- several owners ---
    "two owners, the first is erased": Shape(
        USER, {"message": {"sender": BY_USER, "receiver": BY_USER}},
        rows={"user": {1: (), 2: ()}, "message": {1: (1, 2), 2: (2, 1), 3: (1, 1), 4: (2, 2), 5: (1, None)}},
        asks=("user", 1), shown={"user": [1], "message": [1, 2, 3, 5]},
        gone={"user": [1], "message": [3, 5]},
        cleared={("message", 1): {"sender"}, ("message", 2): {"receiver"}},
    ),
    "two owners, each is shown another part": Shape(
        USER,
        {"message": {"sender": ("user", owner(shows=("id", "note", "sender"))), "receiver": ("user", owner(shows=("id", "receiver")))}},
        rows={"user": {1: (), 2: ()}, "message": {1: (1, 2), 2: (2, 1), 3: (1, 1)}},
        asks=("user", 1), shown={"user": [1], "message": [1, 2, 3]},
        hidden={("message", 1): {"receiver"}, ("message", 2): {"note", "sender"}, ("message", 3): {"note", "sender", "receiver"}},
        gone={"user": [1], "message": [3]}, cleared={("message", 1): {"sender"}, ("message", 2): {"receiver"}},
    ),
    "two owners, and a field goes with one": Shape(
        USER,
        {"message": {"sender": ("user", owner(on_erasure=clear("note"))), "receiver": BY_USER}},
        rows={"user": {1: (), 2: ()}, "message": {1: (1, 2), 2: (2, 1)}},
        asks=("user", 1), shown={"user": [1], "message": [1, 2]}, gone={"user": [1]},
        cleared={("message", 1): {"sender", "note"}, ("message", 2): {"receiver"}},
    ),
    "two owners, and the row goes with either": Shape(
        USER,
        {"message": {"sender": ("user", owner(on_erasure=delete_row())), "receiver": ("user", owner(on_erasure=delete_row()))}},
        rows={"user": {1: (), 2: ()}, "message": {1: (1, 2), 2: (2, 1), 3: (2, 2)}},
        asks=("user", 1), shown={"user": [1], "message": [1, 2]}, gone={"user": [1], "message": [1, 2]},
    ),
    "two owners of two kinds": Shape(
        TWO, {"chat": {"user_id": BY_USER, "doc_id": ("doc", owner())}},
        rows={"user": {1: (), 2: ()}, "doc": {1: (), 2: ()}, "chat": {1: (1, 1), 2: (2, 1), 3: (1, None)}},
        asks=("doc", 1), shown={"doc": [1], "chat": [1, 2]}, gone={"doc": [1]},
        cleared={("chat", 1): {"doc_id"}, ("chat", 2): {"doc_id"}},
    ),
    "the same number in two kinds": Shape(
        TWO, {"chat": {"user_id": BY_USER, "doc_id": ("doc", owner())}},
        rows={"user": {1: (), 2: ()}, "doc": {1: (), 2: ()}, "chat": {1: (1, 2), 2: (2, 1)}},
        asks=("user", 1), shown={"user": [1], "chat": [1]}, gone={"user": [1]},
        cleared={("chat", 1): {"user_id"}},
    ),
    "three owners": Shape(
        USER, {"trio": {"a": BY_USER, "b": BY_USER, "c": BY_USER}},
        rows={"user": {1: (), 2: (), 3: ()}, "trio": {1: (1, 2, 3), 2: (1, 1, 3), 3: (1, 1, 1)}},
        asks=("user", 1), shown={"user": [1], "trio": [1, 2, 3]}, gone={"user": [1], "trio": [3]},
        cleared={("trio", 1): {"a"}, ("trio", 2): {"a", "b"}},
    ),
    "what belongs to a row of two owners": Shape(
        USER,
        {"message": {"sender": BY_USER, "receiver": BY_USER}, "file": {"message_id": ("message", owner())}},
        rows={"user": {1: (), 2: ()}, "message": {1: (1, 2), 2: (1, 1)}, "file": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "message": [1, 2], "file": [1, 2]},
        gone={"user": [1], "message": [2], "file": [2]}, cleared={("message", 1): {"sender"}},
    ),
    # --- about somebody ---
    "about somebody, who sees all": Shape(
        USER, {"message": {"sender": BY_USER, "receiver": ("user", concerns(shows=ALL))}},
        rows={"user": {1: (), 2: ()}, "message": {1: (2, 1), 2: (1, 2), 3: (2, 2)}},
        asks=("user", 1), shown={"user": [1], "message": [1, 2]}, gone={"user": [1], "message": [2]},
        cleared={("message", 1): {"receiver"}},
    ),
    "about somebody, who sees a part": Shape(
        USER, {"review": {"author": BY_USER, "about": ("user", concerns(shows=SHOW_NOTE))}},
        rows={"user": {1: (), 2: ()}, "review": {1: (2, 1)}},
        asks=("user", 1), shown={"user": [1], "review": [1]}, hidden={("review", 1): {"author", "about"}},
        gone={"user": [1]}, cleared={("review", 1): {"about"}},
    ),
    "about somebody, who sees nothing": Shape(
        USER, {"review": {"author": BY_USER, "about": ("user", concerns(shows=()))}},
        rows={"user": {1: (), 2: ()}, "review": {1: (2, 1)}},
        asks=("user", 1), shown={"user": [1]}, gone={"user": [1]}, cleared={("review", 1): {"about"}},
    ),
    "about somebody, with whom the note goes": Shape(
        USER, {"review": {"author": BY_USER, "about": ("user", concerns(shows=(), on_erasure=clear("note")))}},
        rows={"user": {1: (), 2: ()}, "review": {1: (2, 1), 2: (2, 2)}},
        asks=("user", 1), shown={"user": [1]}, gone={"user": [1]}, cleared={("review", 1): {"about", "note"}},
    ),
    "about somebody, with whom the row goes": Shape(
        USER, {"review": {"author": BY_USER, "about": ("user", concerns(shows=ALL, on_erasure=delete_row()))}},
        rows={"user": {1: (), 2: ()}, "review": {1: (2, 1), 2: (2, 2)}},
        asks=("user", 1), shown={"user": [1], "review": [1]}, gone={"user": [1], "review": [1]},
    ),
    "about somebody, and what hangs on it": Shape(
        USER,
        {
            "review": {"author": BY_USER, "about": ("user", concerns(shows=ALL, on_erasure=delete_row()))},
            "photo": {"review_id": ("review", owner())},
        },
        rows={"user": {1: (), 2: ()}, "review": {1: (2, 1), 2: (2, 2)}, "photo": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "review": [1], "photo": [1]},
        gone={"user": [1], "review": [1], "photo": [1]},
    ),
    "about two people of two kinds": Shape(
        TWO, {"visit": {"user_id": ("user", concerns(shows=ALL)), "doc_id": ("doc", concerns(shows=("id",)))}},
        rows={"user": {1: ()}, "doc": {1: ()}, "visit": {1: (1, 1)}},
        asks=("doc", 1), shown={"doc": [1], "visit": [1]}, hidden={("visit", 1): {"note", "user_id", "doc_id"}},
        gone={"doc": [1]}, cleared={("visit", 1): {"doc_id"}},
    ),
    "somebody is the owner, and it is about them": Shape(
        USER, {"message": {"sender": BY_USER, "receiver": ("user", concerns(shows=("id",)))}},
        rows={"user": {1: (), 2: ()}, "message": {1: (1, 1)}},
        asks=("user", 1), shown={"user": [1], "message": [1]}, hidden={("message", 1): {"note", "sender", "receiver"}},
        gone={"user": [1], "message": [1]},
    ),
    "about somebody over a row of theirs": Shape(
        USER, {"post": {"user_id": BY_USER}, "comment": {"author": BY_USER, "post_id": ("post", concerns(shows=SHOW_NOTE))}},
        rows={"user": {1: (), 2: ()}, "post": {1: (1,), 2: (2,)}, "comment": {1: (2, 1), 2: (2, 2), 3: (1, 2)}},
        asks=("user", 1), shown={"user": [1], "post": [1], "comment": [1, 3]}, hidden={("comment", 1): {"author", "post_id"}},
        gone={"user": [1], "post": [1], "comment": [3]}, cleared={("comment", 1): {"post_id"}},
    ),
    # --- no right ---
    "a reference beside an owner": Shape(
        USER, {"task": {"user_id": BY_USER, "made_by": ("user", refers())}},
        rows={"user": {1: (), 2: ()}, "task": {1: (2, 1), 2: (1, 2), 3: (2, None)}},
        asks=("user", 1), shown={"user": [1], "task": [2]}, gone={"user": [1], "task": [2]},
        cleared={("task", 1): {"made_by"}},
    ),
    "a reference and nothing else": Shape(
        USER, {"course": {"teacher_id": ("user", refers())}},
        rows={"user": {1: (), 2: ()}, "course": {1: (1,), 2: (2,), 3: (None,)}},
        asks=("user", 1), shown={"user": [1]}, gone={"user": [1]}, cleared={("course", 1): {"teacher_id"}},
    ),
    "a reference to what somebody owns": Shape(
        USER, {"post": {"user_id": BY_USER}, "link": {"post_id": ("post", refers())}},
        rows={"user": {1: (), 2: ()}, "post": {1: (1,), 2: (2,)}, "link": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "post": [1]}, gone={"user": [1], "post": [1]},
        cleared={("link", 1): {"post_id"}},
    ),
    # --- the other way round ---
    "a person points at what is theirs": Shape(
        USER, {"address": {}}, of_people={"user": {"address_id": ("address", owns())}},
        rows={"address": {1: (), 2: (), 3: ()}, "user": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "address": [1]}, gone={"user": [1], "address": [1]},
    ),
    "two people point at one row": Shape(
        USER, {"address": {}}, of_people={"user": {"address_id": ("address", owns())}},
        rows={"address": {1: (), 2: ()}, "user": {1: (1,), 2: (1,), 3: (2,)}},
        asks=("user", 1), shown={"user": [1], "address": [1]}, gone={"user": [1]},
    ),
    "members own a group": Shape(
        USER, {"team": {}, "member": {"user_id": BY_USER, "team_id": ("team", owns())}},
        rows={"user": {1: (), 2: ()}, "team": {1: (), 2: (), 3: ()}, "member": {1: (1, 1), 2: (1, 2), 3: (2, 2)}},
        asks=("user", 1), shown={"user": [1], "member": [1, 2], "team": [1, 2]},
        gone={"user": [1], "member": [1, 2], "team": [1]},
    ),
    "members are shown a group": Shape(
        USER,
        {"team": {"boss": BY_USER}, "member": {"user_id": BY_USER, "team_id": ("team", shares(shows=SHOW_NOTE))}},
        rows={"user": {1: (), 2: ()}, "team": {1: (2,), 2: (1,)}, "member": {1: (1, 1), 2: (2, 2)}},
        asks=("user", 1), shown={"user": [1], "member": [1], "team": [1, 2]}, hidden={("team", 1): {"boss"}},
        gone={"user": [1], "member": [1], "team": [2]}, cleared={("member", 2): {"team_id"}},
    ),
    "members are shown what belongs to a group": Shape(
        USER,
        {
            "team": {"boss": BY_USER}, "member": {"user_id": BY_USER, "team_id": ("team", shares(shows=ALL))},
            "plan": {"team_id": ("team", owner())},
        },
        rows={"user": {1: (), 2: ()}, "team": {1: (2,)}, "member": {1: (1, 1)}, "plan": {1: (1,), 2: (None,)}},
        asks=("user", 1), shown={"user": [1], "member": [1], "team": [1], "plan": [1]},
        gone={"user": [1], "member": [1]},
    ),
    "a boss and members own a group": Shape(
        TWO,
        {"team": {"boss": ("doc", owner())}, "member": {"user_id": BY_USER, "team_id": ("team", owns())}},
        rows={"user": {1: ()}, "doc": {1: (), 2: ()}, "team": {1: (1,), 2: (1,), 3: (2,)}, "member": {1: (1, 2)}},
        asks=("doc", 1), shown={"doc": [1], "team": [1, 2]}, gone={"doc": [1], "team": [1]},
        cleared={("team", 2): {"boss"}},
    ),
    "files of a group and of their maker": Shape(
        USER,
        {
            "team": {}, "member": {"user_id": BY_USER, "team_id": ("team", owns())}, "file": {"maker": BY_USER},
            "shelf": {"file_id": ("file", owns()), "team_id": ("team", owner())},
        },
        rows={
            "user": {1: (), 2: ()}, "team": {1: (), 2: ()}, "member": {1: (1, 1), 2: (2, 1), 3: (1, 2)},
            "file": {1: (1,), 2: (1,), 3: (2,)}, "shelf": {1: (1, 1), 2: (2, 2), 3: (3, 2)},
        },
        asks=("user", 1),
        shown={"user": [1], "member": [1, 3], "team": [1, 2], "file": [1, 2, 3], "shelf": [1, 2, 3]},
        gone={"user": [1], "member": [1, 3], "team": [2], "file": [2], "shelf": [2, 3]},
        cleared={("file", 1): {"maker"}},
    ),
    # --- self references ---
    "an answer to a row": Shape(
        USER, {"comment": {"author": BY_USER, "parent": ("comment", refers())}},
        rows={"user": {1: (), 2: ()}, "comment": {1: (1, None), 2: (2, 1), 3: (1, 2), 4: (2, 3)}},
        asks=("user", 1), shown={"user": [1], "comment": [1, 3]}, gone={"user": [1], "comment": [1, 3]},
        cleared={("comment", 2): {"parent"}, ("comment", 4): {"parent"}},
    ),
    "an answer that is about who is answered": Shape(
        USER, {"comment": {"author": BY_USER, "parent": ("comment", concerns(shows=SHOW_NOTE))}},
        rows={"user": {1: (), 2: ()}, "comment": {1: (1, None), 2: (2, 1), 3: (2, 2), 4: (2, None)}},
        asks=("user", 1), shown={"user": [1], "comment": [1, 2, 3]},
        hidden={("comment", 2): {"author", "parent"}, ("comment", 3): {"author", "parent"}},
        gone={"user": [1], "comment": [1]}, cleared={("comment", 2): {"parent"}},
    ),
    "a thread that goes with its first author": Shape(
        USER, {"comment": {"author": BY_USER, "parent": ("comment", concerns(shows=(), on_erasure=delete_row()))}},
        rows={"user": {1: (), 2: ()}, "comment": {1: (1, None), 2: (2, 1), 3: (2, 2), 4: (2, None)}},
        asks=("user", 1), shown={"user": [1], "comment": [1]}, gone={"user": [1], "comment": [1, 2, 3]},
    ),
    "a tree that belongs to its root": Shape(
        USER, {"node": {"user_id": BY_USER, "parent": ("node", owner())}},
        rows={"user": {1: (), 2: ()}, "node": {1: (1, None), 2: (None, 1), 3: (None, 2), 4: (2, 1), 5: (2, None)}},
        asks=("user", 1), shown={"user": [1], "node": [1, 2, 3, 4]}, gone={"user": [1], "node": [1, 2, 3]},
        cleared={("node", 4): {"parent"}},
    ),
    "people who were invited": Shape(
        USER, {}, of_people={"user": {"invited_by": ("user", refers())}},
        rows={"user": {1: (None,), 2: (1,), 3: (2,)}},
        asks=("user", 1), shown={"user": [1]}, gone={"user": [1]}, cleared={("user", 2): {"invited_by"}},
    ),
    "a child's account of a parent": Shape(
        TWO, {"post": {"user_id": BY_USER}}, of_people={"user": {"parent_id": ("doc", owner())}},
        rows={"doc": {1: (), 2: ()}, "user": {1: (1,), 2: (None,)}, "post": {1: (1,), 2: (2,)}},
        asks=("doc", 1), shown={"doc": [1], "user": [1], "post": [1]}, gone={"doc": [1]},
        cleared={("user", 1): {"parent_id"}},
    ),
    "a child is erased, the parent stays": Shape(
        TWO, {"post": {"user_id": BY_USER}}, of_people={"user": {"parent_id": ("doc", owner())}},
        rows={"doc": {1: ()}, "user": {1: (1,), 2: (1,)}, "post": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "post": [1]}, gone={"user": [1], "post": [1]},
    ),
    "a child goes with its parent": Shape(
        TWO, {"post": {"user_id": BY_USER}},
        of_people={"user": {"parent_id": ("doc", owner(on_erasure=delete_row()))}},
        rows={"doc": {1: (), 2: ()}, "user": {1: (1,), 2: (2,)}, "post": {1: (1,), 2: (2,)}},
        asks=("doc", 1), shown={"doc": [1], "user": [1], "post": [1]}, gone={"doc": [1], "user": [1], "post": [1]},
    ),
    "an invited account, of which the inviter sees the number": Shape(
        USER, {"post": {"user_id": BY_USER}}, of_people={"user": {"invited_by": ("user", concerns(shows=("id",)))}},
        rows={"user": {1: (None,), 2: (1,)}, "post": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1, 2], "post": [1]}, hidden={("user", 2): {"name", "invited_by"}},
        gone={"user": [1], "post": [1]}, cleared={("user", 2): {"invited_by"}},
    ),
    # --- circles ---
    "a circle of two tables": Shape(
        USER, {"post": {"user_id": BY_USER, "best": ("reply", refers())}, "reply": {"post_id": ("post", owner())}},
        rows={"user": {1: (), 2: ()}, "post": {1: (1, 1), 2: (2, 2)}, "reply": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "post": [1], "reply": [1]}, gone={"user": [1], "post": [1], "reply": [1]},
    ),
    "a circle of three tables": Shape(
        USER,
        {
            "a": {"user_id": BY_USER, "c_id": ("c", owner())}, "b": {"a_id": ("a", owner())}, "c": {"b_id": ("b", owner())},
        },
        rows={"user": {1: (), 2: ()}, "a": {1: (1, 1), 2: (2, 2)}, "b": {1: (1,), 2: (2,)}, "c": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "a": [1], "b": [1], "c": [1]},
        gone={"user": [1], "a": [1], "b": [1], "c": [1]},
    ),
    "a circle that somebody else holds": Shape(
        USER,
        {
            "a": {"user_id": BY_USER, "c_id": ("c", owner())}, "b": {"a_id": ("a", owner())},
            "c": {"b_id": ("b", owner()), "other": BY_USER},
        },
        rows={"user": {1: (), 2: ()}, "a": {1: (1, 1)}, "b": {1: (1,)}, "c": {1: (1, 2)}},
        asks=("user", 1), shown={"user": [1], "a": [1], "b": [1], "c": [1]}, gone={"user": [1]},
        cleared={("a", 1): {"user_id"}},
    ),
    "a row that points at itself": Shape(
        USER, {"node": {"user_id": BY_USER, "self_id": ("node", owner())}},
        rows={"user": {1: (), 2: ()}, "node": {1: (1, 1), 2: (2, 2)}},
        asks=("user", 1), shown={"user": [1], "node": [1]}, gone={"user": [1], "node": [1]},
    ),
    # --- tables without a model ---
    "many to many": Shape(
        USER, {"club": {}, "membership": {"user_id": BY_USER, "club_id": ("club", {})}}, bare=frozenset({"membership"}),
        rows={"user": {1: (), 2: ()}, "club": {1: (), 2: ()}, "membership": {1: (1, 1), 2: (1, 2), 3: (2, 1)}},
        asks=("user", 1), shown={"user": [1], "membership": [1, 2]}, gone={"user": [1], "membership": [1, 2]},
    ),
    "friends": Shape(
        USER, {"friends": {"a": ("user", owner(on_erasure=delete_row())), "b": ("user", concerns(shows=ALL, on_erasure=delete_row()))}},
        bare=frozenset({"friends"}),
        rows={"user": {1: (), 2: (), 3: ()}, "friends": {1: (1, 2), 2: (3, 1), 3: (2, 3)}},
        asks=("user", 1), shown={"user": [1], "friends": [1, 2]}, gone={"user": [1], "friends": [1, 2]},
    ),
    "a log": Shape(
        USER, {"log": {"user_id": ("user", owner())}}, bare=frozenset({"log"}),
        rows={"user": {1: (), 2: ()}, "log": {1: (1,), 2: (2,), 3: (1,)}},
        asks=("user", 1), shown={"user": [1], "log": [1, 3]}, gone={"user": [1], "log": [1, 3]},
    ),
    "tags of somebody's rows": Shape(
        USER, {"post": {"user_id": BY_USER}, "tag": {}, "tagging": {"post_id": ("post", owner()), "tag_id": ("tag", {})}},
        bare=frozenset({"tagging"}),
        rows={"user": {1: (), 2: ()}, "post": {1: (1,), 2: (2,)}, "tag": {1: ()}, "tagging": {1: (1, 1), 2: (2, 1)}},
        asks=("user", 1), shown={"user": [1], "post": [1], "tagging": [1]}, gone={"user": [1], "post": [1], "tagging": [1]},
    ),
    # --- keys without a foreign key ---
    "a number without a foreign key": Shape(
        USER, {"legacy": {"owner_number": ("", owner(leads_to="user.id"))}},
        rows={"user": {1: (), 2: ()}, "legacy": {1: (1,), 2: (2,)}},
        asks=("user", 1), shown={"user": [1], "legacy": [1]}, gone={"user": [1], "legacy": [1]},
    ),
    "a generic key": Shape(
        TWO,
        {
            "post": {"user_id": BY_USER},
            "note": {
                "object_type": ("", {}),
                "object_id": (
                    "",
                    one_of(
                        owner(leads_to="post.id", when={"object_type": "post"}),
                        owner(leads_to="doc.id", when={"object_type": "doc"}),
                    ),
                ),
            },
        },
        rows={
            "user": {1: (), 2: ()}, "doc": {1: ()}, "post": {1: (1,), 2: (2,)},
            "note": {1: ("post", 1), 2: ("post", 2), 3: ("doc", 1), 4: ("other", 1)},
        },
        asks=("user", 1), shown={"user": [1], "post": [1], "note": [1]}, gone={"user": [1], "post": [1], "note": [1]},
    ),
    "a generic key to a person": Shape(
        TWO,
        {
            "note": {
                "object_type": ("", {}),
                "object_id": (
                    "",
                    one_of(
                        owner(leads_to="user.id", when={"object_type": "user"}),
                        concerns(leads_to="doc.id", when={"object_type": "doc"}, shows=("id",)),
                    ),
                ),
            },
        },
        rows={"user": {1: ()}, "doc": {1: ()}, "note": {1: ("user", 1), 2: ("doc", 1), 3: ("other", 1)}},
        asks=("doc", 1), shown={"doc": [1], "note": [2]},
        hidden={("note", 2): {"object_type", "object_id", "note"}}, gone={"doc": [1]}, cleared={("note", 2): {"object_id"}},
    ),
    # --- together ---
    "two owners of two kinds with a link row": Shape(
        TWO,
        {
            "case": {"user_id": BY_USER}, "care": {"doc_id": ("doc", owner()), "case_id": ("case", owns(shows=SHOW_NOTE))},
            "letter": {"case_id": ("case", owner())},
        },
        rows={
            "user": {1: (), 2: ()}, "doc": {1: (), 2: ()}, "case": {1: (1,), 2: (1,), 3: (2,)},
            "care": {1: (1, 1), 2: (2, 3)}, "letter": {1: (1,), 2: (2,), 3: (3,)},
        },
        asks=("user", 1), shown={"user": [1], "case": [1, 2], "letter": [1, 2]},
        gone={"user": [1], "case": [2], "letter": [2]}, cleared={("case", 1): {"user_id"}},
    ),
    "a self reference inside a path": Shape(
        USER,
        {"folder": {"user_id": BY_USER, "parent": ("folder", owner())}, "file": {"folder_id": ("folder", owner()), "made_by": ("user", refers())}},
        rows={
            "user": {1: (), 2: ()}, "folder": {1: (1, None), 2: (None, 1), 3: (2, None)},
            "file": {1: (2, 2), 2: (1, 1), 3: (3, 1)},
        },
        asks=("user", 1), shown={"user": [1], "folder": [1, 2], "file": [1, 2]},
        gone={"user": [1], "folder": [1, 2], "file": [1, 2]}, cleared={("file", 3): {"made_by"}},
    ),
    "two references to one person": Shape(
        USER, {"task": {"made_by": ("user", refers()), "for_whom": ("user", refers())}},
        rows={"user": {1: (), 2: ()}, "task": {1: (1, 1), 2: (2, 1)}},
        asks=("user", 1), shown={"user": [1]}, gone={"user": [1]},
        cleared={("task", 1): {"made_by", "for_whom"}, ("task", 2): {"for_whom"}},
    ),
    "an order, its lines and their returns": Shape(
        TWO,
        {
            "shop_order": {"buyer": BY_USER, "seller": ("doc", concerns(shows=SHOW_NOTE))},
            "line": {"order_id": ("shop_order", owner())},
            "parcel": {"line_id": ("line", owner()), "packed_by": ("doc", refers())},
        },
        rows={
            "user": {1: (), 2: ()}, "doc": {1: (), 2: ()}, "shop_order": {1: (1, 1), 2: (2, 1)},
            "line": {1: (1,), 2: (2,)}, "parcel": {1: (1, 1), 2: (2, 2)},
        },
        asks=("doc", 1), shown={"doc": [1], "shop_order": [1, 2], "line": [1, 2], "parcel": [1, 2]},
        hidden={("shop_order", 1): {"buyer", "seller"}, ("shop_order", 2): {"buyer", "seller"}},
        gone={"doc": [1]},
        cleared={("shop_order", 1): {"seller"}, ("shop_order", 2): {"seller"}, ("parcel", 1): {"packed_by"}},
    ),
}  # fmt: skip


def models_of(shape: Shape, *, is_sealed: bool, is_composite: bool = False) -> Any:
    """A database with a model for each table of a shape, by name in `made`; notes are sealed or tagged.

    Where `is_composite`, every primary key is a realm and a number, every foreign key leads to both,
    and people and sealed notes have an identifier besides.
    """
    db = fresh_database()
    db.made = {}
    identifier = "uid" if is_composite else None
    for table, kind in shape.people.items():
        body = {
            "__privacy__": subject(kind, identifier=identifier),
            "name": sealed("account.identity"),
            "__annotations__": {"name": Mapped[str]},
            **columns_of(shape, table, shape.of_people.get(table, {}), is_composite=is_composite),
        }
        db.made[table] = define(db, table, body)
    for table, keys in shape.tables.items():
        columns = columns_of(shape, table, keys, is_composite=is_composite)
        if table in shape.bare and is_composite:
            db.made[table] = bare_table(db, table, columns)
        elif table in shape.bare:
            note = Column("note", String(40), info=no_personal_data("a word of the test"))
            named = [
                Column(
                    name,
                    *(
                        made.foreign_keys
                        and [ForeignKey(key.target_fullname) for key in made.foreign_keys]
                    )
                    or [Integer],
                    info=made.info,
                    primary_key=made.primary_key,
                )
                for name, mapped in columns.items()
                for made in [mapped.column]
            ]
            db.made[table] = db.Table(table, *named, note)
        else:
            is_owned = any(gives_right(label) for _, label in keys.values())
            is_owned = is_owned or leads_here(shape, table)
            body = {"note": tagged("account.identity", String(40), nullable=True), **columns}
            if is_owned:
                body["__privacy__"] = belongs_to(identifier=identifier)
                if is_sealed:
                    body["note"] = sealed("account.identity")
                    body["__annotations__"] = {"note": Mapped[str | None]}
            else:
                body["note"] = mapped_column(String(40))
            db.made[table] = define(db, table, body)
    return db


def leads_here(shape: Shape, table: str) -> bool:
    """Whether a key of another table says whose rows are."""
    every = [*shape.of_people.values(), *shape.tables.values()]
    return any(
        target == table and label
        for keys in every
        for target, label in keys.values()
        if label and is_turned(label)
    )


def gives_right(label: dict[str, Any]) -> bool:
    keys = label.get("lgprivacy", {}).get("keys", ())
    return any(key.meaning in ("owner", "concerns") for key in keys)


def is_turned(label: dict[str, Any]) -> bool:
    return any(key.meaning in ("owns", "shares") for key in label["lgprivacy"]["keys"])


def bare_table(db: Any, table: str, columns: dict[str, Any]) -> Any:
    """A table without a model whose key has two columns."""
    constraints = columns.pop("__table_args__", ())
    made = [mapped.column for mapped in columns.values()]
    plain = [
        Column(name, column.type, info=column.info, primary_key=column.primary_key)
        for name, column in zip(columns, made, strict=True)
        if name != "uid"
    ]
    note = Column("note", String(40), info=no_personal_data("a word of the test"))
    return db.Table(table, *plain, note, *constraints)


def columns_of(
    shape: Shape, table: str, keys: Keys, *, is_composite: bool = False
) -> dict[str, Any]:
    columns: dict[str, Any] = {"id": mapped_column(Integer, primary_key=True)}
    if is_composite:
        columns = {
            "realm": mapped_column(Integer, primary_key=True, autoincrement=False),
            "id": mapped_column(Integer, primary_key=True, autoincrement=False),
            "uid": mapped_column(
                Uuid, unique=True, nullable=False, default=uuid4, info=no_personal_data("random")
            ),
        }
        columns["__table_args__"] = tuple(
            ForeignKeyConstraint(
                ["realm", name],
                [f"{target}.realm", f"{target}.id"],
                name=f"{table}_{name}",
                info=label,
            )
            for name, (target, label) in keys.items()
            if target
        )
    for number, (name, (target, label)) in enumerate(keys.items()):
        if target and is_composite:
            columns[name] = mapped_column(Integer, nullable=True)
        elif target:
            columns[name] = mapped_column(ForeignKey(f"{target}.id"), info=label)
        else:
            is_text = any(isinstance(row[number], str) for row in shape.rows[table].values())
            reason = label or no_personal_data("a kind of object")
            columns[name] = mapped_column(
                String(20) if is_text else Integer, info=reason, nullable=True
            )
    return columns


def define(db: Any, table: str, body: dict[str, Any]) -> Any:
    return type(f"M_{table}", (db.Model,), {"__tablename__": table, "__module__": __name__, **body})


def fill(application: Application, shape: Shape, **realm: int) -> None:
    """Insert the rows of a shape; a key to a row that comes later is set when that is there."""
    db, there, later = application.db, set(), []
    for table, rows in shape.rows.items():
        keys = shape.of_people.get(table) or shape.tables.get(table, {})
        for number, values in rows.items():
            row: dict[str, Any] = {"id": number, **realm}
            for (name, (target, _)), value in zip(keys.items(), values, strict=True):
                if target and value is not None and (target, value) not in there:
                    later.append((table, number, name, value))
                else:
                    row[name] = value
            if table in shape.people:
                row["name"] = f"{table} {number}"
            else:
                row["note"] = f"{table} {number}"
            with application.writing():
                made = db.made[table]
                if table in shape.bare:
                    db.session.execute(made.insert().values(row))
                else:
                    db.session.add(made(**row))
                db.session.commit()
            there.add((table, number))
    for table, number, name, value in later:
        there_too = " AND realm = :realm" if realm else ""
        statement = text(f'UPDATE "{table}" SET "{name}" = :value WHERE id = :number{there_too}')
        db.session.execute(statement, {"value": value, "number": number, **realm})
    db.session.commit()


def expected_export(shape: Shape) -> dict[str, dict[int, dict[str, Any]]]:
    """What is shown, from the rows and what the shape says of them."""
    result: dict[str, dict[int, dict[str, Any]]] = {}
    for table, numbers in shape.shown.items():
        keys = shape.of_people.get(table) or shape.tables.get(table, {})
        word = "name" if table in shape.people else "note"
        for number in numbers:
            row = {
                "id": number,
                word: f"{table} {number}",
                **dict(zip(keys, shape.rows[table][number], strict=True)),
            }
            hidden = shape.hidden.get((table, number), set())
            shown = {name: None if name in hidden else value for name, value in row.items()}
            result.setdefault(table, {})[number] = shown
    return result


def rows_by_number(application: Application, table: str) -> dict[int, dict[str, Any]]:
    """The rows of a table as they are stored, and what stands in their sealed notes."""
    return {number: row for (_, number), row in rows_by_place(application, table).items()}


def rows_by_place(application: Application, table: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The same by realm and number."""
    rows = application.db.session.execute(text(f'SELECT * FROM "{table}"')).mappings().all()
    found = {
        (row.get("realm", 0), row["id"]): {
            name: bytes(value) if isinstance(value, memoryview) else value
            for name, value in row.items()
        }
        for row in rows
    }
    made = application.db.made[table]
    layout = model_info_on(inspect(made)) if isinstance(made, type) else None
    if layout is not None and layout.groups and layout.is_shared:
        ids = [canonical_id(row[layout.key]) for row in found.values()]
        keys = application.runtime.keys.load(application.db.session(), layout.key_kind, ids)
        (group,) = layout.groups.values()
        for one, row in zip(ids, found.values(), strict=True):
            envelope: Any = row[group.column]
            version: Any = row["lgprivacy_version"]
            row.update(group.unsealed(keys[one], envelope, one, version))
    application.db.session.commit()
    return found


def cleared(row: dict[str, Any], names: Iterable[str], after: dict[str, Any]) -> dict[str, Any]:
    """What a row becomes without some values; out of a record they go with a new version of it."""
    expected = {**row, **dict.fromkeys(names)}
    if "note" in names and "lgprivacy_version" in row:
        assert after["lgprivacy_version"] == row["lgprivacy_version"] + 1
        written = {name: value for name, value in after.items() if name.startswith("lgprivacy_")}
        expected.update(written)
    return expected


@pytest.mark.parametrize("enforced", [False, True], ids=["keys free", "keys enforced"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_right(name: str, enforced: bool, tmp_path: Path) -> None:
    if IS_POSTGRESQL and not enforced:
        pytest.skip("PostgreSQL enforces every foreign key")
    shape = SHAPES[name]
    db = models_of(shape, is_sealed=False)
    carry_out(shape, start(db, tmp_path / "shape", enforced=enforced))


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_with_sealed_notes_is_right(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    carry_out(shape, start(models_of(shape, is_sealed=True), tmp_path / "shape"))


def carry_out(shape: Shape, application: Application) -> None:
    """Fill the tables, show somebody everything, erase them, and compare."""
    kind, number = shape.people[shape.asks[0]], shape.asks[1]
    with application.app.app_context():
        fill(application, shape)
        before = {table: rows_by_number(application, table) for table in shape.rows}
        shown = {
            table.removeprefix("M_"): {
                number_of(row, shape, table.removeprefix("M_")): row for row in rows
            }
            for table, rows in application.export(kind, number).items()
            if rows
        }
        assert shown == expected_export(shape)
        done = application.erase(kind, number)
        assert (done.state, done.outcome and done.outcome["left"]) == ("completed", {})
        after = {table: rows_by_number(application, table) for table in shape.rows}
        for table, rows in before.items():
            expected = {
                one: cleared(row, shape.cleared.get((table, one), ()), after[table].get(one, {}))
                for one, row in rows.items()
                if one not in shape.gone.get(table, [])
            }
            assert after[table] == expected, table


def number_of(row: dict[str, Any], shape: Shape, table: str) -> Any:
    """The number of an exported row, also where it is blank."""
    if row["id"] is not None:
        return row["id"]
    word = row.get("note") or row.get("name")
    return int(word.split()[-1])


WITHOUT_COMPOSITE_KEYS = frozenset(
    name
    for name, shape in SHAPES.items()
    if any(
        not target
        for keys in (*shape.tables.values(), *shape.of_people.values())
        for target, _ in keys.values()
    )
)
"""Shapes with keys of which the database knows nothing: such a key is one column."""


@pytest.mark.parametrize("is_sealed", [False, True], ids=["tagged", "sealed"])
@pytest.mark.parametrize("name", [name for name in SHAPES if name not in WITHOUT_COMPOSITE_KEYS])
def test_a_shape_whose_keys_have_two_columns_is_right(
    name: str, is_sealed: bool, tmp_path: Path
) -> None:
    shape = SHAPES[name]
    db = models_of(shape, is_sealed=is_sealed, is_composite=True)
    application = start(db, tmp_path / "shape")
    with application.app.app_context():
        for realm in (1, 2):
            fill(application, shape, realm=realm)
        table, number = shape.asks
        before = {table: rows_by_place(application, table) for table in shape.rows}
        uid = before[table][1, number]["uid"]
        shown = {
            name.removeprefix("M_"): {
                number_of(row, shape, name.removeprefix("M_")): row for row in rows
            }
            for name, rows in application.export(shape.people[table], uid).items()
            if rows
        }
        for rows in shown.values():
            for row in rows.values():
                assert row.pop("realm") in (1, None)
                row.pop("uid", None)
        assert shown == expected_export(shape)
        done = application.erase(shape.people[table], uid)
        assert (done.state, done.outcome and done.outcome["left"]) == ("completed", {})
        for table, rows in before.items():
            after = rows_by_place(application, table)
            expected = {
                place: cleared(
                    row,
                    shape.cleared.get((table, place[1]), ()) if place[0] == 1 else (),
                    after.get(place, {}),
                )
                for place, row in rows.items()
                if place[0] == 2 or place[1] not in shape.gone.get(table, [])
            }
            assert after == expected, table
