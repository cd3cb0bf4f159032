"""Logins that the gateway keeps for its push subscriptions."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.auth import Caller, UpstreamLogin, Vault
from gateway.auth.vault import new_key_line
from gateway.config import load
from gateway.secret import Secret
from gateway.server.kept import FIELD, KEY_FILE, KeptLogins, open_vault
from gateway.store import SqliteStore, StoreError
from gateway.upstream.imap import Credentials, OAuthCredentials, PasswordCredentials

UPSTREAMS = {
    "main": UpstreamLogin("main"),
    "grand": UpstreamLogin("grand", mode="master", master_login="gateway", master_password=Secret("masters")),
}
PASSWORD = PasswordCredentials("ann", Secret("hers"))
TOKEN = OAuthCredentials("ann", Secret("token"))
MASTER = PasswordCredentials("gateway", Secret("masters"), authzid="ann")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path)
    yield store
    await store.close()


def kept(store: SqliteStore, key: bytes = b"k" * 32) -> KeptLogins:
    return KeptLogins(store, Vault({"1": key}), UPSTREAMS)


@pytest.mark.parametrize(("upstream", "credentials"), [("main", PASSWORD), ("main", TOKEN), ("grand", MASTER)])
async def test_a_caller_comes_back_as_it_was(store: SqliteStore, upstream: str, credentials: Credentials) -> None:
    """After a restart, able to log in upstream as before."""
    caller = Caller("ann", upstream, "a1", credentials)
    await kept(store).keep(caller)
    back = await kept(store).caller("a1")
    assert back == caller
    assert back is not None
    assert back.credentials == credentials


async def test_a_master_login_is_not_kept(store: SqliteStore) -> None:
    """Its password is in the configuration, and may change there."""
    await kept(store).keep(Caller("ann", "grand", "a1", MASTER))
    sealed = await store.sealed("a1", FIELD)
    assert sealed is not None
    assert "masters" not in Vault({"1": b"k" * 32}).open(sealed, account_id="a1", field=FIELD).reveal()


async def test_what_cannot_be_opened_is_not_there(store: SqliteStore) -> None:
    """Another key, another account's octets, an upstream that was taken out: no login, and no fault."""
    logins = kept(store)
    await logins.keep(Caller("ann", "main", "a1", PASSWORD))
    await logins.keep(Caller("bob", "old", "a3", PASSWORD))
    sealed = await store.sealed("a1", FIELD)
    assert sealed is not None
    await store.put_sealed("a2", FIELD, sealed)
    assert await kept(store, b"o" * 32).caller("a1") is None
    assert await kept(store).caller("a2") is None
    assert await kept(store).caller("a3") is None
    assert await kept(store).caller("nobody") is None


async def test_newer_credentials_replace_older_ones(store: SqliteStore) -> None:
    """Only of a login that is kept, and only when they are other ones."""
    logins = kept(store)
    changed = Caller("ann", "main", "a1", PasswordCredentials("ann", Secret("new")))
    assert not logins.is_older(changed)
    await logins.keep(Caller("ann", "main", "a1", PASSWORD))
    assert logins.is_older(changed)
    await logins.keep(changed)
    assert not logins.is_older(changed)
    await logins.drop("a1")
    assert not logins.is_older(Caller("ann", "main", "a1", PASSWORD))
    assert await kept(store).caller("a1") is None


async def test_the_key_is_made_once(tmp_path: Path) -> None:
    """For its owner's eyes only; the same after a restart."""
    environ = {
        "JMAP_GATEWAY_STORE__DATA_DIR": str(tmp_path),
        "JMAP_GATEWAY_UPSTREAMS__MAIN__IMAP": "imaps://imap.example.com",
    }
    config = load(None, environ)
    sealed = (await open_vault(config)).seal(Secret("x"), account_id="a", field="f")
    assert (await open_vault(config)).open(sealed, account_id="a", field="f") == Secret("x")
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


async def test_a_key_ring_may_be_configured(tmp_path: Path) -> None:
    """Then nothing is made; one that is wrong stops the start."""
    ring = tmp_path / "ring"
    ring.write_text(f"{new_key_line('b')}\n{new_key_line('a')}\n")
    environ = {
        "JMAP_GATEWAY_STORE__DATA_DIR": str(tmp_path),
        "JMAP_GATEWAY_AUTH__VAULT_KEYS_FILE": str(ring),
        "JMAP_GATEWAY_UPSTREAMS__MAIN__IMAP": "imaps://imap.example.com",
    }
    vault = await open_vault(load(None, environ))
    assert vault.is_current(vault.seal(Secret("x"), account_id="a", field="f"))
    assert not (tmp_path / KEY_FILE).exists()
    ring.write_text("nonsense")
    with pytest.raises(StoreError):
        await open_vault(load(None, environ))


async def test_it_is_kept_as_long_as_there_is_a_reason(store: SqliteStore) -> None:
    """A device and a message that waits: the login goes with the last of them."""
    logins, caller = kept(store), Caller("ann", "main", "a1", PASSWORD)
    await logins.keep(caller, "push")
    await logins.keep(caller, "outbox")
    await logins.drop("a1", "push")
    assert await logins.caller("a1") == caller
    await logins.drop("a1", "outbox")
    assert await logins.caller("a1") is None
    assert await store.sealed("a1", FIELD) is None


async def test_what_a_crash_left_is_swept(store: SqliteStore) -> None:
    """Whatever nobody has a reason for."""
    for account_id in ("a1", "a2", "a3"):
        await kept(store).keep(Caller("ann", "main", account_id, PASSWORD), "outbox")
    logins = kept(store)
    logins.load(["a1"], "push")
    logins.load(["a2"], "outbox")
    await logins.sweep()
    assert sorted(await store.sealed_accounts(FIELD)) == ["a1", "a2"]
