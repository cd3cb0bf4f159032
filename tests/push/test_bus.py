"""Who hears what, and when an account is watched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.push import bus as bus_module
from gateway.push.bus import Bus, Ended
from gateway.store import SqliteStore
from tests.push.accounts import deliver, opened, rename, state, watchers

SOON_S = 2.0


async def test_a_listener_hears_the_new_state(tmp_path: Path) -> None:
    """Each type that a batch touched, with the state that /get would answer."""
    async with opened(tmp_path / "a.db") as account, Bus().listen({"A1": account}) as listener:
        await deliver(account, 1)
        changed = await listener.next(SOON_S)
        assert changed == {"A1": {type: state(account, type) for type in changed["A1"]}}
        assert set(changed["A1"]) >= {"Email", "Thread", "Mailbox"}


async def test_a_listener_hears_only_its_types(tmp_path: Path) -> None:
    """A change of other types does not even wake it."""
    types = frozenset({"Email"})
    async with opened(tmp_path / "a.db") as account, Bus().listen({"A1": account}, types) as listener:
        await rename(account, "Other")
        with pytest.raises(TimeoutError):
            await listener.next(0.1)
        await deliver(account, 1)
        assert await listener.next(SOON_S) == {"A1": {"Email": state(account, "Email")}}


async def test_a_slow_listener_hears_the_newest_once(tmp_path: Path) -> None:
    """A hundred changes while it does not look are one."""
    async with opened(tmp_path / "a.db") as account, Bus().listen({"A1": account}) as listener:
        for uid in range(1, 101):
            await deliver(account, uid)
        changed = await listener.next(SOON_S)
        assert changed["A1"]["Email"] == state(account, "Email")
        with pytest.raises(TimeoutError):
            await listener.next(0.1)


async def test_nothing_that_was_there_before_is_told(tmp_path: Path) -> None:
    """Without a position a listener hears what comes, not what is."""
    async with opened(tmp_path / "a.db") as account:
        await deliver(account, 1)
        async with Bus().listen({"A1": account}) as listener:
            with pytest.raises(TimeoutError):
                await listener.next(0.05)


async def test_a_position_is_caught_up_with_at_once(tmp_path: Path) -> None:
    """What has changed since is told once, and what has not is not."""
    bus = Bus()
    async with opened(tmp_path / "a.db") as account:
        async with bus.listen({"A1": account}) as listener:
            told = listener.position
        await rename(account, "Other")
        async with bus.listen({"A1": account}, since=told) as listener:
            assert await listener.next(SOON_S) == {"A1": {"Mailbox": state(account, "Mailbox")}}
            told = listener.position
        async with bus.listen({"A1": account}, since=told) as listener:
            with pytest.raises(TimeoutError):
                await listener.next(0.05)


async def test_a_wider_listener_hears_of_types_its_position_does_not_hold(tmp_path: Path) -> None:
    """Who listened to Email alone may have missed the others."""
    bus = Bus()
    async with opened(tmp_path / "a.db") as account:
        async with bus.listen({"A1": account}, frozenset({"Email"})) as listener:
            told = listener.position
        async with bus.listen({"A1": account}, frozenset({"Email", "Mailbox"}), since=told) as listener:
            assert await listener.next(SOON_S) == {"A1": {"Mailbox": state(account, "Mailbox")}}


async def test_an_account_is_watched_while_anybody_listens(tmp_path: Path) -> None:
    """One watch for all of its listeners, until the last has left."""
    bus = Bus()
    async with opened(tmp_path / "a.db") as account:
        assert (watchers(account), bus.is_listened("A1")) == (0, False)
        async with bus.listen({"A1": account}):
            async with bus.listen({"A1": account}):
                assert (watchers(account), bus.listeners()) == (1, 2)
            assert watchers(account) == 1
            assert bus.is_listened("A1")
        assert (watchers(account), bus.is_listened("A1")) == (0, False)


async def test_two_accounts_are_told_apart(tmp_path: Path) -> None:
    """One listener of two accounts hears of each under its own id."""
    async with (
        opened(tmp_path / "a.db", "A1") as first,
        opened(tmp_path / "b.db", "A2") as second,
        Bus().listen({"A1": first, "A2": second}) as listener,
    ):
        await rename(second, "Other")
        assert await listener.next(SOON_S) == {"A2": {"Mailbox": state(second, "Mailbox")}}


async def test_a_storm_is_spaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first change goes out at once, the next ones together after a pause."""
    monkeypatch.setattr(bus_module, "SPACING_S", 0.2)
    loop = asyncio.get_running_loop()
    async with opened(tmp_path / "a.db") as account, Bus().listen({"A1": account}) as listener:
        await deliver(account, 1)
        began = loop.time()
        await listener.next(SOON_S)
        assert loop.time() - began < 0.1
        await deliver(account, 2)
        waiting = asyncio.create_task(listener.next(SOON_S))
        await deliver(account, 3)
        changed = await waiting
        assert changed["A1"]["Email"] == state(account, "Email")
        assert loop.time() - began >= 0.19


async def test_an_ended_listener_says_so(tmp_path: Path) -> None:
    """Whoever waits is woken; iterating ends."""
    bus = Bus()
    async with opened(tmp_path / "a.db") as account, bus.listen({"A1": account}) as listener:
        waiting = asyncio.create_task(listener.next(SOON_S))
        await asyncio.sleep(0)
        bus.end("A1")
        with pytest.raises(Ended):
            await waiting
        assert [changed async for changed in listener] == []


async def test_records_that_no_index_holds_are_told(tmp_path: Path) -> None:
    """A write reaches who listens, and counts in the position."""
    bus, store = Bus(), await SqliteStore.open(tmp_path)
    async with opened(tmp_path / "a.db", records=store) as account:
        async with bus.listen({"A1": account}) as listener:
            await account.user_records.write("Identity", {"I1": {"name": "Ann"}})
            assert await listener.next(SOON_S) == {"A1": {"Identity": await account.user_records.state("Identity")}}
            told = listener.position
        async with bus.listen({"A1": account}, since=told) as listener:
            with pytest.raises(TimeoutError):
                await listener.next(0.05)
        await account.user_records.write("Identity", {"I1": None})
        async with bus.listen({"A1": account}, since=told) as listener:
            assert await listener.next(SOON_S) == {"A1": {"Identity": await account.user_records.state("Identity")}}
    await store.close()


async def test_what_is_published_is_told(tmp_path: Path) -> None:
    bus = Bus()
    async with opened(tmp_path / "a.db") as account, bus.listen({"A1": account}) as listener:
        bus.publish("A1", {"Quota": "2"})
        assert await listener.next(SOON_S) == {"A1": {"Quota": "2"}}


async def test_what_could_not_be_told_is_put_back(tmp_path: Path) -> None:
    """It is told with the next, and what became newer meanwhile stays."""
    async with opened(tmp_path / "a.db") as account, Bus().listen({"A1": account}) as listener:
        await deliver(account, 1)
        changed = await listener.next(SOON_S)
        await rename(account, "Other")
        listener.put_back(changed)
        again = await listener.next(SOON_S)
        assert again["A1"]["Mailbox"] == state(account, "Mailbox") != changed["A1"]["Mailbox"]
        assert again["A1"]["Email"] == changed["A1"]["Email"]


async def test_a_group_that_changes(tmp_path: Path) -> None:
    """Who listens to a login hears of an account that comes, whole and at once, and of one that has gone no more."""
    bus = Bus()
    async with opened(tmp_path / "a.db") as account, opened(tmp_path / "b.db", id="A2") as other:
        await deliver(other, 1)
        async with bus.listen({"A1": account}) as listener, bus.listen({"A2": other}) as stranger:
            bus.regroup("A1", {"A1": account, "A2": other})
            assert (await listener.next(SOON_S))["A2"]["Email"] == state(other, "Email")
            await deliver(other, 2)
            assert set(await listener.next(SOON_S)) == {"A2"}
            bus.regroup("A1", {"A1": account})
            await stranger.next(SOON_S)
            await deliver(other, 3)
            assert set(await stranger.next(SOON_S)) == {"A2"}
            with pytest.raises(TimeoutError):
                await listener.next(0.05)
            assert watchers(other) == 1
