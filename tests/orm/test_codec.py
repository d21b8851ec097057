"""A sealed value is given back equal, or is refused when it is assigned."""

from __future__ import annotations

import datetime as dt
import enum
import math
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_lgprivacy.errors import RequestInvalid
from flask_lgprivacy.orm.codec import ValueType, encode_fields, value_type


class Colour(enum.Enum):
    RED = "red"


def given_back(python: type, value: Any) -> Any:
    """A value after it was assigned, sealed as JSON and read."""
    kind: ValueType = value_type(python, "Pupil.field")
    kind.check(value, "Pupil.field")
    read = orjson.loads(encode_fields({"field": value}, "Pupil"))["field"]
    return read if kind.decode is None or read is None else kind.decode(read)


@pytest.mark.parametrize(
    ("python", "value"),
    [
        (dict, {"a": math.nan}), (dict, {"a": [math.inf]}), (list, [b"bytes"]), (list, [(1, 2)]), (dict, {"a": Decimal("1.10")}),
        (dict, {"a": Colour.RED}), (dict, {1: "a"}), (dict, {"a": {1, 2}}), (list, [dt.date(2026, 1, 1)]), (list, [uuid4()]),
        (list, [Path("/x")]), (list, [2**70]), (int, 2**70), (float, math.nan), (float, math.inf), (Decimal, Decimal("NaN")),
        (dt.time, dt.time(8, 30, tzinfo=dt.UTC)),
        (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1, seconds=21)))),
    ],
)  # fmt: skip
def test_what_json_cannot_give_back_is_refused_at_the_assignment(python: type, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^Pupil\.field"):
        given_back(python, value)


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
        dt.datetime(2026, 10, 25, 2, 30, fold=0, tzinfo=ZoneInfo("Europe/Paris")),
        dt.datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Paris")),
        dt.datetime(2026, 1, 1, 12, 0, 0, 123456),
        dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-9, minutes=-30))),
    ],
)
def test_a_moment_keeps_its_offset_or_its_lack_of_one(moment: dt.datetime) -> None:
    again = given_back(dt.datetime, moment)
    assert (again.replace(tzinfo=None), again.utcoffset()) == (
        moment.replace(tzinfo=None, fold=0),
        moment.utcoffset(),
    )


def test_a_list_that_is_changed_after_its_assignment_is_looked_at_again() -> None:
    held: list[Any] = [1]
    value_type(list, "Pupil.field").check(held, "Pupil.field")
    held.append(math.nan)
    with pytest.raises(RequestInvalid, match="JSON does not give back"):
        encode_fields({"field": held}, "Pupil")


TYPES: dict[type, Any] = {
    str: st.text(),
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(),
    bytes: st.binary(),
    dt.date: st.dates(),
    dt.datetime: st.datetimes(timezones=st.none() | st.timezones()),
    dt.time: st.times(timezones=st.none() | st.just(dt.UTC)),
    Decimal: st.decimals(),
    UUID: st.uuids(),
    list: st.lists(
        st.recursive(
            st.none() | st.floats() | st.text() | st.binary() | st.dates(), st.lists, max_leaves=4
        )
    ),
    dict: st.dictionaries(
        st.text() | st.integers(),
        st.floats() | st.text() | st.decimals() | st.tuples(st.integers()),
    ),
}


@given(
    st.sampled_from(sorted(TYPES, key=str)).flatmap(
        lambda kind: st.tuples(st.just(kind), TYPES[kind])
    )
)
def test_any_value_is_given_back_equal_or_refused(pair: tuple[type, Any]) -> None:
    python, value = pair
    try:
        again = given_back(python, value)
    except (TypeError, RequestInvalid):
        return
    if isinstance(value, dt.datetime):
        assert (again.replace(tzinfo=None), again.utcoffset()) == (
            value.replace(tzinfo=None, fold=0),
            value.utcoffset(),
        )
    else:
        assert again == value
