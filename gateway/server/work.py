"""What this process does for an account: it is open, its devices are told, its mail is sent. Begun and ended as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.auth.login import Authenticator
from gateway.server.directory import Directory
from gateway.server.push import Push
from gateway.server.sending import Sending
from gateway.store.api import Signals, StoreUnavailable

BEGIN_AGAIN_S = (0.5, 1.0, 2.0, 4.0)  # a store that is away for longer takes the accounts with it
REVOKED = "revoked"  # as a signal's account: no account is called so


class AccountWork:
    """The `server.ownership.Work`."""

    def __init__(self, directory: Directory, push: Push, sending: Sending, authenticator: Authenticator) -> None:
        self._directory, self._push, self._sending = directory, push, sending
        self._authenticator = authenticator

    def share(self, signals: Signals) -> None:
        """Tell the other nodes whose tickets were revoked, and hear it of them."""

        def heard(octets: bytes | None) -> None:
            if octets is not None:
                self._push.revoke_ticket(octets.decode())

        signals.subscribe(REVOKED, heard)
        self._push.tell_revoked = lambda account_id: signals.publish(REVOKED, account_id.encode())

    async def begin(self, account_id: str) -> None:
        for wait_s in (*BEGIN_AGAIN_S, None):
            try:
                await self._push.begin(account_id)
                await self._sending.begin(account_id)
                await self._push.kept.settle(account_id)
                return
            except StoreUnavailable:
                if wait_s is None:
                    raise
                await asyncio.sleep(wait_s)

    async def begin_all(self, is_ours: Callable[[str], bool]) -> None:
        """Begin with every account that has something to do, out of those that are ours."""
        for account_id in await self.with_duties():
            if is_ours(account_id):
                await self.begin(account_id)

    def end_streams(self, account_id: str) -> None:
        self._push.streams.end(account_id, "stopping")

    async def close(self, account_id: str, *, is_lost: bool) -> None:
        self._authenticator.forget(account_id)  # where its logins are revoked, they are remembered
        await self._push.end(account_id)
        await self._sending.outbox.end(account_id, is_lost=is_lost)
        await self._directory.close(account_id)
        self._push.kept.unload(account_id)

    def is_needed(self, account_id: str) -> bool:
        return (
            self._directory.caller_of(account_id) is not None
            or self._push.courier.is_serving(account_id)
            or self._sending.outbox.has_work(account_id)
        )

    def is_busy(self, account_id: str) -> bool:
        """Tell whether an index is being filled, or mail is on its way."""
        account = self._directory.account_of(account_id)
        is_filling = account is not None and account.backend.is_filling()
        return is_filling or self._sending.outbox.is_working(account_id)

    async def with_duties(self) -> set[str]:
        return await self._push.owners() | await self._sending.owners() | await self._push.kept.owners()
