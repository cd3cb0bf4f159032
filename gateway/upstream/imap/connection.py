"""One IMAP connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.events import Event
from gateway.upstream.imap.mailbox import ListEntry, Namespaces, Range, Selected, StatusItems
from gateway.upstream.imap.message import Message
from gateway.upstream.imap.quirks import Quirks
from gateway.upstream.imap.timeouts import Observer, Timeouts
from gateway.upstream.sasl import Credentials
from gateway.upstream.tls import Endpoint

T = TypeVar("T")
Uids = str | Sequence[Range]
Sink = Callable[[bytes], Awaitable[None] | None]


class Connection:
    """An authenticated connection. Any number of calls may be in flight: commands pipeline where that is unambiguous.

    Every method raises `ImapError`: `CommandNo`/`CommandBad` cost the command, everything else the connection.
    A cancelled call leaves the connection usable.
    """

    capabilities: frozenset[str]  # upper case
    enabled: frozenset[str]  # what ENABLE switched on: QRESYNC, CONDSTORE, UTF8=ACCEPT
    server_id: Mapping[str, str]  # what ID told, names in lower case
    quirks: Quirks
    selected: Selected | None
    is_closed: bool
    on_unsolicited: Callable[[Event], None] | None

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        observer: Observer | None = None,
        timeouts: Timeouts | None = None,
    ) -> Connection:
        """Connect, authenticate, learn the capabilities, send ID, ENABLE what there is. Raise ConnectError, …"""
        raise NotImplementedError

    async def run(self, command: Command[T]) -> T:
        """Send a command and return its result."""
        raise NotImplementedError

    async def list_mailboxes(
        self, reference: str = "", pattern: str = "*", *, returns: Sequence[str] = (), status: Sequence[str] = ()
    ) -> list[ListEntry]:
        """List mailboxes. `returns`: of "SPECIAL-USE", "SUBSCRIBED", "CHILDREN", "MYRIGHTS"; `status`: STATUS items.

        One round trip where the server has LIST-EXTENDED and LIST-STATUS; else LIST, LSUB and a STATUS for each
        selectable mailbox, pipelined. A mailbox whose STATUS failed has `status` None. Items and returns that the server does
        not offer by its capabilities are left out, not sent.
        """
        raise NotImplementedError

    async def namespaces(self) -> Namespaces:
        """Return the namespaces (asked once per connection); all empty without NAMESPACE."""
        raise NotImplementedError

    async def status(self, name: str, items: Sequence[str]) -> StatusItems:
        """Ask STATUS of one mailbox. An item the server left out is absent."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def unselect(self) -> None:
        """Leave the selected mailbox without expunging anything."""
        raise NotImplementedError

    async def fetch(
        self,
        uids: Uids,
        items: str,
        *,
        on_message: Callable[[Message], None],
        changed_since: int | None = None,
        vanished: bool = False,
    ) -> list[Range]:
        """UID FETCH, streaming: `on_message` is called for every response, on the event loop, and must be cheap.

        An exception from it ends the call (not the connection). A set longer than the server's line limit goes out as several commands. Returns what VANISHED
        (EARLIER) said. `items`: "UID FLAGS MODSEQ", parentheses optional; put BODYSTRUCTURE last.
        """
        raise NotImplementedError

    async def fetch_section(
        self, uid: int, section: str, *, sink: Sink, partial: tuple[int, int] | None = None, binary: bool = False
    ) -> int:
        """Stream BODY.PEEK[section] (or BINARY.PEEK) to `sink` in chunks; an awaitable it returns holds back the server.

        `partial`: (start, length) in octets. Returns the number of octets. Raises SectionMissing when the message is gone.
        """
        raise NotImplementedError

    async def search(self, criteria: Sequence[str | bytes], *, charset: str | None = None) -> list[Range]:
        """UID SEARCH in the selected mailbox: sorted, disjoint ranges of uids.

        A str is a search key or parenthesis as it stands; bytes are a string of the user's, quoted or sent as a literal. `charset` defaults to
        UTF-8 when there are octets beyond ASCII.
        """
        raise NotImplementedError

    async def noop(self) -> None:
        """Let the server speak, and prove that it is there."""
        raise NotImplementedError

    async def idle(self, on_change: Callable[[Event], None]) -> None:
        """Wait for changes until cancelled; renewed often. Without IDLE: NOOP every `poll_s`.

        Another call on the connection interrupts it for as long as that takes. Events also go to `on_unsolicited`.
        """
        raise NotImplementedError

    async def logout(self) -> None:
        """Say LOGOUT, wait briefly for the answer, close."""
        raise NotImplementedError

    def close(self) -> None:
        """Close at once; whatever is in flight fails with Disconnected."""
        raise NotImplementedError
