"""What one node says to another, and that nobody else can say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.hop import MAX_AGE_S, MAX_VALUE_CHARS, BadHop, Hop, HopSeal

KEY = b"k" * 32
SAID = {"method": "GET", "path": "/jmap/ws?a=%2F", "authorization": "Basic \udcffx"}
HOP = Hop("2001:db8::1", "https://jmap.example.com/below")


def test_what_was_sealed_is_opened() -> None:
    for hop in (HOP, Hop("192.0.2.1", None)):
        assert HopSeal(KEY).open(HopSeal(KEY).seal(hop, **SAID), **SAID) == hop


@pytest.mark.parametrize("name", SAID)
def test_it_is_of_one_request(name: str) -> None:
    value = HopSeal(KEY).seal(HOP, **SAID)
    with pytest.raises(BadHop):
        HopSeal(KEY).open(value, **{**SAID, name: "other"})


def test_it_is_of_one_cluster_and_of_now() -> None:
    """Clocks may differ a little."""
    now = 1000.0
    value = HopSeal(KEY, lambda: now).seal(HOP, **SAID)
    assert HopSeal(KEY, lambda: now + MAX_AGE_S).open(value, **SAID) == HOP
    assert HopSeal(KEY, lambda: now - MAX_AGE_S).open(value, **SAID) == HOP
    for seal in (
        HopSeal(b"o" * 32, lambda: now),
        HopSeal(KEY, lambda: now + MAX_AGE_S + 1),
        HopSeal(KEY, lambda: now - MAX_AGE_S - 1),
    ):
        with pytest.raises(BadHop):
            seal.open(value, **SAID)


@given(st.one_of(st.text(), st.text().map(lambda text: f"1000 {text} 00"), st.just("x" * (MAX_VALUE_CHARS + 1))))
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(BadHop):
        HopSeal(KEY, lambda: 1000.0).open(value, **SAID)


def test_no_octet_of_it_can_be_changed() -> None:
    value = HopSeal(KEY).seal(HOP, **SAID)
    for at in range(len(value)):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        with pytest.raises(BadHop):
            HopSeal(KEY).open(changed, **SAID)
