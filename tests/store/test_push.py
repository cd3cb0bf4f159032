"""Push subscriptions, in every store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.store import PushRecord, SqliteStore
from gateway.store.api import UserStore
from tests.store.conftest import Stores


def record(id: str, owner: str = "a1") -> PushRecord:
    return PushRecord(
        id=id,
        owner=owner,
        device_client_id="device",
        url=f"https://push.example.com/{id}/unmistakable",
        p256dh=b"point",
        auth=b"unmistakable-auth",
        code="code",
        expires_at_s=1_700_000_000,
    )


async def test_a_subscription_comes_back_as_it_was(stores: Stores) -> None:
    """Every field, after a restart too; of its owner, or all."""
    first, second = record("s1"), replace(record("s2", "a2"), types=("Email", "Mailbox"), is_verified=True)
    store = await stores.open()
    for one in (first, second, replace(record("s3"), types=())):
        await store.put_subscription(one)
    await store.close()
    store = await stores.open()
    assert await store.subscriptions("a2") == [second]
    assert [one.id for one in await store.subscriptions()] == ["s1", "s2", "s3"]
    assert {one.types for one in await store.subscriptions("a1")} == {None, ()}
    await store.close()


async def test_how_far_it_was_told_is_kept(stores: Stores) -> None:
    """Of one that is still there; one that has gone does not come back by it."""
    store = await stores.open()
    await store.put_subscription(record("s1"))
    await store.put_position("a1", "s1", "here")
    await store.put_position("a1", "gone", "here")
    await store.put_position("a2", "s1", "there")
    assert [one.position for one in await store.subscriptions()] == ["here"]
    await store.close()


async def test_one_owner_drops_its_own(store: UserStore) -> None:
    """And who has some is known without reading them."""
    for one in (record("s1"), record("s2"), record("s3", "a2")):
        await store.put_subscription(one)
    await store.drop_subscriptions("a1", ["s1", "s3"])
    assert await store.subscription_owners() == ["a1", "a2"]
    await store.drop_subscriptions("a1", ["s2"])
    assert await store.subscription_owners() == ["a2"]
    await store.drop_subscriptions("a1", [])
    assert [one.id for one in await store.subscriptions()] == ["s3"]


async def test_what_is_dropped_is_erased(tmp_path: Path) -> None:
    """Neither URL nor keys are left on the disk, the write-ahead log included (RFC 8620 section 7.2)."""
    store = await SqliteStore.open(tmp_path)
    await store.put_subscription(record("s1"))
    await store.put_sealed("a1", "push login", b"unmistakable-sealed")
    files = [tmp_path / f"gateway.db{suffix}" for suffix in ("", "-wal", "-shm")]
    assert any(b"unmistakable" in path.read_bytes() for path in files if path.exists())
    await store.drop_subscriptions("a1", ["s1"])
    await store.drop_sealed("a1", "push login")
    assert await store.subscriptions() == []
    assert not any(b"unmistakable" in path.read_bytes() for path in files if path.exists())
    await store.close()


def test_a_record_does_not_print_its_secrets() -> None:
    """Whoever has URL and keys can write to the device."""
    assert "unmistakable" not in repr(record("s1"))
    assert "point" not in repr(record("s1"))
