"""Which usage events there are: every event, dimension and value is declared, so that none can name
anybody (LG-05).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..policy.model import Policy
from ..policy.sensitive_terms import SensitiveTerms

_EVENT = re.compile(r"^[a-z][a-z0-9]*([._-][a-z0-9]+)*$")
_VALUE = re.compile(r"^(?!.*[0-9]{5})[A-Za-z0-9][A-Za-z0-9 ._+-]{0,31}$")
MOST_VALUES = 50
MOST_DIMENSIONS = 5
RESERVED = frozenset({"day", "month", "client", "count", "times"})


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """An event that is counted: whose doing it is (a kind of subject), and by what else it is
    counted, with all possible values.
    """

    name: str
    by: str
    dimensions: Mapping[str, frozenset[str]]


def parse_usage(settings: Mapping[str, Any], policy: Policy) -> dict[str, UsageEvent]:
    """The events of `LGPRIVACY_USAGE`.

    Args:
        settings: An event to `{"by": kind of subject, "dimensions": {name: list of values}}`.
        policy: The policy document.

    Raises:
        ConfigurationError: Names event and dimension.
    """
    terms, clause = SensitiveTerms(policy), policy.clause_of("statistics")
    events = {}
    for name, entry in settings.items():
        location = f"LGPRIVACY_USAGE[{name!r}]"
        if not isinstance(name, str) or not _EVENT.match(name):
            raise ConfigurationError("LGPRIVACY_USAGE: an event is named like lesson.completed")
        if (
            not isinstance(entry, Mapping)
            or set(entry) - {"by", "dimensions"}
            or entry.get("by") not in policy.subjects
        ):
            kinds = ", ".join(sorted(policy.subjects))
            raise ConfigurationError(
                f"{location} takes by (one of {kinds}) and dimensions (name to a list of values)"
            )
        if not isinstance(entry.get("dimensions", {}), Mapping):
            raise ConfigurationError(f"{location}: dimensions is a name to a list of values")
        dimensions = {}
        if len(entry.get("dimensions", {})) > MOST_DIMENSIONS:
            raise ConfigurationError(
                f"{location}: at most {MOST_DIMENSIONS} dimensions; each makes the groups smaller"
            )
        for dimension, values in dict(entry.get("dimensions", {})).items():
            if (
                not isinstance(dimension, str)
                or not dimension.isidentifier()
                or dimension in RESERVED
            ):
                raise ConfigurationError(
                    f"{location}: a dimension is one word, but not {', '.join(sorted(RESERVED))}"
                )
            is_list = isinstance(values, list | tuple | set | frozenset)
            if not is_list or not 0 < len(values) <= MOST_VALUES:
                raise ConfigurationError(
                    f"{location}: {dimension} takes a list of at most {MOST_VALUES} values"
                )
            for value in [dimension, *values]:
                if not isinstance(value, str) or not _VALUE.match(value):
                    raise ConfigurationError(
                        f"{location}: {dimension} has a value that could be an identifier; use "
                        f"short plain words [{clause}]",
                        clause=clause,
                    )
                sensitive = terms.match(value)
                if sensitive is not None:
                    raise ConfigurationError(
                        f"{location}: {dimension}: {sensitive.says} [{sensitive.clause}]",
                        clause=sensitive.clause,
                    )
            dimensions[dimension] = frozenset(values)
        events[name] = UsageEvent(name, entry["by"], dimensions)
    return events
