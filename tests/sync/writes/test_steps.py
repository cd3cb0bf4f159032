"""Which steps a change needs, by table."""

from __future__ import annotations

import pytest

from gateway.account.backend import EmailChange
from gateway.account.records import Location
from gateway.jmap.errors import SetError
from gateway.sync.writes.steps import Steps, steps_of

A1, A2, B1, C1 = Location("A", 1), Location("A", 2), Location("B", 1), Location("C", 1)
NONE: tuple[str, ...] = ()


def change(*, add: str = "", remove: str = "", to: str = "", out_of: str = "") -> EmailChange:
    words = [frozenset(text.split()) for text in (add, remove, to, out_of)]
    return EmailChange(
        email_id="M", add_keywords=words[0], remove_keywords=words[1], add_mailboxes=words[2], remove_mailboxes=words[3]
    )


CASES = [
    (change(add="$seen"), {A1: NONE, B1: NONE}, {"adds": {A1: {"\\Seen"}, B1: {"\\Seen"}}}),
    (change(remove="foobar"), {A1: ("foo%bar",)}, {"removes": {A1: {"foo%bar"}}}),
    (change(to="B"), {A1: NONE}, {"copies": [(A1, "B")]}),
    (change(to="B", out_of="A"), {A1: NONE}, {"move": (A1, "B")}),
    (change(to="B", out_of="A"), {A1: NONE, A2: NONE}, {"move": (A1, "B"), "removals": [A2]}),
    (change(to="B C", out_of="A"), {A1: NONE}, {"copies": [(A1, "B")], "move": (A1, "C")}),
    (change(to="B", out_of="A"), {A1: NONE, B1: NONE}, {"removals": [A1]}),
    (change(out_of="A B"), {A1: NONE, B1: NONE, C1: ("\\Deleted",)}, {"removals": [A1, B1, C1]}),
    (change(to="B"), {A1: NONE, B1: ("\\Deleted",)}, {"copies": [(A1, "B")]}),
    (change(out_of="A"), {A1: ("\\Flagged",), B1: NONE}, {"adds": {B1: {"\\Flagged"}}, "removals": [A1]}),
    (change(out_of="A"), {A1: NONE, B1: ("\\Seen",)}, {"removes": {B1: {"\\Seen"}}, "removals": [A1]}),
    (change(to="A"), {A1: NONE}, {}),
]


@pytest.mark.parametrize(("wanted", "places", "expected"), CASES)
def test_steps(wanted: EmailChange, places: dict[Location, tuple[str, ...]], expected: dict[str, object]) -> None:
    """With MOVE."""
    assert steps_of(wanted, places, can_move=True) == Steps("M", **expected)  # type: ignore[arg-type] # of the table


def test_without_move_the_source_goes_after_its_copy() -> None:
    """As a removal, which comes after all copies."""
    steps = steps_of(change(to="B", out_of="A"), {A1: NONE}, can_move=False)
    assert (steps.copies, steps.move, steps.removals) == ([(A1, "B")], None, [A1])


@pytest.mark.parametrize("places", [{}, {A1: ("\\Deleted",)}])
def test_nothing_there(places: dict[Location, tuple[str, ...]]) -> None:
    """Is notFound; but when it was to go, and went on the last attempt, it is done."""
    with pytest.raises(SetError) as caught:
        steps_of(change(out_of="A"), places, can_move=True)
    assert caught.value.kind == "notFound"
    assert steps_of(change(out_of="A"), places, can_move=True, is_again=True).are_done


def test_going_on_does_only_what_is_left() -> None:
    """A keyword that is there already is not sent again, a copy that is there is not made again."""
    wanted = change(add="$seen work", to="B", out_of="A")
    steps = steps_of(wanted, {A1: ("\\Seen", "work"), B1: ("\\Seen",)}, can_move=True, is_again=True)
    assert steps == Steps("M", adds={B1: frozenset({"work"})}, removals=[A1])
    assert steps_of(wanted, {B1: ("\\Seen", "work")}, can_move=True, is_again=True).are_done
