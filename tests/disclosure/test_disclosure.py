"""Nothing goes out but labelled values, to declared recipients, for declared purposes, and the trail knows first."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from school import CANARY, Account, Backend, Contact, Student, close, db, make_backend

from example_app.mailchimp_standin import MailchimpStandIn
from flask_lgprivacy import labelled, non_personal
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.disclosure.connectors import mailchimp
from flask_lgprivacy.errors import (
    DisclosureRefused,
    PrivacyError,
    RecipientUnavailable,
    TrailUnavailable,
    UndeclaredProcessing,
)
from flask_lgprivacy.policy import SHIPPED

UPDATES = "product-updates"


class Listener:
    """Counts connections and bytes that come to a port of this machine."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.came: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    self.came.append(connection.recv(65536))
                except OSError:
                    self.came.append(b"")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def with_contact(backend: Backend, *, consent: bool = True) -> Backend:
    with backend.app.app_context():
        if consent:
            backend.privacy.consents.give(
                ("contact", backend.contact),
                purpose=UPDATES,
                text_version="2026-11",
                collected_via="web-form",
                actor=backend.holder(),
            )
        with backend.job(
            "commercial.contact",
            actor=backend.holder(),
            actions={"write"},
            purpose="exercise-rights",
        ):
            db.session.add(Contact(id=backend.contact, email=f"{CANARY}@ecole.example"))
            db.session.commit()
    return backend


@pytest.fixture
def listened(tmp_path: Path, listener: Listener) -> Iterator[Backend]:
    """A backend whose Mailchimp is a raw listener."""
    recipients = {"mailchimp": {"base_url": f"https://127.0.0.1:{listener.port}/3.0"}}
    made = with_contact(make_backend(tmp_path / "b", LGPRIVACY_RECIPIENTS=recipients))
    yield made
    close(made)


def job(
    backend: Backend, *more: str, purpose: str = UPDATES, actions: Any = ("read", "disclose")
) -> Any:
    return backend.job(
        "commercial.contact", *more, actor=backend.holder(), purpose=purpose, actions=actions
    )


def contact(backend: Backend) -> Any:
    return db.session.get(Contact, backend.contact)


def refusals(backend: Backend) -> list[tuple[str, str]]:
    return [
        (one["recipient"], one["clause"])
        for one in read_trail(backend.folder / "trail", where={"event": "disclosure"})
        if one["stage"] == "refused"
    ]


def send(
    backend: Backend, body: Any, *, recipient: str = "mailchimp", purpose: str = UPDATES
) -> None:
    with backend.privacy.disclose(recipient, purpose=purpose, subject=contact(backend)) as out:
        out.send("POST", ["x"], body)


def undeclared_recipient(backend: Backend) -> None:
    send(backend, {}, recipient="facebook")


def student_name(backend: Backend) -> None:
    pupil = db.session.get(Student, backend.students[backend.schools[0]][0])
    send(backend, {"name": labelled(pupil, "first_name")})


def account_name(backend: Backend) -> None:
    send(backend, {"name": labelled(db.session.get(Account, backend.account), "name")})


def other_purpose(backend: Backend) -> None:
    send(backend, {}, purpose="customer-journey")


def sale(backend: Backend) -> None:
    send(backend, {}, purpose="sale")


def bare_value(backend: Backend) -> None:
    send(backend, {"email": contact(backend).email})


def bare_value_deep_inside(backend: Backend) -> None:
    send(backend, {"a": [{"b": non_personal("x")}, {"b": "somebody"}]})


def value_of_somebody_else(backend: Backend) -> None:
    other = Contact(email="x@y.example")
    other.id = backend.account
    send(backend, {"email": labelled(other, "email")})


@pytest.mark.parametrize(
    ("attempt", "clause"),
    [
        (undeclared_recipient, "LG-10"), (student_name, "LG-17"), (account_name, "LG-17"), (other_purpose, "LG-17"),
        (sale, "LG-09"), (bare_value, "LG-17"), (bare_value_deep_inside, "LG-17"), (value_of_somebody_else, "LG-17"),
    ],
)  # fmt: skip
def test_a_refused_disclosure_sends_no_byte(
    listened: Backend, listener: Listener, attempt: Any, clause: str
) -> None:
    with listened.app.app_context(), job(listened), pytest.raises(DisclosureRefused) as refused:
        attempt(listened)
    assert refused.value.clause == clause
    assert CANARY not in str(refused.value)
    assert listener.came == []
    assert refusals(listened)[-1][1] == clause


def test_the_listener_would_have_seen_a_byte(listened: Backend, listener: Listener) -> None:
    with listened.app.app_context(), job(listened), pytest.raises(RecipientUnavailable):
        send(listened, {"email": labelled(contact(listened), "email")})
    assert len(listener.came) == 1
    assert CANARY.encode() not in listener.came[0]


def test_without_consent_nothing_is_sent(tmp_path: Path, listener: Listener) -> None:
    recipients = {"mailchimp": {"base_url": f"https://127.0.0.1:{listener.port}/3.0"}}
    backend = with_contact(
        make_backend(tmp_path / "b", LGPRIVACY_RECIPIENTS=recipients), consent=False
    )
    with backend.app.app_context(), job(backend), pytest.raises(PrivacyError) as refused:
        send(backend, {"email": labelled(contact(backend), "email")})
    assert (refused.value.clause, listener.came) == ("LG-02", [])
    close(backend)


def test_after_withdrawal_nothing_is_sent(listened: Backend, listener: Listener) -> None:
    with listened.app.app_context():
        listened.privacy.consents.withdraw(
            ("contact", listened.contact), purpose=UPDATES, actor=listened.holder()
        )
        db.session.commit()
        with job(listened), pytest.raises(PrivacyError) as refused:
            send(listened, {"email": labelled(contact(listened), "email")})
    assert (refused.value.clause, listener.came) == ("LG-02", [])


def test_without_a_transfer_tool_in_force_nothing_is_sent(
    tmp_path: Path, listener: Listener
) -> None:
    policy = tmp_path / "policy.toml"
    text = SHIPPED.read_text(encoding="utf-8").replace(
        "since = 2023-07-10 }", "since = 2023-07-10, until = 2024-01-01 }"
    )
    policy.write_text(text, encoding="utf-8")
    recipients = {"mailchimp": {"base_url": f"https://127.0.0.1:{listener.port}/3.0"}}
    backend = with_contact(
        make_backend(tmp_path / "b", LGPRIVACY_POLICY=policy, LGPRIVACY_RECIPIENTS=recipients)
    )
    with backend.app.app_context(), job(backend), pytest.raises(DisclosureRefused) as refused:
        send(backend, {"email": labelled(contact(backend), "email")})
    assert (refused.value.clause, listener.came, refusals(backend)) == (
        "LG-14",
        [],
        [("mailchimp", "LG-14")],
    )
    close(backend)


def test_a_disclosure_needs_the_action_to_be_declared(
    listened: Backend, listener: Listener
) -> None:
    with (
        listened.app.app_context(),
        job(listened, actions={"read"}),
        pytest.raises(UndeclaredProcessing, match="'disclose'"),
    ):
        send(listened, {"email": labelled(contact(listened), "email")})
    assert listener.came == []


def test_a_disclosure_outside_any_processing_is_refused(listened: Backend) -> None:
    with listened.app.app_context(), pytest.raises(UndeclaredProcessing):
        listened.privacy.disclose("mailchimp", purpose=UPDATES, subject=contact(listened))


def test_a_recipient_without_an_address_names_the_setting(tmp_path: Path) -> None:
    backend = with_contact(make_backend(tmp_path / "b"))
    with (
        backend.app.app_context(),
        job(backend),
        pytest.raises(PrivacyError, match="LGPRIVACY_RECIPIENTS"),
    ):
        send(backend, {})
    close(backend)


def test_without_a_trail_nothing_is_sent(listened: Backend, listener: Listener) -> None:
    trail = listened.folder / "trail"
    with pytest.raises(TrailUnavailable), listened.app.app_context(), job(listened):
        trail.chmod(0o500)
        send(listened, {"email": labelled(contact(listened), "email")})
    trail.chmod(0o700)
    assert listener.came == []


def test_a_proxy_of_the_environment_is_not_used(
    listened: Backend, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Listener()
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    with listened.app.app_context(), job(listened), pytest.raises(RecipientUnavailable):
        send(listened, {"email": labelled(contact(listened), "email")})
    proxy.close()
    assert (len(proxy.came), len(listener.came)) == (0, 1)


# --- a stand-in with real TLS ---


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[MailchimpStandIn]:
    made = MailchimpStandIn(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def connected(tmp_path: Path, standin: MailchimpStandIn) -> Iterator[Backend]:
    recipients = {"mailchimp": {"base_url": standin.base_url, "ca_file": str(standin.ca_file)}}
    made = with_contact(make_backend(tmp_path / "b", LGPRIVACY_RECIPIENTS=recipients))
    yield made
    close(made)


def test_a_subscription_reaches_mailchimp(connected: Backend, standin: MailchimpStandIn) -> None:
    with (
        connected.app.app_context(),
        job(connected),
        connected.privacy.disclose("mailchimp", purpose=UPDATES, subject=contact(connected)) as out,
    ):
        mailchimp.subscribe(out, list_id="news", email=labelled(contact(connected), "email"))
    [(method, path, body)] = standin.received
    hashed = mailchimp.subscriber_hash(f"{CANARY}@ecole.example")
    assert (method, path) == ("PUT", f"/3.0/lists/news/members/{hashed}")
    assert json.loads(body) == {
        "email_address": f"{CANARY}@ecole.example",
        "status_if_new": "subscribed",
    }


def test_the_trail_knows_before_and_after(connected: Backend, standin: MailchimpStandIn) -> None:
    with (
        connected.app.app_context(),
        job(connected),
        connected.privacy.disclose("mailchimp", purpose=UPDATES, subject=contact(connected)) as out,
    ):
        mailchimp.unsubscribe(out, list_id="news", email=labelled(contact(connected), "email"))
    told = list(read_trail(connected.folder / "trail", where={"event": "disclosure"}))
    assert [(one["stage"], one["recipient"], one["categories"], one["status"]) for one in told] == [
        ("intent", "mailchimp", ["commercial.contact"], None),
        ("outcome", "mailchimp", ["commercial.contact"], 200),
    ]
    assert len(told[0]["pseudonyms"]) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, standin: MailchimpStandIn
) -> None:
    backend = with_contact(
        make_backend(
            tmp_path / "b", LGPRIVACY_RECIPIENTS={"mailchimp": {"base_url": standin.base_url}}
        )
    )
    with backend.app.app_context(), job(backend), pytest.raises(RecipientUnavailable):
        send(backend, {"email": labelled(contact(backend), "email")})
    assert standin.received == []
    close(backend)


def test_a_list_id_that_leads_elsewhere_is_refused(
    connected: Backend, standin: MailchimpStandIn
) -> None:
    with (
        connected.app.app_context(),
        job(connected),
        connected.privacy.disclose("mailchimp", purpose=UPDATES, subject=contact(connected)) as out,
    ):
        with pytest.raises(PrivacyError, match="letters and digits"):
            mailchimp.subscribe(out, list_id="../../x", email=labelled(contact(connected), "email"))
    assert standin.received == []


def test_labels_and_answers_print_nothing(connected: Backend) -> None:
    from flask_lgprivacy.disclosure import RecipientResponse

    with connected.app.app_context():
        shown = (
            repr(labelled(contact(connected), "email"))
            + repr(RecipientResponse(200, {"x": CANARY}))
            + repr(connected.app.extensions["lgprivacy"].config.recipients)
        )
    assert CANARY not in shown


def form_that_fails(backend: Backend) -> None:
    send(backend, {"email": labelled(contact(backend), "email").map(int)})


def key_that_is_a_value(backend: Backend) -> None:
    send(backend, {contact(backend).email: non_personal(1)})


def path_that_is_a_value(backend: Backend) -> None:
    with backend.privacy.disclose("mailchimp", purpose=UPDATES, subject=contact(backend)) as out:
        out.send("POST", ["x", contact(backend).email], {})


def path_that_leads_up(backend: Backend) -> None:
    with backend.privacy.disclose("mailchimp", purpose=UPDATES, subject=contact(backend)) as out:
        out.send("POST", ["x", non_personal("..")], {})


def constant_that_is_a_body(backend: Backend) -> None:
    send(backend, {"x": non_personal({"email": contact(backend).email})})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "attempt",
    [
        form_that_fails,
        key_that_is_a_value,
        path_that_is_a_value,
        path_that_leads_up,
        constant_that_is_a_body,
    ],
)
def test_a_value_in_an_odd_place_is_refused(
    listened: Backend, listener: Listener, attempt: Any
) -> None:
    with listened.app.app_context(), job(listened), pytest.raises(DisclosureRefused) as refused:
        attempt(listened)
    assert CANARY not in str(refused.value)
    assert refused.value.__cause__ is None
    assert listener.came == []


def test_forms_of_a_value_are_applied_one_after_the_other(connected: Backend) -> None:
    with connected.app.app_context(), job(connected):
        twice = labelled(contact(connected), "email").map(mailchimp.subscriber_hash).map(str.upper)
        assert twice.value() == mailchimp.subscriber_hash(f"{CANARY}@ecole.example").upper()
