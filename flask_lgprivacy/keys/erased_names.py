"""Names under which tombstones stand of people whose identifier may be personal data: an e-mail
address or a user name as primary key stays in none of this package's tables after an erasure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import blake2s
from typing import Final

from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey

KEY_KIND: Final = "lgprivacy:erased"
KEY_NAME: Final = "names"
PREFIX: Final = "erased:"
_NOBODYS = re.compile(r"[0-9a-f]{32}|-?[0-9]+")
"""UUIDs and numbers, which are nobody's name."""


def is_nobodys_name(identifier: str) -> bool:
    """Whether an identifier is a UUID or a number, which says nothing of a person by itself."""
    return _NOBODYS.fullmatch(identifier) is not None


class ErasedNames:
    """Keyed digests of identifiers; the key is made with the first one and keeps its secret through
    every rotation.

    Args:
        load: Returns the keys of a kind by identifier.
        make: Makes the key where there is none.
    """

    def __init__(
        self,
        load: Callable[[Session, str, Iterable[str]], dict[str, SubjectKey]],
        make: Callable[[Session], SubjectKey],
    ) -> None:
        self._load = load
        self._make = make

    def __repr__(self) -> str:
        return "<ErasedNames>"

    def of(self, session: Session, kind: str, ids: Iterable[str]) -> dict[str, str]:
        """Names by identifier, of those identifiers that may be personal; none before the first
        erasure of such a person.
        """
        personal = [one for one in ids if not is_nobodys_name(one)]
        if not personal:
            return {}
        key = self._load(session, KEY_KIND, [KEY_NAME]).get(KEY_NAME)
        return {} if key is None else {one: _name(key, kind, one) for one in personal}

    def given(self, session: Session, kind: str, subject_id: str) -> str:
        """The name under which a tombstone is to stand: the identifier itself where it is nobody's
        name.
        """
        if is_nobodys_name(subject_id):
            return subject_id
        return _name(self._make(session), kind, subject_id)


def _name(key: SubjectKey, kind: str, subject_id: str) -> str:
    told = f"{kind}\x00{subject_id}".encode()
    digest = blake2s(told, key=key.secret, digest_size=16, person=b"lgerased")
    return f"{PREFIX}{digest.hexdigest()}"
