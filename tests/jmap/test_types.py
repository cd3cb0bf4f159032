"""The value types of RFC 8620 section 1."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jmap import types

GOOD: list[tuple[types.Check, list[Any]]] = [
    (types.is_any, [None, 1, "", [], {}]),
    (types.is_string, ["", "a", "ß"]),
    (types.is_boolean, [True, False]),
    (types.is_true, [True]),
    (types.is_number, [0, -1, 1.5, 2**70]),
    (types.is_int, [0, -1, 2**53 - 1, -(2**53) + 1]),
    (types.is_unsigned_int, [0, 2**53 - 1]),
    (types.is_positive_int, [1, 2**53 - 1]),
    (types.is_object, [{}, {"a": 1}]),
    (types.is_id, ["a", "A-_9", "x" * 255, "-", "0"]),
    (types.is_id_or_reference, ["a", "#a", "#" + "x" * 255, "x" * 255]),
    (
        types.is_date,
        [
            "2014-10-30T14:12:00+08:00",
            "2014-10-30T06:12:00Z",
            "2014-10-30T06:12:00.5Z",
            "2016-12-31T23:59:60Z",
            "2024-02-29T00:00:00-23:59",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2014-10-30T06:12:00.000Z",  # JavaScript's toISOString
        ],
    ),
    (types.is_utc_date, ["2014-10-30T06:12:00Z", "2014-10-30T06:12:00.123456Z"]),
    (types.nullable(types.is_id), [None, "a"]),
    (types.list_of(types.is_int), [[], [1, 2]]),
    (types.is_ids, [[], ["a"], ["a", "b-_"], ["x" * 255] * 1000]),
    (types.is_ids_or_references, [[], ["#a", "b"]]),
    (types.is_strings, [[], ["", "\n"]]),
    (types.map_of(types.is_id, types.is_int), [{}, {"a": 1}]),
    (types.set_of(types.is_id), [{}, {"a": True}]),
    (types.object_of({"a": types.is_int, "b": types.is_string}, required=["a"]), [{"a": 1}, {"a": 1, "b": ""}]),
    (types.one_of({"AND", "OR"}), ["AND", "OR"]),
]

BAD: list[tuple[types.Check, list[Any]]] = [
    (types.is_string, [None, 1, True, [], {}]),
    (types.is_boolean, [None, 0, 1, "true"]),
    (types.is_true, [False, None, 1, "true"]),
    (types.is_number, [True, None, "1"]),
    (types.is_int, [True, None, "1", 1.0, 1e3, 2**53, -(2**53), [], 2**70]),
    (types.is_unsigned_int, [-1, 2**53, 0.0, False, None]),
    (types.is_positive_int, [0, -1, True, 1.0]),
    (types.is_object, [[], None, "{}"]),
    (types.is_id, ["", "x" * 256, "a b", "a=", "a\n", "é", "#a", "a/b", "a.b", None, 1, "\u0660"]),
    (types.is_id_or_reference, ["", "#", "##a", "a#", "#" + "x" * 256, "#3b 82", None, 1]),
    (
        types.is_date,
        [
            "2014-10-30t14:12:00Z",
            "2014-10-30T14:12:00z",
            "2014-10-30 14:12:00Z",
            "2014-10-30T14:12:00",
            "2014-10-30T14:12Z",
            "2014-13-01T00:00:00Z",
            "2014-02-29T00:00:00Z",
            "2014-10-30T24:00:00Z",
            "2014-10-30T00:60:00Z",
            "2014-10-30T00:00:61Z",
            "2014-10-30T00:00:00.Z",
            "2014-10-30T00:00:00+24:00",
            "2014-10-30T00:00:00+0800",
            "2014-10-30",
            "0000-01-01T00:00:00Z",
            "2014-10-30T06:12:00Z\n",
            "\u0662014-10-30T06:12:00Z",
            1414649520,
            None,
        ],
    ),
    (types.is_utc_date, ["2014-10-30T14:12:00+08:00", "2014-10-30T14:12:00+00:00", "Z", "", None]),
    (types.nullable(types.is_id), ["", 1, False]),
    (types.list_of(types.is_int), [None, "a", {}, [1, "2"], [None]]),
    (
        types.is_ids,
        [None, "a", {"a": 1}, [""], ["a", ""], ["a\nb"], ["a", 1], [None], ["a b"], ["x" * 256], ["\n"], ["#a"]],
    ),
    (types.is_ids_or_references, [["#"], ["##a"], ["#a\nb"], [1]]),
    (types.is_strings, [None, ["a", None], "ab"]),
    (types.map_of(types.is_id, types.is_int), [None, [], {"": 1}, {"a": "1"}]),
    (types.set_of(types.is_id), [{"a": False}, {"a": None}, {"a b": True}]),
    (
        types.object_of({"a": types.is_int, "b": types.is_string}, required=["a"]),
        [{}, {"b": ""}, {"a": "1"}, {"a": 1, "c": 1}, [], None],
    ),
    (types.one_of({"AND", "OR"}), ["and", "", None, 1, []]),
]


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in GOOD for value in values])
def test_good(check: types.Check, value: Any) -> None:
    """What has the type has no fault."""
    assert check(value) is None


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in BAD for value in values])
def test_bad(check: types.Check, value: Any) -> None:
    """What has not the type has a fault, told in a phrase."""
    fault = check(value)
    assert fault is not None
    assert fault.split()[0] in {"is", "has", "lacks"}


@pytest.mark.parametrize("single", [types.is_id, types.is_id_or_reference, types.is_string])
@given(items=st.lists(st.text(st.sampled_from("a-_#\n é"), max_size=4) | st.none() | st.integers(), max_size=4))
def test_whole_lists(single: types.Check, items: list[Any]) -> None:
    """The quick check of a list says what the checks of its items say."""
    assert (types.list_of(single)(items) is None) is all(single(item) is None for item in items)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.25Z", 0.25),
        ("1970-01-01T01:30:00+01:30", 0),
        ("1969-12-31T22:00:00-02:00", 0),
        ("1969-12-31T23:59:59Z", -1),
        ("2016-12-31T23:59:60Z", 1483228800),
        ("2014-10-30T14:12:00+08:00", 1414649520),
    ],
)
def test_date_to_seconds(text: str, seconds: float) -> None:
    """A Date is an instant; its offset is taken off, a leap second is the next second."""
    assert types.date_to_seconds(text) == seconds


def test_date_to_seconds_of_no_date() -> None:
    """Reading what was not checked is an error of the program."""
    with pytest.raises(ValueError, match="not a Date"):
        types.date_to_seconds("yesterday")


@given(st.datetimes())
def test_every_instant_is_a_utc_date(when: Any) -> None:
    """Python's own ISO format of a UTC time is a UTCDate."""
    assert types.is_utc_date(when.replace(microsecond=0).isoformat() + "Z") is None
