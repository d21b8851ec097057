"""Facts: what holds for an actor, and what holds whoever acts."""

from __future__ import annotations

import gc
import weakref
from uuid import UUID

from school import Backend, db

from flask_lgprivacy import Actor
from flask_lgprivacy.gate import ProcessingContext
from flask_lgprivacy.gate.facts import FactResolver, Question
from flask_lgprivacy.policy import Condition

ALL = frozenset(Condition)


def holding(backend: Backend, actor: Actor | None, subject: tuple[str, UUID]) -> set[Condition]:
    kind, identifier = subject
    question = Question(
        "commercial.contact", "product-updates", backend.schools[0].hex, (kind, identifier.hex)
    )
    resolver = FactResolver(backend.runtime.facts, actor, db.session)
    return resolver.resolve(ALL, question)[0]


def test_a_consent_holds_whoever_acts(backend: Backend) -> None:
    with backend.app.app_context():
        contact = ("contact", backend.contact)
        text = next(iter(backend.privacy.policy.purposes["product-updates"].texts))
        backend.privacy.consents.give(
            contact, purpose="product-updates", text_version=text, collected_via="letter",
            actor=backend.holder(),
        )  # fmt: skip
        db.session.commit()
        assert holding(backend, None, contact) == {Condition.CONSENT}


def test_nothing_about_an_actor_holds_for_nobody(backend: Backend) -> None:
    backend.privacy.direct_payment(lambda _client: True)
    with backend.app.app_context():
        student = ("student", backend.students[backend.schools[0]][0])
        assert holding(backend, None, student) == set()


def test_a_context_that_has_ended_goes_without_the_collector(backend: Backend) -> None:
    with backend.app.app_context():
        gc.collect()
        gc.disable()
        try:
            context = ProcessingContext(backend.runtime, "job")
            context.end()
            gone = weakref.ref(context)
            del context
            assert gone() is None
        finally:
            gc.enable()
