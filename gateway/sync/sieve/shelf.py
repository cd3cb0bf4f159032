"""What is known of an account's scripts upstream: read, brought to order, changed step by step and written down.

Rule 1: a look reads all scripts, for only their octets tell that they have changed; they are few and small.
Rule 2: a look brings to order what it finds half done (`plan.heal`). What the server refuses of that is not tried again
    until something else is to be done; what is there is told as it is.
Rule 3: after each step of a write it is known what that has made of the scripts, whether or not it can be seen.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from gateway.account.account import Account
from gateway.account.scripts import SCRIPT, SINGLETON, VACATION
from gateway.jmap.errors import MethodError
from gateway.sync.sieve import plan
from gateway.sync.sieve.naming import Found, reconcile
from gateway.sync.sieve.plan import Put, Standing, Step
from gateway.upstream.managesieve import (
    CommandFailed,
    Connection,
    Disconnected,
    Keeper,
    ManageSieveError,
    Unnameable,
)

MAX_SCRIPTS = 1000  # servers allow a few dozen; more is no login's own
MAX_OCTETS = 32 << 20  # of all scripts together: they are kept in memory while the account is open
AT_ONCE = 20  # scripts asked for in one go
READ_AT_ONCE_OCTETS = 64 << 10  # a hundredth of a second of reading Sieve; for more a thread is worth its price

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")  # no pattern, nothing to be quoted

log = logging.getLogger(__name__)


class Shelf:
    """The scripts of one account as last seen, in `standing`; `looked_at_s` None: a new look is due."""

    def __init__(self, account: Account, keeper: Keeper) -> None:
        self._account, self._keeper = account, keeper
        self._refused_steps: Sequence[Step] = ()
        self.standing = Standing({}, None, frozenset())
        self.looked_at_s: float | None = None

    def content(self, digest: str) -> bytes | None:
        """Return the octets of the script with this SHA-256, if it was seen."""
        return next((octets for octets in self.standing.scripts.values() if digest_of(octets) == digest), None)

    async def look(self, connection: Connection, renamed: Mapping[str, str] | None = None) -> None:
        """Read everything, bring it to order, write it down."""
        at_s = time.monotonic()
        listed = await connection.list_scripts()
        if len(listed) > MAX_SCRIPTS:
            raise MethodError("serverFail", "the Sieve server has more scripts of this login than can be read")
        scripts: dict[str, bytes] = {}
        for at in range(0, len(listed), AT_ONCE):
            names = [one.name for one in listed[at : at + AT_ONCE]]
            scripts.update(
                zip(names, await asyncio.gather(*(_octets(connection, name) for name in names)), strict=True)
            )
            if sum(map(len, scripts.values())) > MAX_OCTETS:
                raise MethodError("serverFail", "the scripts of this login are larger than can be read")
        active = next((one.name for one in listed if one.is_active), None)
        extensions, own = frozenset(connection.capabilities.extensions), self._account.own_addresses
        addresses = tuple(address for address in own.addresses if _ADDRESS.fullmatch(address))
        self.standing = Standing(scripts, active, extensions, addresses)
        if sum(map(len, scripts.values())) > READ_AT_ONCE_OCTETS:
            steps = await asyncio.to_thread(plan.heal, self.standing)
        else:
            steps = plan.heal(self.standing)
        if steps and steps != self._refused_steps and not self._account.is_read_only:
            try:
                await self.carry_out(connection, steps)
                log.info("sieve_healed", extra={"account": self._account.id, "steps": len(steps)})
            except (CommandFailed, Unnameable) as error:
                self._refused_steps = steps  # once is enough: a refusal costs the connection
                log.warning("sieve_not_healed", extra={"account": self._account.id, "error": type(error).__name__})
        await self._write_down(renamed)
        self.looked_at_s = at_s

    async def _write_down(self, renamed: Mapping[str, str] | None = None) -> None:
        """Make the records tell what is known."""
        standing = self.standing
        ours = standing.ours
        found = [
            Found(shown(name), digest_of(content), name == standing.active, ours is not None and name == ours[0])
            for name, content in standing.scripts.items()
        ]
        known = await self._account.user_records.look(SCRIPT, None)
        writes = reconcile(known.by_id, found, renamed)
        singleton = {SINGLETON: dict(standing.properties)}
        await self._account.user_records.write_all({SCRIPT: writes, VACATION: singleton})

    async def look_again(self, connection: Connection, renamed: Mapping[str, str] | None = None) -> None:
        """See what has become of a write, which is done: if that cannot be seen, what we know of it is told."""
        try:
            try:
                await self.look(connection, renamed)
            except Disconnected:
                await self.look(await self._keeper.renewed(), renamed)
        except ManageSieveError as error:
            log.info("sieve_not_seen", extra={"account": self._account.id, "error": type(error).__name__})
            self.looked_at_s = None
            await self._write_down(renamed)

    async def carry_out(self, connection: Connection, steps: Sequence[Step]) -> None:
        """Take steps, and know after each what it has made of the scripts."""
        for step in steps:
            standing = self.standing
            if isinstance(step, Put):
                if standing.scripts.get(step.name) != step.content:
                    await connection.put_script(step.name, step.content)
                self.standing = replace(standing, scripts={**standing.scripts, step.name: step.content})
            else:
                await connection.set_active(step.name)
                self.standing = replace(standing, active=step.name)

    async def rename(self, connection: Connection, old_name: str, new_name: str) -> None:
        """Rename a script; one that ours includes goes on working."""
        await self.carry_out(connection, plan.before_rename(self.standing, old_name, new_name))
        await connection.rename_script(old_name, new_name)
        scripts = {new_name if name == old_name else name: octets for name, octets in self.standing.scripts.items()}
        active = new_name if self.standing.active == old_name else self.standing.active
        self.standing = replace(self.standing, scripts=scripts, active=active)

    async def delete(self, connection: Connection, name: str) -> None:
        """Delete a script."""
        await connection.delete_script(name)
        scripts = {other: octets for other, octets in self.standing.scripts.items() if other != name}
        self.standing = replace(self.standing, scripts=scripts)


async def _octets(connection: Connection, name: str) -> bytes:
    """Return a script; empty if the server lists it and does not give it."""
    try:
        return await connection.get_script(name)
    except (CommandFailed, Unnameable):
        return b""


def shown(name: str) -> str:
    """Return a server's name of a script as JSON can hold it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def digest_of(content: bytes) -> str:
    return sha256(content).hexdigest()
