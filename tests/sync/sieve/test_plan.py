"""`sync.sieve.plan` and `naming`: every step may be the last, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sync.sieve import plan, vacation_text
from gateway.sync.sieve.naming import Found, reconcile
from gateway.sync.sieve.plan import NAME, CannotInclude, Put, Standing, Step
from gateway.sync.sieve.script_text import needs
from gateway.sync.sieve.vacation_text import DEFAULTS

ENGINE = frozenset({"vacation", "include", "date", "relational"})
ON = {**DEFAULTS, "isEnabled": True, "subject": "away"}
OFF = {**ON, "isEnabled": False}
MINE, THEIRS = b"keep; # mine", b"discard; # theirs"


def standing(active: str | None = "mine", *, engine: frozenset[str] = ENGINE, **scripts: bytes) -> Standing:
    return Standing({"mine": MINE, **scripts}, active, engine)


def take(now: Standing, steps: Sequence[Step]) -> Standing:
    for step in steps:
        if isinstance(step, Put):
            now = replace(now, scripts={**now.scripts, step.name: step.content})
        else:
            assert step.name is None or step.name in now.scripts
            now = replace(now, active=step.name)
    return now


def healed(now: Standing) -> Standing:
    """Bring to order, which is done at once: a second look finds nothing to do."""
    now = take(now, plan.heal(now))
    assert not plan.heal(now)
    return now


def works(now: Standing, name: str) -> bool:
    """Tell whether a script filters mail: active, or included by what is."""
    return now.active is not None and name in {now.active, *needs(now.active, now.scripts).scripts}


def enabled(start: Standing | None = None) -> Standing:
    start = start or standing()
    return healed(take(start, plan.set_vacation(start, ON)))


def test_on_and_off_again() -> None:
    """While it is on the user's script is included; afterwards it is active, and the same octet for octet."""
    on = enabled()
    assert on.properties == ON
    assert (on.active, on.included) == (NAME, "mine")
    off = healed(take(on, plan.set_vacation(on, OFF)))
    assert off.properties == OFF
    assert (off.active, off.scripts["mine"]) == ("mine", MINE)


@pytest.mark.parametrize("wish", [ON, OFF, {**ON, "subject": "changed"}])
@pytest.mark.parametrize("was_on", [False, True])
@pytest.mark.parametrize("has_own", [False, True])
def test_any_step_may_be_the_last(wish: dict[str, Any], was_on: bool, has_own: bool) -> None:
    """Cut after any step, the user's script works, before and after healing; and then the wish can be had."""
    start = standing("mine" if has_own else None)
    if was_on:
        start = enabled(start)
    steps = plan.set_vacation(start, wish)
    for cut in range(len(steps) + 1):
        now = take(start, steps[:cut])
        for seen in (now, healed(now)):
            assert seen.scripts["mine"] == MINE
            assert works(seen, "mine") is has_own, (cut, seen)
        then = healed(now)
        then = healed(take(then, plan.set_vacation(then, wish)))
        assert then.properties == wish
        assert works(then, "mine") is has_own


def test_another_script_is_made_active() -> None:
    """From outside: it is included. By a switch of ours: the vacation is off, whatever step was the last."""
    on = enabled(standing(theirs=THEIRS))
    outside = healed(replace(on, active="theirs"))
    assert (outside.properties["isEnabled"], outside.included) == (True, "theirs")
    steps = plan.leave(on, "theirs")
    for cut in range(1, len(steps) + 1):
        now = healed(take(on, steps[:cut]))
        assert (now.properties["isEnabled"], now.active) == (False, "theirs")


def test_all_is_switched_off() -> None:
    """Nothing active, from outside or by us: the vacation is off, and stays so when a script is activated later."""
    on = enabled(standing(theirs=THEIRS))
    for now in (replace(on, active=None), take(on, plan.leave(on, None))):
        off = healed(now)
        assert off.active is None
        assert healed(replace(off, active="theirs")).active == "theirs"


def test_ours_is_made_active_by_somebody() -> None:
    """Then it replies, and is on."""
    off = healed(take(standing(), plan.set_vacation(standing(), OFF)))
    on = healed(replace(off, active=NAME))
    assert on.properties == ON


@pytest.mark.parametrize("own", [b'require "vacation"; vacation "x";', b'require "include"; include "replying";'])
def test_a_script_that_replies_is_let_alone(own: bytes) -> None:
    """It cannot be included: enabling is refused, and what becomes one ends the vacation and goes on."""
    replying = b'require ["vacation"]; vacation "x";'
    with pytest.raises(CannotInclude):
        plan.set_vacation(standing("own", own=own, replying=replying), ON)
    on = enabled(standing(replying=replying))
    became = healed(replace(on, scripts={**on.scripts, "mine": own}))
    assert (became.active, became.properties["isEnabled"]) == ("mine", False)


def test_without_include() -> None:
    """A reply alone is possible, beside a script it is refused; a script made active ends it."""
    engine = frozenset({"vacation"})
    with pytest.raises(CannotInclude):
        plan.set_vacation(standing(engine=engine), ON)
    alone = enabled(standing(None, engine=engine))
    assert b"include" not in alone.scripts[NAME]
    assert alone.properties["isEnabled"]
    outside = healed(replace(alone, active="mine"))
    assert (outside.active, outside.properties["isEnabled"]) == ("mine", False)
    switched = healed(take(alone, plan.leave(alone, "mine")))
    assert switched.active == "mine"
    off = healed(take(alone, plan.set_vacation(alone, OFF)))
    assert off.active is None


def test_the_included_script_goes_and_moves() -> None:
    """A rename is followed at every moment; one who rejects is run first; a loss leaves the reply."""
    on = enabled()
    before = take(on, plan.before_rename(on, "mine", "new"))
    assert works(before, "mine")
    after = replace(before, scripts={"new": MINE, NAME: before.scripts[NAME]})
    assert works(after, "new")
    assert healed(after).included == "new"
    assert healed(before).included == "mine"
    elsewhere = replace(on, scripts={"moved": MINE, NAME: on.scripts[NAME]})
    assert healed(elsewhere).included == "moved"
    rejecting = healed(replace(on, scripts={**on.scripts, "mine": b'require "reject"; reject "no";'}))
    told = vacation_text.read(rejecting.scripts[NAME])
    assert told is not None
    assert told.is_behind
    lost = healed(replace(on, scripts={NAME: on.scripts[NAME]}))
    assert lost.properties["isEnabled"]
    assert lost.included is None
    off = healed(take(lost, plan.set_vacation(lost, OFF)))
    assert off.active is None


def test_nobodys_script_is_overwritten() -> None:
    """A script with our name that is not ours stays; a copy of ours is not taken for it while ours is active."""
    start = Standing({NAME: b"keep;"}, None, ENGINE)
    on = enabled(start)
    assert (on.scripts[NAME], on.active) == (b"keep;", f"{NAME}-2")
    copied = replace(on, scripts={**on.scripts, "a copy": on.scripts[str(on.active)]})
    assert copied.ours is not None
    assert copied.ours[0] == on.active


# ---------------------------------------------------------------- which script is which


def found(**scripts: str) -> list[Found]:
    return [Found(name, digest, False, False) for name, digest in scripts.items()]


def known(*scripts: Found) -> dict[str, Any]:
    return {id: record for id, record in reconcile({}, scripts).items() if record is not None}


def test_ids_outlive_a_rename_and_a_loss() -> None:
    """The same name, or the same octets under a new one, is the same script; so is what we have renamed."""
    old = known(*found(a="1", b="2"))
    by_name = {record["name"]: id for id, record in old.items()}
    assert known(*found(a="1", b="2")) == old
    changed = reconcile(old, found(a="9", c="2"))
    assert changed[by_name["a"]] == {"name": "a", "digest": "9", "isActive": False, "isVacation": False}
    assert changed[by_name["b"]] == {"name": "c", "digest": "2", "isActive": False, "isVacation": False}
    ours = reconcile(old, found(a="1", c="9"), {"c": by_name["b"]})
    assert ours[by_name["b"]]["name"] == "c"  # type: ignore[index] # it is there
    gone = reconcile(old, found(a="1", c="9"))
    assert gone[by_name["b"]] is None
    assert len(gone) == 3


def test_a_name_that_is_used_again() -> None:
    """The new script of an old name gets an id of its own."""
    (id,) = known(*found(a="1"))
    renamed = {id: {**known(*found(a="1"))[id], "name": "b"}}
    writes = reconcile(renamed, found(b="1", a="2"))
    assert writes[id] is not None
    assert len(writes) == 2


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("12")), max_size=4, unique_by=lambda one: one[0]),
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("12")), max_size=4, unique_by=lambda one: one[0]),
)
def test_every_script_has_one_id(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> None:
    """Whatever happened, what is there is told once, and everything else is gone."""
    old = known(*(Found(name, digest, False, False) for name, digest in before))
    writes = reconcile(old, [Found(name, digest, False, False) for name, digest in after])
    now = {id: record for id, record in {**old, **writes}.items() if record is not None}
    assert sorted(record["name"] for record in now.values()) == sorted(name for name, _digest in after)
