"""JSON Pointer with `*` (RFC 6901, RFC 8620 section 3.7)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jmap.pointer import PointerError, escape, evaluate, parse

RFC6901 = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_rfc6901_examples(pointer: str, value: Any) -> None:
    """The examples of RFC 6901 section 5 evaluate as printed there."""
    assert evaluate(parse(pointer), RFC6901) == value


@pytest.mark.parametrize(
    ("pointer", "value", "result"),
    [
        ("/list/*/threadId", {"list": [{"threadId": "a"}, {"threadId": "b"}]}, ["a", "b"]),
        ("/list/*/emailIds", {"list": [{"emailIds": ["a", "b"]}, {"emailIds": ["c"]}]}, ["a", "b", "c"]),
        ("/list/*/emailIds/*", {"list": [{"emailIds": ["a", "b"]}, {"emailIds": ["c"]}]}, ["a", "b", "c"]),
        ("/*", [[1, 2], 3, [[4]]], [1, 2, 3, [4]]),
        ("/*/*", [[1, [2]], [3]], [1, 2, 3]),
        ("/*", [], []),
        ("/*/x", [], []),
        ("/*/0", [["a", "b"], ["c"]], ["a", "c"]),
        ("/*/x", [{"x": None}, {"x": {}}], [None, {}]),
        ("/*", {"*": 5}, 5),
        ("/a/*/*", {"a": [{"*": [1]}, {"*": 2}]}, [1, 2]),
        ("/0", {"0": "member"}, "member"),
        ("/~01", {"~1": 1}, 1),
    ],
)
def test_star(pointer: str, value: Any, result: Any) -> None:
    """`*` maps the rest over an array, in order, and joins results that are arrays; elsewhere it is a name."""
    assert evaluate(parse(pointer), value) == result


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/a", {}),
        ("/a", []),
        ("/a", "text"),
        ("/a", None),
        ("/0", "text"),
        ("/-", [1]),
        ("/1", [1]),
        ("/01", [1, 2]),
        ("/+0", [1]),
        ("/-1", [1]),
        ("/ 0", [1]),
        ("/\u0660", [1]),
        ("/1e0", [1, 2]),
        ("/" + "9" * 10_000, [1]),
        ("/", [1]),
        ("/**", [1]),
        ("/*", {"a": 1}),
        ("/*", "text"),
        ("/*", None),
        ("/*/x", [{"x": 1}, {}]),
        ("/*/x", [{"x": 1}, None]),
        ("/*/*", [1]),
        ("a", {"a": 1}),
        ("#/a", {"a": 1}),
        ("/~", {"~": 1}),
        ("/~2", {"~2": 1}),
        ("/a~", {"a~": 1}),
    ],
)
def test_points_at_nothing(pointer: str, value: Any) -> None:
    """A malformed pointer, a missing member, an index that is none: evaluation fails."""
    with pytest.raises(PointerError):
        evaluate(parse(pointer), value)


@given(st.lists(st.text(st.sampled_from("~/01*aé "), max_size=5), max_size=6))
def test_escaping_round_trips(tokens: list[str]) -> None:
    """Every sequence of names has a pointer that is read back as it."""
    assert parse("".join(f"/{escape(token)}" for token in tokens)) == tokens


values = st.recursive(
    st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab/~*0"), inner, max_size=4),
)


@given(values)
def test_every_place_is_reached(value: Any) -> None:
    """Each value in a tree is what the path to it evaluates to."""

    def walk(place: Any, path: str) -> None:
        assert evaluate(parse(path), value) == place
        items = place.items() if isinstance(place, dict) else enumerate(place) if isinstance(place, list) else ()
        for name, item in items:
            walk(item, f"{path}/{escape(str(name))}")

    walk(value, "")


def by_the_book(tokens: list[str], value: Any) -> Any:
    """Section 3.7 word for word."""
    if not tokens:
        return value
    token, rest = tokens[0], tokens[1:]
    if isinstance(value, list) and token == "*":
        output = []
        for result in [by_the_book(rest, item) for item in value]:
            output.extend(result if isinstance(result, list) else [result])
        return output
    if isinstance(value, list) and token in [str(index) for index in range(len(value))]:
        return by_the_book(rest, value[int(token)])
    if isinstance(value, dict) and token in value:
        return by_the_book(rest, value[token])
    raise PointerError


@given(st.lists(st.sampled_from(["*", "a", "b", "0", "1", "/", "~"]), max_size=4), values)
def test_by_the_book(tokens: list[str], value: Any) -> None:
    """Evaluation does what section 3.7 says, step by step."""
    try:
        expected = by_the_book(tokens, value)
    except PointerError:
        with pytest.raises(PointerError):
            evaluate(tokens, value)
    else:
        assert evaluate(tokens, value) == expected


def test_bounded() -> None:
    """A `*` gives no more values than allowed, however they come together."""
    for value, tokens in (
        ([0] * 11, ["*"]),
        ([[0] * 4] * 3, ["*"]),
        ([[[0] * 4] * 3], ["*", "*"]),
        ([[0] * 11], ["*", "*"]),
    ):
        with pytest.raises(PointerError, match="too many"):
            evaluate(tokens, value, max_values=10)
    assert evaluate(["*", "*"], [[0] * 5] * 2, max_values=10) == [0] * 10
