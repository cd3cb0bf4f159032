"""maxConcurrentRequests (RFC 8620 sections 2 and 3.6.1)."""

from __future__ import annotations

import pytest

from gateway.jmap.concurrency import ConcurrencyLimit
from gateway.jmap.errors import RequestError


def test_limit() -> None:
    """One request too many is the limit of that name; other logins and later requests are not touched."""
    limit = ConcurrencyLimit("maxConcurrentRequests", 2)
    with limit.slot("me"), limit.slot("me"):
        with pytest.raises(RequestError) as raised, limit.slot("me"):
            pass
        assert raised.value.problem() == {
            "type": "urn:ietf:params:jmap:error:limit",
            "status": 400,
            "detail": "At most 2 requests may be made at the same time.",
            "limit": "maxConcurrentRequests",
        }
        with limit.slot("you"):
            pass
    with limit.slot("me"), limit.slot("me"):
        pass


def test_slot_is_given_back() -> None:
    """A request that fails gives its slot back, and an idle login is forgotten."""
    limit = ConcurrencyLimit("maxConcurrentUpload", 1)
    for _ in range(3):
        with pytest.raises(KeyError), limit.slot("me"):
            raise KeyError
    assert not limit._running
