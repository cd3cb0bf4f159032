"""Ports for servers that are started a moment later."""

from __future__ import annotations

import pytest

from demo import ports


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other ports than the servers of other tests have, which start meanwhile."""
    monkeypatch.setattr(ports, "FIRST", 32_000)
    monkeypatch.setattr(ports, "LAST", 32_600)
    monkeypatch.setattr(ports, "_candidates", ports._candidates)
    ports.draw_from_part(0, 1)


def test_what_is_held_is_not_drawn_again() -> None:
    """As long as its socket is open, whoever draws."""
    with ports.bound_port() as held:
        taken = held.getsockname()[1]
        drawn = [ports.free_port() for _ in range(700)]
    assert taken not in drawn


def test_parts_do_not_overlap() -> None:
    drawn: list[set[int]] = []
    for number in range(3):
        ports.draw_from_part(number, 3)
        drawn.append({ports.free_port() for _ in range(150)})
    assert not drawn[0] & drawn[1] | drawn[1] & drawn[2] | drawn[0] & drawn[2]
    assert all(len(part) == 150 for part in drawn)


def test_several_stand_in_a_row() -> None:
    """And none of them is drawn next."""
    first = ports.free_ports(3)
    assert ports.free_port() not in range(first, first + 3)
