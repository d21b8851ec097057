"""The only way out: a client bound to one recipient, purpose and data subject."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import quote

import urllib3

from ..audit.events import DisclosureEvent
from ..crypto.pseudonym_period import school_year
from ..database.identifiers import canonical_id
from ..errors import (
    ConfigurationError,
    DisclosureRefused,
    PrivacyError,
    RecipientUnavailable,
    UndeclaredProcessing,
)
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..orm.context import current_context
from ..orm.registry import model_info_of
from ..policy.disclosure_rules import decide_disclosure
from ..policy.engine import Decision
from ..policy.model import Action, Recipient
from .address import RecipientAddress
from .references import FieldReference, NonPersonal, field_references, resolved, unlabelled_path

_SEGMENT = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
TIMEOUT = urllib3.Timeout(connect=5, read=10)
LONGEST_ANSWER = 1 << 20
PORTION = 1 << 16


class RecipientResponse:
    """What a recipient answered: a status, and a JSON body that may hold personal data and is never
    printed.
    """

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"


class DisclosureClient:
    """Calls to one recipient about one data subject, for one purpose.

    Made by `LGPrivacy.disclose`. Every call is decided, recorded as an intent, sent, and recorded
    as an outcome. No redirect is followed, no proxy of the environment is used, and TLS is always
    verified.
    """

    def __init__(
        self,
        runtime: Runtime,
        places: Mapping[str, RecipientAddress],
        recipient: str,
        *,
        purpose: str,
        subject: Any,
    ) -> None:
        context = current_context.get()
        if not isinstance(context, ProcessingContext):
            raise UndeclaredProcessing(
                f"a disclosure to {recipient!r} outside any declared processing"
            )
        self._runtime = runtime
        self._processing = context
        self._purpose = purpose
        self._name = recipient if recipient in runtime.policy.recipients else "undeclared"
        layout = model_info_of(type(subject))
        self._subject = (layout.kind, canonical_id(getattr(subject, layout.subject)))
        self._recipient = self._decide(recipient, ())
        declared = context.declaration.purpose if context.declaration else None
        if declared != purpose:
            self._refuse(
                f"the endpoint is declared for purpose {declared!r}, not {purpose!r}",
                self._recipient.clause,
                "purpose",
            )
        endpoint = places.get(recipient)
        if endpoint is None:
            raise ConfigurationError(
                f"recipient {recipient!r} has no address; set LGPRIVACY_RECIPIENTS[{recipient!r}]"
            )
        self._endpoint = endpoint

    def __enter__(self) -> DisclosureClient:
        self._pool = urllib3.HTTPSConnectionPool(
            self._endpoint.host,
            self._endpoint.port,
            maxsize=1,
            retries=False,
            timeout=TIMEOUT,
            ssl_context=self._endpoint.context,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def __repr__(self) -> str:
        return f"<Disclosure to {self._name} for {self._purpose}>"

    def send(
        self, method: str, path: Sequence[str | FieldReference | NonPersonal], body: Any
    ) -> RecipientResponse:
        """Send one call.

        Args:
            method: The HTTP method.
            path: Segments below the base URL, plain ones from the connector's own code.
            body: JSON whose every leaf is a `labelled(…)` value or a `non_personal(…)` one.

        Returns:
            The answer, whatever its status below 600.

        Raises:
            DisclosureRefused: Before any connection.
            RecipientUnavailable: The recipient did not answer, or not over a connection that is
                trusted.
        """
        place = unlabelled_path(body)
        if place is not None:
            self._refuse(
                f"{place} is a bare value; use labelled(row, field) for personal data, or "
                "non_personal(…)",
                self._recipient.clause,
                "label",
            )
        parts = [*field_references(list(path)), *field_references(body)]
        categories = tuple(sorted({part.category for part in parts}))
        self._decide(self._recipient.id, categories)
        for part in parts:
            if part.subject != self._subject:
                self._refuse(
                    "a value is not about the subject of this disclosure",
                    self._recipient.clause,
                    "subject",
                )
            self._authorize(part)
        content = json.dumps(resolved(body)).encode()
        segments = [
            segment if isinstance(segment, str) else str(resolved(segment)) for segment in path
        ]
        if any(isinstance(segment, str) and not _SEGMENT.match(segment) for segment in path) or {
            "",
            ".",
            "..",
        } & {*segments}:
            self._refuse(
                "a path is made of short plain words, labelled(…) and non_personal(…)",
                self._recipient.clause,
                "label",
            )
        url = "/".join([self._endpoint.path, *(quote(segment, safe="") for segment in segments)])
        self._tell("intent", categories)
        return self._exchange(method, url, content, categories)

    # --- inside ---

    def _decide(self, recipient: str, categories: tuple[str, ...]) -> Recipient:
        decided = decide_disclosure(
            self._runtime.policy,
            recipient,
            self._purpose,
            categories,
            self._runtime.utcnow().date(),
        )
        if isinstance(decided, Decision):
            self._refuse(decided.reason, decided.clause, ", ".join(decided.missing), categories)
        return decided

    def _authorize(self, part: FieldReference) -> None:
        kind, subject_id = part.subject
        client = self._processing.keys.require(None, kind, subject_id).client or None
        try:
            self._processing.authorize(
                part.category, Action.DISCLOSE, client=client, subject=part.subject
            )
        except PrivacyError as refusal:
            self._tell(
                "refused",
                (part.category,),
                clause=refusal.clause,
                missing=(getattr(refusal, "missing", None) or refusal.code,),
            )
            raise
        self._processing.record_access(
            part.category, Action.DISCLOSE, client=client, subject=part.subject
        )

    def _refuse(
        self, reason: str, clause: str | None, missing: str, categories: tuple[str, ...] = ()
    ) -> NoReturn:
        declared_categories = tuple(
            category for category in categories if category in self._runtime.policy.categories
        )
        self._tell("refused", declared_categories, clause=clause, missing=(missing,))
        self._processing.refuse(
            DisclosureRefused(reason, clause=clause, missing=missing),
            category=declared_categories[0] if declared_categories else None,
            action=Action.DISCLOSE.value,
        )

    def _tell(
        self,
        stage: Any,
        categories: tuple[str, ...],
        *,
        clause: str | None = None,
        missing: tuple[str, ...] = (),
        status: int | None = None,
    ) -> None:
        recipient = self._runtime.policy.recipients.get(self._name)
        kind, subject_id = self._subject
        key = self._processing.keys.load(None, kind, (subject_id,)).get(subject_id)
        now = self._runtime.utcnow()
        self._runtime.audit.commit(
            DisclosureEvent(
                at=self._runtime.audit.now(),
                stage=stage,
                recipient=self._name,
                purpose=self._purpose
                if self._purpose in self._runtime.policy.purposes
                else "undeclared",
                actor=self._processing.actor_name,
                role=self._processing.actor.role if self._processing.actor else None,
                categories=categories,
                pseudonyms=(key.pseudonym(school_year(now)),)
                if key is not None and stage != "refused"
                else (),
                clause=clause or (recipient.clause if recipient else None),
                missing=missing,
                status=status,
            )
        )

    def _exchange(
        self, method: str, url: str, content: bytes, categories: tuple[str, ...]
    ) -> RecipientResponse:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._endpoint.authorization:
            headers["Authorization"] = self._endpoint.authorization
        longest = float(TIMEOUT.connect_timeout or 0) + float(TIMEOUT.read_timeout or 0)  # type: ignore[arg-type]
        deadline = (
            time.monotonic() + longest
        )  # however little and however often the recipient sends
        try:
            response = self._pool.request(
                method,
                url,
                body=content,
                headers=headers,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                raw = _read_within(response, deadline)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError):
            self._tell("outcome", categories, missing=("connection",))
            raise RecipientUnavailable(
                f"{self._name} could not be reached over a trusted connection, or did not end"
            ) from None
        self._tell("outcome", categories, status=response.status)
        try:
            body = json.loads(raw) if raw else None
        except (ValueError, RecursionError):
            body = None
        return RecipientResponse(response.status, body)


def _read_within(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes | None:
    """An answer as it was sent, not decompressed; None for one that is longer than anybody needs.
    Raises `HTTPError` past the deadline.
    """
    content = b""
    while part := response.read1(PORTION) if hasattr(response, "read1") else response.read(PORTION):
        content += part
        if len(content) > LONGEST_ANSWER:
            return None
        if time.monotonic() > deadline:
            raise urllib3.exceptions.HTTPError
    return content
