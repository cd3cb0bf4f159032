"""Arguments against a table (RFC 8620 sections 3.5, 3.9)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap import types
from gateway.jmap.arguments import MAX_NAME_SHOWN, Argument, check_arguments
from gateway.jmap.errors import MethodError

SPEC = {
    "accountId": Argument(types.is_id, required=True),
    "ids": Argument(types.nullable(types.is_ids)),
    "limit": Argument(types.is_unsigned_int, default=10),
}


def test_defaults() -> None:
    """An omitted argument is as if its default had been given; null is the default of those that have no other."""
    assert check_arguments({"accountId": "a"}, SPEC) == {"accountId": "a", "ids": None, "limit": 10}


def test_given_values_stand() -> None:
    """What the client gives is used, null included where the type allows it."""
    assert check_arguments({"limit": 0, "ids": None, "accountId": "a"}, SPEC) == {
        "accountId": "a",
        "ids": None,
        "limit": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "accountId is required"),
        ({"accountId": None}, "accountId is not an Id"),
        ({"accountId": "a", "limit": None}, "limit is not"),
        ({"accountId": "a", "limit": -1}, "limit is not"),
        ({"accountId": "a", "ids": ["a", 1]}, "ids has an item"),
        ({"accountId": "a", "Limit": 1}, "Limit is not an argument"),
        ({"accountId": "a", "": 1}, " is not an argument"),
    ],
)
def test_invalid(arguments: dict[str, Any], named: str) -> None:
    """Unknown, missing and ill-typed arguments are invalidArguments, and the description names them."""
    with pytest.raises(MethodError) as raised:
        check_arguments(arguments, SPEC)
    assert raised.value.kind == "invalidArguments"
    assert raised.value.description is not None
    assert named in raised.value.description


def test_long_name() -> None:
    """A name of megabytes is not sent back whole."""
    with pytest.raises(MethodError) as raised:
        check_arguments({"x" * 10**6: 1}, SPEC)
    assert len(str(raised.value.description)) < MAX_NAME_SHOWN + 100
