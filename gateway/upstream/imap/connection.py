"""One IMAP connection as callers see it: the verbs as methods, over `protocol` and `wire`.

Rule 1: any number of calls may be in flight; commands pipeline where that is unambiguous.
Rule 2: `CommandNo` and `CommandBad` cost the command, every other ImapError the connection.
Rule 3: a cancelled call leaves the connection usable: the command ends in the background and its late responses never
    answer the next one. If the server does not finish it soon, the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, TypeVar

from gateway.upstream.imap import listing, login, uidset
from gateway.upstream.imap.backlog import Backlog
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.commands.fetch import Fetch
from gateway.upstream.imap.commands.fetch_section import FetchSection
from gateway.upstream.imap.commands.idle import Idle
from gateway.upstream.imap.commands.logout import Logout
from gateway.upstream.imap.commands.namespace import NamespaceCommand
from gateway.upstream.imap.commands.noop import Noop
from gateway.upstream.imap.commands.search import Search, to_ranges
from gateway.upstream.imap.commands.select import Select, Unselect
from gateway.upstream.imap.commands.status import StatusCommand
from gateway.upstream.imap.errors import CommandNo, Disconnected, ImapError, Timeout
from gateway.upstream.imap.events import Event
from gateway.upstream.imap.flight import Flight
from gateway.upstream.imap.mailbox import ListEntry, Namespaces, Range, Selected, StatusItems
from gateway.upstream.imap.message import Message
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.protocol import Protocol
from gateway.upstream.imap.quirks import Quirks
from gateway.upstream.imap.timeouts import Observer, Timeouts
from gateway.upstream.imap.wire import Wire
from gateway.upstream.sasl import Credentials
from gateway.upstream.tls import Endpoint

T = TypeVar("T")
Uids = str | Sequence[Range]
Sink = Callable[[bytes], Awaitable[None] | None]


class Connection:
    """An authenticated connection. Every method raises `ImapError`."""

    def __init__(self, *, observer: Observer | None = None, timeouts: Timeouts | None = None) -> None:
        """Use `open`."""
        self.timeouts = timeouts or Timeouts()
        self._observer = observer
        self.quirks = Quirks(observer.quirk_seen if observer is not None else None)
        self._names = MailboxNames()
        self.protocol = Protocol(names=self._names, quirks=self.quirks, on_event=self._tell)
        self.wire = Wire(self.protocol, self.timeouts, self._lost)
        self.server_id: Mapping[str, str] = {}  # what ID told, names in lower case
        self.on_unsolicited: Callable[[Event], None] | None = None
        self.on_closed: Callable[[ImapError], None] | None = None
        self._listeners: list[Callable[[Event], None]] = []
        self._ended: ImapError | None = None
        self._is_open = False  # authenticated, and told to the observer
        self._namespaces: Namespaces | None = None

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        observer: Observer | None = None,
        timeouts: Timeouts | None = None,
        odd_names: MutableMapping[str, bytes] | None = None,
    ) -> Connection:
        """Connect, authenticate, learn the capabilities, send ID, ENABLE what there is.

        `odd_names`: see `MailboxNames`; shared by the connections of one login. Raises ConnectError,
        AuthenticationFailed, or another ImapError.
        """
        connection = cls(observer=observer, timeouts=timeouts)
        if odd_names is not None:
            connection._names.odd = odd_names
        try:
            await login.connect(connection, endpoint)
            async with asyncio.timeout(connection.timeouts.login_s):
                await login.log_in(connection, endpoint, credentials)
                connection.server_id = await login.introduce(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError) and not isinstance(error, ImapError):
                raise Timeout(f"not logged in within {connection.timeouts.login_s:g} s") from None
            raise
        connection._names.utf8 = "UTF8=ACCEPT" in connection.enabled
        connection._is_open = True
        if observer is not None:
            observer.connection_opened()
        return connection

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server offers, upper case."""
        return self.protocol.capabilities

    @property
    def enabled(self) -> frozenset[str]:
        """What ENABLE switched on: of QRESYNC, CONDSTORE, UTF8=ACCEPT."""
        return self.protocol.enabled

    @property
    def selected(self) -> Selected | None:
        """The selected mailbox, kept current."""
        return self.protocol.selected

    @property
    def is_closed(self) -> bool:
        """Tell whether the connection is over."""
        return self._ended is not None

    @property
    def is_busy(self) -> bool:
        """Tell whether commands are in flight, those of cancelled calls included."""
        return self.protocol.is_busy

    # ------------------------------------------------------------ commands in general

    async def run(self, command: Command[T]) -> T:
        """Send a command and return its result."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        flight = self._submit(command, done)
        try:
            return await future
        except asyncio.CancelledError:
            self._abandon(flight)
            raise

    def _submit(self, command: Command[Any], done: Callable[[Any, BaseException | None], None]) -> Flight:
        if self._ended is not None:
            raise Disconnected(f"the connection ended: {self._ended}", self._ended.code)
        observer = self._observer
        if observer is not None:
            done = self._observed(observer, command.verb, done)
        flight = self.protocol.submit(command, done)
        self.wire.flush_soon()
        return flight

    def _observed(
        self, observer: Observer, verb: str, done: Callable[[Any, BaseException | None], None]
    ) -> Callable[[Any, BaseException | None], None]:
        begun, octets_in, octets_out = perf_counter(), self.wire.octets_in, self.wire.octets_out

        def observed(result: Any, error: BaseException | None) -> None:
            observer.command_done(
                verb,
                seconds=perf_counter() - begun,
                octets_in=self.wire.octets_in - octets_in,
                octets_out=self.wire.octets_out - octets_out,
                ok=error is None,
            )
            done(result, error)

        return observed

    def _abandon(self, flight: Flight) -> None:
        flight.finish(None, asyncio.CancelledError())  # for the observer: whoever waited knows
        if not self.protocol.abandon(flight):
            if self.wire.is_streaming and self.protocol.is_writing(
                flight
            ):  # the literal's source went away with its caller
                self.wire.fail(Disconnected("a literal was cut short"))
            self.wire.watch_abandoned(flight)
        self.wire.flush()

    # ------------------------------------------------------------ mailboxes

    async def list_mailboxes(
        self, reference: str = "", pattern: str = "*", *, returns: Sequence[str] = (), status: Sequence[str] = ()
    ) -> list[ListEntry]:
        """List mailboxes. `returns`: of "SPECIAL-USE", "SUBSCRIBED", "CHILDREN", "MYRIGHTS"; `status`: STATUS items.

        One round trip where the server has LIST-EXTENDED and LIST-STATUS; else LIST, LSUB and a STATUS for each
        selectable mailbox, pipelined. A mailbox whose STATUS failed has `status` None. What the server does not offer
        by its capabilities is left out, not sent.
        """
        entries = await listing.list_mailboxes(self, reference, pattern, returns=returns, status=status)
        if self._names.odd:
            self.quirks.see("odd-mailbox-name")
        return entries

    @property
    def offers_guid(self) -> bool:
        """Tell whether FETCH and STATUS know X-GUID. No capability says so; only Dovecot has it."""
        return self.server_id.get("name", "").lower() == "dovecot" or "SNIPPET=FUZZY" in self.capabilities

    async def namespaces(self) -> Namespaces:
        """Return the namespaces (asked once per connection); all empty without NAMESPACE."""
        if self._namespaces is None:
            can = {"NAMESPACE", "IMAP4REV2"} & self.capabilities
            command = NamespaceCommand()
            self._namespaces = await self.run(command) if can else Namespaces()
            if command.users_among_shared:
                self.quirks.see("users-among-shared")
            if any(space.delimiter is None for space in self._namespaces.personal):
                self.quirks.see("flat-namespace")
        return self._namespaces

    async def status(self, name: str, items: Sequence[str]) -> StatusItems:
        """Ask STATUS of one mailbox. An item the server does not offer or leaves out is absent."""
        told = await self.run(StatusCommand(name, listing.status_items(self, items)))
        if not told:
            self.quirks.see("status-without-items")
        return told

    async def select(
        self,
        name: str,
        *,
        read_only: bool = True,
        qresync: tuple[int, int, str | None] | None = None,
        condstore: bool = False,
        on_fetch: Callable[[Message], None] | None = None,
    ) -> Selected:
        """SELECT or (read_only) EXAMINE. `qresync`: (uidvalidity, modseq, known uids or None); needs QRESYNC enabled.

        The FETCH responses of QRESYNC go to `on_fetch`, else into `Selected.fetched`.
        """
        if qresync is not None and "QRESYNC" not in self.enabled:
            qresync = None
        selected = await self.run(
            Select(
                name,
                read_only=read_only,
                qresync=qresync,
                condstore=condstore and "CONDSTORE" in self.capabilities,
                on_fetch=on_fetch,
            )
        )
        if selected.uidnext is None:
            self.quirks.see("no-uidnext")
        return selected

    async def unselect(self) -> None:
        """Leave the selected mailbox without expunging anything."""
        if "UNSELECT" in self.capabilities or "IMAP4REV2" in self.capabilities:
            await self.run(Unselect())
        elif self.selected is not None:
            # RFC 3691 section 1: a SELECT that fails does the same.
            with suppress(CommandNo):
                await self.run(Select("\u2603 no such mailbox", read_only=True))

    # ------------------------------------------------------------ messages

    async def fetch(
        self,
        uids: Uids,
        items: str,
        *,
        on_message: Callable[[Message], None],
        changed_since: int | None = None,
        vanished: bool = False,
        octets: list[bytes] | None = None,
    ) -> list[Range]:
        """UID FETCH, streaming: `on_message` is called for every response, on the event loop, and must be cheap.

        An exception from it ends the call, not the connection. A set longer than a server's line limit goes out as
        several commands. Returns what VANISHED (EARLIER) said. `items`: "UID FLAGS MODSEQ", parentheses optional; put
        BODYSTRUCTURE last. With `octets`, responses that begin as asked are added to it as they came, for
        `parse_message`.
        """
        gone: list[Range] = []
        for chunk in uidset.chunks(uids):
            command = Fetch(
                chunk, items, on_message=on_message, changed_since=changed_since, vanished=vanished, octets=octets
            )
            told = await self.run(command)
            gone += told
        return uidset.normalize(gone)

    async def fetch_section(
        self, uid: int, section: str, *, sink: Sink, partial: tuple[int, int] | None = None, binary: bool = False
    ) -> int:
        """Stream BODY.PEEK[section] or BINARY.PEEK[…] to `sink`; an awaitable it returns holds back the server.

        `partial`: (start, length) in octets. Returns the number of octets. Raises SectionMissing when the message is
        gone. While the sink is slow nothing else is read on this connection.
        """
        backlog = Backlog(self.wire)
        command = FetchSection(uid, section, write=backlog.write, partial=partial, binary=binary)
        flight = self._submit(command, backlog.finish)
        try:
            while (chunk := await backlog.next()) is not None:
                held = sink(chunk)
                if held is not None:
                    await held
        finally:
            backlog.close()
            if self.protocol.is_pending(flight):
                self._abandon(flight)
        return backlog.result

    async def search(self, criteria: Sequence[str | bytes], *, charset: str | None = None) -> list[Range]:
        """UID SEARCH in the selected mailbox: sorted, disjoint ranges of uids.

        A str is a search key or parenthesis as it stands; bytes are a string of the user's, quoted or sent as a
        literal. `charset` defaults to UTF-8 when there are octets beyond ASCII.
        """
        if charset is None and any(isinstance(key, bytes) and not key.isascii() for key in criteria):
            charset = "UTF-8"
        extended = bool({"ESEARCH", "IMAP4REV2"} & self.capabilities)
        answer = await self.run(Search(criteria, extended=extended, charset=charset))
        return await to_ranges(answer)

    # ------------------------------------------------------------ waiting and leaving

    async def noop(self) -> None:
        """Let the server speak, and prove that it is there."""
        await self.run(Noop())

    async def idle(self, on_change: Callable[[Event], None]) -> None:
        """Wait for changes until cancelled; renewed often. Without IDLE: NOOP every `poll_s`.

        Another call on the connection interrupts it for as long as that takes. Events also go to `on_unsolicited`.
        """
        can_idle = bool({"IDLE", "IMAP4REV2"} & self.capabilities)
        self._listeners.append(on_change)
        try:
            while True:
                if not can_idle:
                    await self.noop()
                    await asyncio.sleep(self.timeouts.poll_s)
                    continue
                try:
                    async with asyncio.timeout(self.timeouts.idle_renew_s) as limit:
                        await self.run(Idle())
                except TimeoutError:
                    if not limit.expired():
                        raise
        finally:
            self._listeners.remove(on_change)

    async def logout(self) -> None:
        """Say LOGOUT, wait briefly for the answer, close."""
        try:
            async with asyncio.timeout(self.timeouts.logout_s):
                await self.run(Logout())
        except (ImapError, TimeoutError):
            pass  # it was to end anyway
        finally:
            self.close()

    def close(self) -> None:
        """Close at once; whatever is in flight fails with Disconnected."""
        self.wire.fail(Disconnected("closed"))

    # ------------------------------------------------------------ from below

    def _tell(self, event: Event) -> None:
        for listener in (*self._listeners, self.on_unsolicited):
            if listener is not None:
                try:
                    listener(event)
                except Exception as error:  # a listener's fault must not cost the connection
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": "an IMAP event listener failed", "exception": error}
                    )

    def _lost(self, error: ImapError) -> None:
        self._ended = error
        if self._is_open and self._observer is not None:
            self._observer.connection_closed("closed" if error.text == "closed" else type(error).__name__)
        if self.on_closed is not None:
            self.on_closed(error)
