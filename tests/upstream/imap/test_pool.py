"""The budget, the routing and the backing off."""

from __future__ import annotations

import asyncio

import pytest

from gateway.secret import Secret
from gateway.upstream.imap import (
    AuthenticationFailed,
    CommandNo,
    Credentials,
    Disconnected,
    HostGate,
    PasswordCredentials,
    Pool,
    Timeout,
)
from gateway.upstream.imap import pool as pool_module
from tests.upstream.imap.scripted import CREDENTIALS, QUICK, SELECTED, Peer, Scripted, serve


async def obliging(peer: Peer) -> None:
    """Accept everything; a mailbox called "no" is not there."""
    await peer.greet()
    while True:
        tag, _, command = (await peer.line()).partition(b" ")
        if command.startswith((b"EXAMINE", b"SELECT")):
            if command.endswith(b" no"):
                peer.send(tag + b" NO [NONEXISTENT] none\r\n")
                continue
            peer.send(SELECTED)
            peer.send(tag + (b" OK [READ-WRITE]\r\n" if command.startswith(b"SELECT") else b" OK [READ-ONLY]\r\n"))
        else:
            peer.send(tag + b" OK\r\n")


async def credentials() -> Credentials:
    return CREDENTIALS


def make(server: Scripted, **more: object) -> Pool:
    return Pool(server.endpoint, credentials, timeouts=QUICK, **more)  # type: ignore[arg-type] # keywords of a test


async def test_routing() -> None:
    """Work returns to the connection that has its mailbox selected; read-write serves reading too."""
    async with serve(obliging) as server:
        pool = make(server, size=2)
        async with pool.connection("a") as first, pool.connection("b") as second:
            assert first is not second
        async with pool.connection("b") as again:
            assert again is second
        async with pool.connection("a", read_only=False) as writing:
            assert writing.selected is not None
            assert not writing.selected.read_only
        async with pool.connection("a") as reading:
            assert reading is writing
        async with pool.connection() as anyone:
            assert anyone in (first, second)
        assert len(server.peers) == 2
        await pool.aclose()


async def test_budget_and_no_slot_is_ever_lost() -> None:
    """Fifty borrowers, cancelled, failing and succeeding at random, share two connections; both are free after."""
    async with serve(obliging) as server:
        pool = make(server, size=2)
        in_use = most = 0

        async def borrow(number: int) -> None:
            nonlocal in_use, most
            async with pool.connection("no" if number % 5 == 0 else f"m{number % 3}"):
                in_use += 1
                most = max(most, in_use)
                try:
                    await asyncio.sleep(0.001 * (number % 4))
                    if number % 7 == 0:
                        raise LookupError
                finally:
                    in_use -= 1

        tasks = [asyncio.create_task(borrow(number)) for number in range(50)]
        await asyncio.sleep(0.005)
        for task in tasks[::3]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most == 2
        async with asyncio.timeout(2), pool.connection(), pool.connection():
            pass
        await pool.aclose()


async def test_waiting_is_bounded() -> None:
    """When no slot comes free in time the borrower hears of it."""
    async with serve(obliging) as server:
        pool = make(server, size=1, wait_s=0.05)
        async with pool.connection():
            with pytest.raises(Timeout):
                await pool.connection().__aenter__()
        async with pool.connection():
            pass
        await pool.aclose()


async def test_failed_select_costs_nothing_but_itself() -> None:
    """A mailbox that is gone raises, and the connection is used again."""
    async with serve(obliging) as server:
        pool = make(server, size=1)
        for _ in range(2):
            with pytest.raises(CommandNo):
                await pool.connection("no").__aenter__()
        async with pool.connection("a"):
            pass
        assert len(server.peers) == 1
        await pool.aclose()


async def test_broken_connection_is_replaced() -> None:
    """A connection that ended is not handed out again."""
    async with serve(obliging) as server:
        pool = make(server, size=1)
        async with pool.connection("a") as first:
            first.close()
        async with pool.connection("a") as second:
            assert second is not first
        await pool.aclose()


async def test_what_is_gone_is_left() -> None:
    """A mailbox that was renamed or deleted stays selected nowhere: its path may be that of another one soon."""
    async with serve(obliging) as server:
        pool = make(server, size=3)
        async with pool.connection("a/b") as borrowed:
            async with pool.connection("a") as idle, pool.connection("b") as other:
                pass
            pool.forget(lambda name: name.startswith("a"))
            assert idle.is_closed
            assert not borrowed.is_closed
        assert borrowed.is_closed
        assert not other.is_closed
        async with pool.connection("a") as again:
            assert again not in (idle, borrowed)
        await pool.aclose()


async def test_stale_connection_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was idle for long may be dead without a word: NOOP, then a new one."""
    monkeypatch.setattr(pool_module, "STALE_S", 0.0)

    async def dying(peer: Peer) -> None:
        await peer.greet()

    async with serve(dying, obliging) as server:
        pool = make(server, size=1)
        async with pool.connection():
            pass
        async with pool.connection() as second:
            assert not second.is_closed
        assert len(server.peers) == 2
        await pool.aclose()


async def test_backing_off() -> None:
    """A refused login is not repeated at once; other credentials may try; success does not shorten the next wait."""
    given = [CREDENTIALS]

    async def source() -> Credentials:
        return given[0]

    async def refusing(peer: Peer) -> None:
        peer.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\n")
        await peer.answer(b"AUTHENTICATE", tagged=b"NO [AUTHENTICATIONFAILED] wrong")

    async with serve(refusing, obliging) as server:
        pool = Pool(server.endpoint, source, size=2, timeouts=QUICK)
        for _ in range(3):
            with pytest.raises(AuthenticationFailed):
                await pool.connection().__aenter__()
        assert len(server.peers) == 1
        given[0] = PasswordCredentials("alice", Secret("other"))
        async with pool.connection():
            pass
        assert pool._backoff.failures == 1
        await pool.aclose()


async def test_unreachable_server_is_left_alone_for_a_while() -> None:
    """The second attempt within the back-off fails at once with the same error."""
    async with serve(obliging) as server:
        pass
    pool = make(server)
    for _ in range(2):
        with pytest.raises(OSError, match=r"."):
            await pool.connection().__aenter__()
    assert pool._backoff.failures == 1
    await pool.aclose()


async def test_idle_connections_are_closed() -> None:
    """After `idle_s` without work there is no connection left."""
    async with serve(obliging) as server:
        pool = make(server, idle_s=0.05)
        async with pool.connection() as connection:
            pass
        await asyncio.sleep(0.15)
        assert connection.is_closed
        await pool.aclose()


async def test_closing() -> None:
    """aclose ends borrowed connections and refuses further borrowing, waiters included."""
    async with serve(obliging) as server:
        pool = make(server, size=1)
        async with pool.connection() as connection:
            waiting = asyncio.create_task(pool.connection().__aenter__())
            await asyncio.sleep(0.01)
            await pool.aclose()
            assert connection.is_closed
            with pytest.raises(Disconnected):
                await waiting
        with pytest.raises(Disconnected):
            await pool.connection().__aenter__()


async def test_gate() -> None:
    """A burst passes, then the rate holds."""
    gate = HostGate(logins_per_s=50, burst=3)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await gate.enter()
    await gate.enter()
    await gate.enter()
    assert loop.time() - begun < 0.03
    for _ in range(5):
        await gate.enter()
    assert loop.time() - begun > 0.07


async def test_listeners_log_in_after_all_others() -> None:
    """However many of them have come before; half of the burst is left, and when nobody else comes they go on."""
    gate = HostGate(logins_per_s=50, burst=10)
    order: list[str] = []

    async def enter(name: str, *, gently: bool) -> None:
        await gate.enter(gently=gently)
        order.append(name)

    begun = asyncio.get_running_loop().time()
    gentle = [asyncio.create_task(enter("listens", gently=True)) for _ in range(20)]
    await asyncio.sleep(0)
    assert 0 < len(order) <= 6
    others = [asyncio.create_task(enter("asks", gently=False)) for _ in range(15)]
    await asyncio.gather(*others)
    assert order.count("listens") <= 6
    assert asyncio.get_running_loop().time() - begun < 0.5
    await asyncio.gather(*gentle)
    assert order.count("listens") == 20


async def test_listeners_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while they take their turns like any other; and with the smallest burst an idle host keeps nobody."""
    monkeypatch.setattr(pool_module, "GENTLE_S", 0.05)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await HostGate(logins_per_s=1, burst=1).enter(gently=True)
    assert loop.time() - begun < 0.04
    gate = HostGate(logins_per_s=50, burst=1)
    asking = asyncio.gather(*(gate.enter() for _ in range(10)))  # keeps it busy for 200 ms
    await asyncio.sleep(0)
    await gate.enter(gently=True)
    assert 0.15 < loop.time() - begun < 2
    await asking


async def test_a_fresh_connection() -> None:
    """It is a new one each time, within the budget, and stays for who comes next."""
    async with serve(obliging) as server:
        pool = make(server, size=1)
        async with pool.connection("a") as old:
            pass
        async with pool.fresh() as new:
            assert new is not old
            assert old.is_closed
            assert new.selected is None
        async with pool.connection("a") as again:
            assert again is new
        await pool.aclose()
