"""What every store of user state keeps to: keys, secrets, sort orders. Records and push have modules of their own."""

from __future__ import annotations

from gateway.store.api import UserStore
from tests.store.conftest import Stores


async def test_a_key_is_drawn_once(stores: Stores) -> None:
    """The same name gives the same key, after a restart too; another name another key."""
    store = await stores.open()
    first, other = await store.key("account id"), await store.key("other")
    await store.close()
    store = await stores.open()
    assert await store.key("account id") == first != other
    assert len(first) == 32
    await store.close()


async def test_facts(stores: Stores) -> None:
    """The last word on each counts, after a restart too."""
    store = await stores.open()
    await store.put_fact("ehlo a", b"\x00")
    await store.put_fact("ehlo a", b"\x01")
    await store.close()
    store = await stores.open()
    assert await store.fact("ehlo a") == b"\x01"
    assert await store.fact("ehlo b") is None
    await store.close()


async def test_sealed_values(store: UserStore) -> None:
    await store.put_sealed("a", "password", b"\x01")
    await store.put_sealed("a", "password", b"\x02")
    assert await store.sealed("a", "password") == b"\x02"
    assert await store.sealed("b", "password") is None
    assert await store.sealed_accounts("password") == ["a"]
    await store.drop_sealed("a", "password")
    assert await store.sealed("a", "password") is None
    assert await store.sealed_accounts("password") == []


async def test_sort_orders(stores: Stores) -> None:
    """Each account has its own, by path; several change at once; they outlive a restart."""
    store = await stores.open()
    await store.put_sort_orders("A", {"a": 1, "b": 2})
    await store.put_sort_orders("A", {"a": None, "c": 1, "b": 3, "gone": None})
    await store.put_sort_orders("A", {})
    await store.put_sort_orders("B", {"a": 9})
    await store.close()
    store = await stores.open()
    assert await store.sort_orders("A") == {"b": 3, "c": 1}
    assert await store.sort_orders("B") == {"a": 9}
    await store.close()
