"""How often one may be wrong."""

from __future__ import annotations

import pytest

from gateway.auth import TooManyAttempts
from gateway.auth.attempts import LOGIN, MAX_BUCKETS, PEER, Attempts, network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_networks(peer: str, network: str) -> None:
    """One customer counts as one, however many addresses it has."""
    assert network_of(peer) == network


def test_a_login_from_everywhere() -> None:
    """A login that is guessed at from many networks is closed to new ones in the end."""
    attempts = Attempts(lambda: 0.0)
    for number in range(int(LOGIN.burst)):
        attempts.take("ann", f"10.0.0.{number}")
    with pytest.raises(TooManyAttempts):
        attempts.take("ann", "10.1.0.0")


def test_a_peer_with_every_login() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(int(PEER.burst)):
        attempts.take(f"user{number}", "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        attempts.take("ann", "10.0.0.1")


def test_case_gives_no_new_attempts() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(10):
        attempts.take("ann" if number % 2 else "ANN", "p")
    with pytest.raises(TooManyAttempts):
        attempts.take("Ann", "p")


def test_memory_is_bounded() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(MAX_BUCKETS):
        attempts.take(f"user{number}", f"peer{number}")
    assert len(attempts._buckets) == MAX_BUCKETS
