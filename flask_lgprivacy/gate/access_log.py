"""What a processing context accessed and what it was refused, until the trail has it."""

from __future__ import annotations

import datetime as dt

from ..audit.events import Access, Refusal
from ..crypto.keys import SubjectKey
from ..crypto.pseudonym_period import school_year
from ..errors import AccessDenied, PrivacyError

AccessKey = tuple[str, str, str | None, str]
"""Category, action, client and kind of subject."""


class AccessLog:
    """Touches, each with its subjects by identifier; refusals, each once; what was withheld; which
    grants were used.
    """

    __slots__ = ("grants", "refused", "touched", "uses", "withheld")

    def __init__(self) -> None:
        self.touched: dict[AccessKey, dict[str, SubjectKey | None]] = {}
        self.refused: dict[Refusal, None] = {}
        self.withheld: dict[str, None] = {}
        self.grants: dict[str, None] = {}
        self.uses: dict[tuple[str, str, str], set[tuple[str, str]]] = {}

    def __bool__(self) -> bool:
        return bool(self.touched or self.refused or self.withheld)

    def copy(self) -> AccessLog:
        """What is noted so far, to be told while it goes on."""
        copy = AccessLog()
        copy.touched, copy.refused = (
            {name: dict(of) for name, of in self.touched.items()},
            dict(self.refused),
        )
        copy.withheld, copy.grants = dict(self.withheld), dict(self.grants)
        return copy

    def subjects_for(
        self, category: str, action: str, client: str | None, kind: str
    ) -> dict[str, SubjectKey | None]:
        """The subjects of a kind that were touched in one way, to be added to until the next
        `drain`.
        """
        return self.touched.setdefault((category, action, client, kind), {})

    def record_grant_use(
        self, grant: str, category: str, action: str, subject: tuple[str, str] | None
    ) -> None:
        """Note that a grant, whose uses its client is shown, let somebody do something, to a
        subject or in general.
        """
        self.uses.setdefault((grant, category, action), set()).update(
            [subject] if subject is not None else []
        )

    def drain_grant_uses(self) -> list[tuple[tuple[str, str, str], set[tuple[str, str]]]]:
        """The uses noted since the last call."""
        uses, self.uses = self.uses, {}
        return list(uses.items())

    def refuse(
        self, error: PrivacyError, clause: str | None, *, category: str | None, action: str | None
    ) -> None:
        """Note a refusal."""
        missing = (error.missing,) if isinstance(error, AccessDenied) and error.missing else ()
        self.refused[Refusal(error.code, clause, category, action, missing)] = None

    def drain(self, now: dt.datetime) -> tuple[tuple[Access, ...], tuple[Refusal, ...]]:
        """Everything noted since the last call, as parts of an event."""
        if not self.touched and not self.refused:
            return (), ()
        year = school_year(now)
        touched = tuple(
            Access(
                category,
                action,
                client,
                len(subjects),
                tuple([key.pseudonym(year) for key in subjects.values() if key is not None]),
            )
            for (category, action, client, _), subjects in self.touched.items()
        )
        refused = tuple(self.refused)
        self.touched, self.refused = {}, {}
        return touched, refused

    def drain_withheld_and_grants(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The categories withheld and the grants used since the last call."""
        if not self.withheld and not self.grants:
            return (), ()
        withheld, grants = tuple(self.withheld), tuple(self.grants)
        self.withheld, self.grants = {}, {}
        return withheld, grants
