"""Mailchimp Marketing API 3.0: the calls this publisher needs, over the guarded client (LG-17).

Source: Mailchimp's API reference, `PUT /lists/{list_id}/members/{subscriber_hash}` and
`POST …/actions/delete-permanent`; `DELETE` only archives, so it is not used.
"""

from __future__ import annotations

import hashlib
import re

from ...errors import ConfigurationError, RecipientUnavailable
from ..client import DisclosureClient, RecipientResponse
from ..references import FieldReference, non_personal

_LIST_ID = re.compile(r"^[A-Za-z0-9]{1,32}$")


def subscriber_hash(email: str) -> str:
    """The identifier that Mailchimp gives a member: MD5 of the lower-case address (an identifier,
    not a protection).
    """
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def subscribe(out: DisclosureClient, *, list_id: str, email: FieldReference) -> None:
    """Add or keep a member; somebody who unsubscribed there stays unsubscribed. Raises
    `RecipientUnavailable`.
    """
    _checked(
        out.send(
            "PUT",
            ["lists", non_personal(_list(list_id)), "members", email.map(subscriber_hash)],
            {"email_address": email, "status_if_new": non_personal("subscribed")},
        )
    )


def unsubscribe(out: DisclosureClient, *, list_id: str, email: FieldReference) -> None:
    """Unsubscribe a member. Raises `RecipientUnavailable`."""
    _checked(
        out.send(
            "PATCH",
            ["lists", non_personal(_list(list_id)), "members", email.map(subscriber_hash)],
            {"status": non_personal("unsubscribed")},
        )
    )


def _list(list_id: str) -> str:
    if not _LIST_ID.match(list_id):
        raise ConfigurationError("the Mailchimp list id is letters and digits")
    return list_id


def _checked(answer: RecipientResponse) -> None:
    if answer.status >= 300:
        raise RecipientUnavailable(f"mailchimp answered {answer.status}")
