"""Which logins other nodes have proven."""

from __future__ import annotations

import asyncio

import pytest

from gateway.store import keys
from gateway.store.redis_link import RedisLink
from gateway.store.redis_proofs import MAX_OF_AN_ACCOUNT, RedisProofs

PROOF, OTHER = b"p" * 32, b"o" * 32


@pytest.fixture
def proofs(link: RedisLink) -> RedisProofs:
    return RedisProofs(link)


async def test_what_one_node_proves_another_believes(proofs: RedisProofs, link: RedisLink) -> None:
    """The very login of the very account, for the time that is left of it; proving it again makes that longer."""
    await proofs.add("A1", PROOF, 10.0)
    other = RedisProofs(link)
    assert 9.0 < await other.lasts_s("A1", PROOF) <= 10.0
    assert await other.lasts_s("A1", OTHER) == 0
    assert await other.lasts_s("A2", PROOF) == 0
    await other.add("A1", PROOF, 100.0)
    assert 99.0 < await proofs.lasts_s("A1", PROOF) <= 100.0


async def test_they_expire(proofs: RedisProofs, link: RedisLink) -> None:
    """Each at its own time, and the last one leaves nothing behind."""
    await proofs.add("A1", PROOF, 0.2)
    await proofs.add("A1", OTHER, 0.6)
    await asyncio.sleep(0.3)
    assert await proofs.lasts_s("A1", PROOF) == 0
    assert await proofs.lasts_s("A1", OTHER) > 0
    await asyncio.sleep(0.4)
    assert await proofs.lasts_s("A1", OTHER) == 0
    assert await link.call("EXISTS", keys.proofs("A1")) == 0


async def test_an_account_has_only_so_many(proofs: RedisProofs, link: RedisLink) -> None:
    for n in range(3 * MAX_OF_AN_ACCOUNT):
        await proofs.add("A1", bytes([n]) * 32, 100.0 + n)
    assert await link.call("ZCARD", keys.proofs("A1")) == MAX_OF_AN_ACCOUNT
    assert await proofs.lasts_s("A1", bytes([3 * MAX_OF_AN_ACCOUNT - 1]) * 32) > 0
    assert await proofs.lasts_s("A1", bytes(32)) == 0


async def test_a_refusal_ends_all_of_an_account(proofs: RedisProofs) -> None:
    for account_id in ("A1", "A2"):
        await proofs.add(account_id, PROOF, 10.0)
        await proofs.add(account_id, OTHER, 10.0)
    await proofs.drop("A1")
    assert [await proofs.lasts_s("A1", proof) for proof in (PROOF, OTHER)] == [0, 0]
    assert await proofs.lasts_s("A2", PROOF) > 0
