"""`account.scripts.Scripts` over ManageSieve: the border where an upstream fault becomes a method error.

Rule 1: looks and writes take turns, by borrowing the one connection; each runs to its end, whatever becomes of the
    request that asked for it.
Rule 2: a write begins with a look, and is planned on what that found. If the connection breaks in the middle, it is
    done once more in the same way: what has been done already is seen, and not done again.
"""

from __future__ import annotations

import logging
import time
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from gateway.account.account import Account
from gateway.account.scripts import SCRIPT, SieveFacts, Switched
from gateway.jmap.errors import SetError
from gateway.sync.sieve import plan
from gateway.sync.sieve.plan import Activate, CannotInclude, Put
from gateway.sync.sieve.refusal import as_method_error, invalid_sieve, is_of_long_name, refusal
from gateway.sync.sieve.shelf import Shelf, digest_of, shown
from gateway.sync.under_way import UnderWay
from gateway.upstream.managesieve import (
    Capabilities,
    CommandFailed,
    ConnectError,
    Connection,
    Keeper,
    ManageSieveError,
    NameRefused,
    Unnameable,
)

T = TypeVar("T")

DEFAULT_NAME = "script"


log = logging.getLogger(__name__)


class SieveScripts:
    """The scripts of one account. `on_facts` is called when a login has told more of the engine, or other things."""

    def __init__(
        self,
        account: Account,
        keeper: Keeper,
        *,
        max_staleness_s: float,
        facts: Callable[[], SieveFacts | None] = lambda: None,
        on_facts: Callable[[], None] = lambda: None,
    ) -> None:
        """`facts` are those that are known without a login."""
        self._account, self._keeper = account, keeper
        self._max_staleness_s = max_staleness_s
        self._told_facts, self._on_facts = facts, on_facts
        self._own_facts: SieveFacts | None = None
        self._shelf = Shelf(account, keeper)
        self._under_way = UnderWay()

    @property
    def facts(self) -> SieveFacts | None:
        told = self._told_facts()
        return None if told is None else self._own_facts or told

    # ------------------------------------------------------------ looking

    async def refresh(self, *, now: bool = False) -> None:
        asked_at_s = time.monotonic()
        oldest_s = asked_at_s if now else asked_at_s - self._max_staleness_s
        if self._shelf.looked_at_s is None or self._shelf.looked_at_s < oldest_s:
            await self._under_way.to_its_end(self._refresh(oldest_s))

    async def content(self, digest: str) -> bytes | None:
        if (found := self._shelf.content(digest)) is None:
            await self.refresh()
            found = self._shelf.content(digest)
        return found

    async def _refresh(self, oldest_s: float) -> None:
        try:
            async with self._keeper.connection() as connection:
                if self._shelf.looked_at_s is None or self._shelf.looked_at_s < oldest_s:  # while we waited
                    await self._look(connection)
        except ManageSieveError as error:
            raise as_method_error(error) from error

    async def _look(self, connection: Connection, renamed: Mapping[str, str] | None = None) -> None:
        self._learn(connection.capabilities)
        await self._shelf.look(connection, renamed)

    def _learn(self, capabilities: Capabilities) -> None:
        if (facts := facts_of(capabilities)) != self._own_facts:
            self._own_facts = facts
            self._on_facts()

    # ------------------------------------------------------------ writing

    async def validate(self, content: bytes) -> None:
        async def check(connection: Connection) -> None:
            try:
                await connection.check_script(content)
            except CommandFailed as error:
                raise invalid_sieve(error) from None

        await self._write(check)

    async def create(self, name: str | None, content: bytes) -> str:
        wanted = None if name is None else unicodedata.normalize("NFC", name)
        chosen: list[str] = []

        async def put(connection: Connection) -> str:
            scripts = self._shelf.standing.scripts
            if not chosen:
                chosen.append(_free_name(scripts) if wanted is None else wanted)
            elif scripts.get(chosen[0]) == content:
                return await self._id_of(chosen[0], content)  # it was done when the connection broke
            if chosen[0] in scripts:
                raise await self._already_exists(chosen[0])
            before = set(scripts)
            await self._put(connection, chosen[0], content)
            await self._shelf.look_again(connection)
            return await self._id_of(chosen[0], content, before)

        return await self._write(put)

    async def change(self, id: str, *, name: str | None = None, content: bytes | None = None) -> None:
        old_name = await self._name_of(id)
        new_name = old_name if name is None else unicodedata.normalize("NFC", name)
        renamed = {shown(new_name): id}

        async def change(connection: Connection) -> None:
            scripts = self._shelf.standing.scripts
            if old_name not in scripts and new_name in scripts:  # it was renamed when the connection broke
                old_content = scripts[new_name]
            elif old_name not in scripts:
                raise SetError("notFound")
            elif new_name != old_name and new_name in scripts:
                raise await self._already_exists(new_name)
            else:
                old_content = scripts[old_name]
            now_name = old_name if old_name in scripts else new_name
            if content is not None:
                await self._put(connection, now_name, content)
            if new_name != now_name:
                try:
                    await self._shelf.rename(connection, now_name, new_name)
                except CommandFailed as error:
                    if content is not None:
                        await self._put(connection, now_name, old_content)
                    is_of_name = error.code is None or is_of_long_name(error, new_name)
                    raise refusal(NameRefused(error.text) if is_of_name else error) from None
            await self._shelf.look_again(connection, renamed)

        await self._write(change, renamed)

    async def destroy(self, id: str) -> None:
        name = await self._name_of(id)

        async def destroy(connection: Connection) -> None:
            if name not in self._shelf.standing.scripts:
                return
            if name == self._shelf.standing.active:
                raise SetError("sieveIsActive")
            if name == self._shelf.standing.included:
                raise SetError("sieveIsActive", "the SieveScript filters messages, included by the vacation's")
            await self._shelf.delete(connection, name)
            await self._shelf.look_again(connection)

        await self._write(destroy)

    async def activate(self, id: str | None) -> Switched:
        name = None if id is None else await self._name_of(id)
        was: list[str | None] = []

        async def switch(connection: Connection) -> Switched:
            standing = self._shelf.standing
            was.append(await self._id_of(standing.active) if standing.active is not None else None)
            ours = standing.ours
            if ours is not None and name == ours[0]:
                await self._shelf.carry_out(
                    connection, plan.set_vacation(standing, {**ours[1].properties, "isEnabled": True})
                )
            elif name != standing.active:
                if name is not None and name not in standing.scripts:
                    raise SetError("notFound")
                await self._shelf.carry_out(connection, plan.leave(standing, name) or (Activate(name),))
            await self._shelf.look_again(connection)
            return Switched(id, was[0] if was[0] != id else None)

        return await self._write(switch)

    async def set_vacation(self, properties: Mapping[str, Any]) -> None:
        async def write(connection: Connection) -> None:
            await self._shelf.carry_out(connection, plan.set_vacation(self._shelf.standing, properties))
            await self._shelf.look_again(connection)

        await self._write(write)

    async def _put(self, connection: Connection, name: str, content: bytes) -> None:
        """Store a script of the user's. Raise SetError for what is wrong with it."""
        try:
            await self._shelf.carry_out(connection, (Put(name, content),))
        except CommandFailed as error:
            if is_of_long_name(error, name):
                raise refusal(NameRefused(error.text)) from None
            if error.code is None and not isinstance(error, NameRefused) and await self._is_valid(content):
                raise refusal(NameRefused(error.text)) from None  # Cyrus says of no name that it is the name
            raise (refusal if isinstance(error, NameRefused) else invalid_sieve)(error) from None

    async def _is_valid(self, content: bytes) -> bool:
        """Tell whether a script is good in itself; asked after it was refused, which costs the connection."""
        try:
            connection = await self._keeper.renewed()
            await connection.check_script(content)
        except ManageSieveError:
            return False
        return True

    async def _write(self, work: Callable[[Connection], Awaitable[T]], renamed: Mapping[str, str] | None = None) -> T:
        return await self._under_way.to_its_end(self._twice(work, renamed))

    async def _twice(self, work: Callable[[Connection], Awaitable[T]], renamed: Mapping[str, str] | None) -> T:
        """Do a write; if the connection breaks, see what is there and do it again."""
        attempts = 0

        async def attempt(connection: Connection) -> T:
            nonlocal attempts
            attempts += 1
            return await work(connection)

        try:
            return await self._once(attempt, renamed)
        except (ConnectError, CommandFailed) as error:
            raise as_method_error(error) from error
        except ManageSieveError as error:
            log.info("sieve_write_repeated", extra={"account": self._account.id, "error": type(error).__name__})
        try:
            return await self._once(attempt, renamed)
        except ManageSieveError as error:
            if not attempts:
                raise as_method_error(error) from error
            self._shelf.looked_at_s = None
            told = "the connection to the Sieve server broke; whether this was done is not known"
            raise SetError("serverFail", told) from error

    async def _once(self, work: Callable[[Connection], Awaitable[T]], renamed: Mapping[str, str] | None) -> T:
        async with self._keeper.connection() as connection:
            await self._look(connection, renamed)
            if connection.is_closed:
                connection = await self._keeper.renewed()
            try:
                return await work(connection)
            except CommandFailed as error:
                self._shelf.looked_at_s = None
                raise refusal(error) from None
            except CannotInclude as error:
                raise SetError("forbidden", str(error)) from None
            except Unnameable:
                raise refusal(NameRefused()) from None

    # ------------------------------------------------------------ ids and names

    async def _name_of(self, id: str) -> str:
        """Return the server's own name of a script. Raise `notFound`."""
        known = await self._account.user_records.look(SCRIPT, (id,))
        if id not in known.by_id:
            raise SetError("notFound")
        told: str = known.by_id[id]["name"]
        return next((name for name in self._shelf.standing.scripts if shown(name) == told), told)

    async def _id_of(self, name: str, content: bytes | None = None, before: set[str] | None = None) -> str:
        """Return the id of a script; one just made may have got another name, which only its octets tell."""
        by_name = {record["name"]: id for id, record in (await self._records()).items()}
        if shown(name) in by_name:
            return by_name[shown(name)]
        digest = digest_of(content or b"")
        for other, octets in self._shelf.standing.scripts.items():
            if other not in (before or set()) and digest_of(octets) == digest and shown(other) in by_name:
                return by_name[shown(other)]
        raise SetError("serverFail", "the script was stored and is gone again")

    async def _already_exists(self, name: str) -> SetError:
        return SetError("alreadyExists", "there is a SieveScript of this name", existingId=await self._id_of(name))

    async def _records(self) -> Mapping[str, Mapping[str, Any]]:
        return (await self._account.user_records.look(SCRIPT, None)).by_id

    # ------------------------------------------------------------ the end

    async def aclose(self) -> None:
        await self._under_way.aclose()
        await self._keeper.aclose()


def facts_of(capabilities: Capabilities) -> SieveFacts:
    """Return what a server's capabilities tell of its engine."""
    extensions = tuple(dict.fromkeys(capabilities.extensions))
    return SieveFacts(
        capabilities.implementation or "Sieve",
        extensions,
        (capabilities.notify or ()) if "enotify" in extensions else None,
        (capabilities.external_lists or ()) if "extlists" in extensions else None,
        capabilities.max_redirects,
    )


def _free_name(scripts: Mapping[str, bytes]) -> str:
    number = 1
    while (name := DEFAULT_NAME if number == 1 else f"{DEFAULT_NAME} {number}") in scripts:
        number += 1
    return name
