"""Tickets of the event source."""

from __future__ import annotations

import pytest

from gateway.auth import Tickets, Unauthorized

KEY = b"k" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_names_its_account() -> None:
    """And when it ends."""
    clock = Clock()
    tickets = Tickets(KEY, lifetime_s=60, clock=clock)
    assert tickets.check(tickets.issue("a123")) == ("a123", clock.now + 60)


def test_a_ticket_expires() -> None:
    """To the second."""
    clock = Clock()
    tickets = Tickets(KEY, lifetime_s=60, clock=clock)
    ticket = tickets.issue("a123")
    clock.now += 60
    with pytest.raises(Unauthorized):
        tickets.check(ticket)


def test_a_ticket_ends_with_the_login_it_is_given_for() -> None:
    """A token that lasts a minute gives no day."""
    clock = Clock()
    tickets = Tickets(KEY, clock=clock)
    assert tickets.check(tickets.issue("a", expires_at_s=clock.now + 5)).expires_at_s == clock.now + 5


def test_a_changed_ticket_is_none() -> None:
    """Every octet counts; another key knows none of them."""
    ticket = Tickets(KEY).issue("a123")
    for at in range(len(ticket)):
        other = "A" if ticket[at] != "A" else "Q"
        with pytest.raises(Unauthorized):
            Tickets(KEY).check(ticket[:at] + other + ticket[at + 1 :])
    with pytest.raises(Unauthorized):
        Tickets(b"o" * 32).check(ticket)


def test_a_refused_login_ends_its_tickets() -> None:
    """Those given out so far, of this account only; later ones are good."""
    clock = Clock()
    tickets = Tickets(KEY, clock=clock)
    old, other = tickets.issue("a"), tickets.issue("b")
    tickets.revoke("a")
    with pytest.raises(Unauthorized):
        tickets.check(old)
    tickets.check(other)
    clock.now += 1
    tickets.check(tickets.issue("a"))
