"""Logins that the gateway works for without their client: those with push subscriptions, or with mail to be sent.

While there is a reason, what the gateway logs in upstream with is kept sealed (`auth.vault`) in the store, and so is
opened again after a restart. In master mode no secret of the login is needed, and none is kept.

Rule 1: nothing is kept without a reason, and it goes with the last one.
Rule 2: the key is not in the database: a copy of the database alone opens nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import orjson

from gateway.auth.caller import Caller
from gateway.auth.login import UpstreamLogin
from gateway.auth.vault import Vault, VaultError, new_key_line
from gateway.config import Config
from gateway.secret import Secret
from gateway.store.api import SecretStore, StoreError
from gateway.upstream.imap import Credentials, OAuthCredentials, PasswordCredentials

FIELD = "push login"
KEY_FILE = "vault.key"
Reason = Literal["push", "outbox"]

log = logging.getLogger(__name__)


class KeptLogins:
    """Keeps callers; `caller()` gives one back. `load()` first."""

    def __init__(self, store: SecretStore, vault: Vault, upstreams: dict[str, UpstreamLogin]) -> None:
        self._store, self._vault, self._upstreams = store, vault, upstreams
        self._kept: dict[str, Credentials | None] = {}  # None: not looked at yet
        self._reasons: dict[str, set[Reason]] = {}
        self._writing = asyncio.Lock()  # what is let go of is not what was kept a moment ago

    def load(self, account_ids: Iterable[str], reason: Reason = "push") -> None:
        """Tell which accounts have something to be kept for."""
        for account_id in account_ids:
            self._kept.setdefault(account_id)
            self._reasons.setdefault(account_id, set()).add(reason)

    def unload(self, account_id: str) -> None:
        """Forget what is kept of an account: another process may change it."""
        self._kept.pop(account_id, None)
        self._reasons.pop(account_id, None)

    async def owners(self) -> set[str]:
        """Return the accounts of which something is kept."""
        return set(await self._store.sealed_accounts(FIELD))

    async def sweep(self) -> None:
        """Let go of what is kept for no reason any more: a crash came between. After every `load`."""
        for account_id in await self.owners():
            await self.settle(account_id)

    async def settle(self, account_id: str) -> None:
        """The same for one account."""
        async with self._writing:
            if account_id not in self._reasons:
                await self._store.drop_sealed(account_id, FIELD)

    async def keep(self, caller: Caller, reason: Reason | None = None) -> None:
        """Keep a caller for a reason, or (None) its newest credentials for the reasons that there are."""
        if reason is not None:
            self._reasons.setdefault(caller.account_id, set()).add(reason)
        sealed = self._vault.seal(Secret(_written(caller)), account_id=caller.account_id, field=FIELD)
        async with self._writing:
            await self._store.put_sealed(caller.account_id, FIELD, sealed)
            self._kept[caller.account_id] = caller.credentials

    def is_kept(self, account_id: str) -> bool:
        return account_id in self._kept

    def is_older(self, caller: Caller) -> bool:
        """Tell whether something is kept of this caller that its credentials of now should replace."""
        return caller.account_id in self._kept and self._kept[caller.account_id] != caller.credentials

    async def drop(self, account_id: str, reason: Reason = "push") -> None:
        """Let go of a reason, and with the last one of the login."""
        reasons = self._reasons.get(account_id, set())
        reasons.discard(reason)
        if reasons or account_id not in self._kept:
            return
        self._reasons.pop(account_id, None)
        del self._kept[account_id]
        await self.settle(account_id)

    async def caller(self, account_id: str) -> Caller | None:
        """Return the caller as it was kept; None where it was not, or cannot be opened any more."""
        sealed = await self._store.sealed(account_id, FIELD)
        if sealed is None:
            return None
        try:
            text = self._vault.open(sealed, account_id=account_id, field=FIELD).reveal()
        except VaultError as error:
            log.warning("a kept login cannot be opened", extra={"account": account_id, "reason": str(error)})
            return None
        caller = self._read(account_id, text)
        if caller is not None:
            self._kept[account_id] = caller.credentials
        return caller

    def _read(self, account_id: str, text: str) -> Caller | None:
        value = orjson.loads(text)
        login, upstream = value["login"], self._upstreams.get(value["upstream"])
        if upstream is None:  # taken out of the configuration
            return None
        credentials: Credentials
        if "token" in value:
            credentials = OAuthCredentials(login, Secret(value["token"]))
        elif "password" in value:
            credentials = PasswordCredentials(login, Secret(value["password"]))
        elif upstream.master_login is not None and upstream.master_password is not None:
            credentials = PasswordCredentials(upstream.master_login, upstream.master_password, authzid=login)
        else:
            return None
        return Caller(login, upstream.name, account_id, credentials)


async def open_vault(config: Config) -> Vault:
    """Return the vault of the configured key ring, or of the key file in the data directory, made when missing."""
    try:
        if config.auth.vault_keys is not None:
            return Vault.from_text(config.auth.vault_keys)
        return Vault.from_text(Secret(await asyncio.to_thread(_key_file, config.store.data_dir / KEY_FILE)))
    except (VaultError, OSError) as error:
        raise StoreError(f"the key ring cannot be used ({error}); see auth.vault_keys") from None


def _key_file(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        line = new_key_line("1")
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())
    return line


def _written(caller: Caller) -> str:
    value = {"login": caller.login, "upstream": caller.upstream}
    credentials = caller.credentials
    if isinstance(credentials, OAuthCredentials):
        value["token"] = credentials.token.reveal()
    elif credentials.authzid is None:
        value["password"] = credentials.password.reveal()
    return orjson.dumps(value).decode()
