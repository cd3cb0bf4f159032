"""One IMAP connection without its socket: which command goes out when, and whose a response is. No I/O, no clock.

    submit ──▶ waiting ──▶ in flight ──▶ done (result or error)
                 │  in order, when    │  tagged response, or the end
                 │  nothing conflicts │
    octets out ◀─┴── next_output()    └── receive(response) ◀── scanner

Rule 1: a response is matched by tag alone; a tagged response that nobody waits for is ignored and counted.
Rule 2: commands leave in the order they came. One waits while what is in flight could not be told from it
    (RFC 9051 section 5.5; `Command.family`, `alone`, `leads`), and those behind it wait too.
Rule 3: an abandoned command stays in flight until its tag comes back; what it claims goes nowhere.
Rule 4: one dispatcher sees every untagged response: the commands in flight, oldest first, then the state here.
    What no command claims is an event.
Rule 5: a response that makes no sense costs itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.commands.select import Select, Unselect
from gateway.upstream.imap.commands.starttls import StartTls
from gateway.upstream.imap.encode import WAIT, Dialect, LiteralMode, Stream
from gateway.upstream.imap.errors import CommandBad, CommandNo, ImapError, ProtocolViolation, ServerBye
from gateway.upstream.imap.events import (
    Event,
    Exists,
    Expunged,
    FlagsDefined,
    Listed,
    Notice,
    StatusChanged,
    Vanished,
)
from gateway.upstream.imap.flight import NOBODY, Done, Flight, nobody
from gateway.upstream.imap.lexer import Malformed
from gateway.upstream.imap.mailbox import Selected
from gateway.upstream.imap.message import Message
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.quirks import Quirks
from gateway.upstream.imap.response import (
    Data,
    Status,
    is_fetch,
    parse_data,
    parse_fetch,
    parse_list,
    parse_status,
    parse_status_items,
    parse_vanished,
)
from gateway.upstream.imap.scanner import LiteralSink
from gateway.upstream.imap.selected import apply_code, apply_data

MAX_IN_FLIGHT = 32  # servers read ahead no further than their socket buffers; more would only fill ours
MAX_CAPABILITIES = 500  # real servers have up to 70


class Protocol:
    """The state of one connection. The coat feeds `receive` and sends what `next_output` gives."""

    def __init__(self, *, names: MailboxNames, quirks: Quirks, on_event: Callable[[Event], None]) -> None:
        self.capabilities: frozenset[str] = frozenset()
        self.enabled: frozenset[str] = frozenset()
        self.selected: Selected | None = None
        self.greeting: Status | None = None
        self.bye: Status | None = None
        self.is_upgrading = False  # STARTTLS was accepted: nothing in clear is believed any more
        self._names = names
        self._quirks = quirks
        self._on_event = on_event
        self._waiting: deque[Flight] = deque()
        self._in_flight: dict[bytes, Flight] = {}
        self._message_takers: list[Flight] = []
        self._octet_takers: list[Flight] = []
        self._writing: Flight | None = None
        self._is_blocked = False  # a synchronizing literal waits for `+`
        self._urgent: deque[bytes] = deque()  # answers to continuation requests, DONE
        self._last_tag = 0

    # ------------------------------------------------------------ commands out

    @property
    def is_busy(self) -> bool:
        """Tell whether a command is in flight or waits to be."""
        return bool(self._in_flight or self._waiting)

    @property
    def is_listening(self) -> bool:
        """Tell whether nothing is expected of the server: it was asked to speak when there is news."""
        return not self._waiting and all(flight.command.is_listening for flight in self._in_flight.values())

    @property
    def is_patient(self) -> bool:
        """Tell whether a command in flight may keep the server silent for long."""
        return any(flight.command.is_patient for flight in self._in_flight.values())

    def submit(self, command: Command[Any], done: Done) -> Flight:
        """Queue a command; what is idling gives way."""
        flight = Flight(command, done)
        self._waiting.append(flight)
        for other in self._in_flight.values():
            self.interrupt(other)
        return flight

    def is_pending(self, flight: Flight) -> bool:
        """Tell whether a command was sent and not answered yet."""
        return flight.tag in self._in_flight

    def is_writing(self, flight: Flight) -> bool:
        """Tell whether a part of a command is still to be sent."""
        return self._writing is flight

    def interrupt(self, flight: Flight) -> None:
        """End a command that can be ended early."""
        octets = flight.command.interrupt() if flight.tag in self._in_flight else None
        if octets is not None:
            self._urgent.append(octets)

    def abandon(self, flight: Flight) -> bool:
        """Forget who waits for a command; return whether it is (or will be) gone without the server's word."""
        flight.done = nobody
        flight.command.abandon()
        if flight.tag:
            self.interrupt(flight)
            return False
        if flight in self._waiting:
            self._waiting.remove(flight)
        return True

    def next_output(self) -> bytes | Stream | None:
        """Return what can be sent now, or None. After a Stream call this again when all of it is sent."""
        if self._urgent:
            return self._urgent.popleft()
        while not self._is_blocked and (self._writing is not None or self._start_next()):
            flight = self._writing
            if flight is None:
                continue
            piece = flight.pieces.popleft()
            if piece is WAIT:
                if flight.tag in self._in_flight:
                    self._is_blocked = True
                else:  # refused already: the server waits for nothing
                    self._writing = None
                continue
            if not flight.pieces:
                self._writing = None
            return piece
        return None

    def _start_next(self) -> bool:
        while self._waiting:
            flight = self._waiting[0]
            if not self._may_start(flight.command):
                return False
            self._waiting.popleft()
            try:
                line = flight.command.line(self.dialect())
            except ValueError as error:
                flight.finish(None, error)
                continue
            self._last_tag += 1
            flight.tag = b"a%d" % self._last_tag
            flight.command.sent_as(flight.tag)
            flight.pieces.extend(line.pieces(flight.tag))
            self._in_flight[flight.tag] = flight
            self._set_takers()
            self._writing = flight
            if self._waiting:
                self.interrupt(flight)
            return True
        return False

    def _may_start(self, command: Command[Any]) -> bool:
        others = [flight.command for flight in self._in_flight.values()]
        if not others:
            return True
        if command.alone or command.leads or len(others) >= MAX_IN_FLIGHT or any(other.alone for other in others):
            return False
        return not any(command.conflicts(other) for other in others)

    def dialect(self) -> Dialect:
        """Return how commands are written now."""
        offered = self.capabilities
        if "LITERAL+" in offered:
            literals = LiteralMode.PLUS
        elif "LITERAL-" in offered or "IMAP4REV2" in offered:
            literals = LiteralMode.MINUS
        else:
            literals = LiteralMode.SYNCHRONIZING
        return Dialect(self._names, literals)

    def forget_capabilities(self) -> None:
        """Drop what was said in clear, for TLS has begun (RFC 9051 section 6.2.1)."""
        self.capabilities, self.is_upgrading = frozenset(), False

    def fail_all(self, error: BaseException) -> None:
        """The connection is over: everything in flight or waiting fails with this error."""
        flights = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting.clear()
        self._message_takers, self._octet_takers = [], []
        self._writing = None
        for flight in flights:
            flight.finish(None, error)

    # ------------------------------------------------------------ responses in

    def receive(self, raw: bytes) -> None:
        """Take one whole response. Raises ProtocolViolation for what ends the connection."""
        if self.is_upgrading:
            raise ProtocolViolation("octets in clear after STARTTLS was accepted")
        try:
            if raw.startswith(b"* "):
                if is_fetch(raw):
                    for flight in self._octet_takers:
                        if flight.command.take_octets(raw):
                            return
                    self._receive_message(parse_fetch(raw))
                else:
                    self._receive_untagged(raw)
            elif raw.startswith(b"+"):
                self._receive_continuation(raw)
            else:
                self._receive_tagged(parse_status(raw))
        except Malformed:
            if self.greeting is None:
                raise ProtocolViolation("no IMAP server answered") from None
            self._quirks.see("malformed-response")

    def open_literal(self, line: bytes, octets: int) -> LiteralSink | None:
        """Find who takes a large literal (for the scanner)."""
        for flight in self._message_takers:
            sink = flight.command.open_literal(line, octets)
            if sink is not None:
                return sink
        return None

    def _receive_message(self, message: Message) -> None:
        takers = self._message_takers
        for flight in takers:  # the hot path: no generators here
            if flight.command.covers(message):
                break
        else:
            flight = next((flight for flight in takers if flight.command.takes_stray(message)), NOBODY)
        if flight is not NOBODY:
            try:
                if flight.command.on_message(message):
                    return
            except Malformed:
                raise
            except Exception as error:  # the caller's own callback failed: that is the caller's affair
                flight.command.abandon()
                flight.finish(None, error)
                return
        if not message.uid:
            self._quirks.see("fetch-without-uid")
        self._on_event(message)

    def _receive_untagged(self, raw: bytes) -> None:
        data = parse_data(raw)
        if data.kind in _STATUS_KINDS:
            self._receive_status(parse_status(raw))
            return
        if self.greeting is None:
            raise ProtocolViolation("the server did not greet")
        if data.kind == "CAPABILITY":
            self._set_capabilities(data.rest)
            return
        if data.kind == "ENABLED":
            self.enabled |= {name.decode("latin-1").upper() for name in data.rest.split()}
            return
        for flight in list(self._in_flight.values()):
            if flight.command.on_data(data):
                return
        if self.selected is not None and apply_data(self.selected, data):
            self._tell(data)
        elif data.kind == "LIST":
            self._on_event(Listed(parse_list(data, self._names)))
        elif data.kind == "STATUS":
            self._on_event(StatusChanged(*parse_status_items(data, self._names)))

    def _tell(self, data: Data) -> None:
        if data.kind == "EXISTS":
            self._on_event(Exists(data.number))
        elif data.kind == "EXPUNGE":
            self._on_event(Expunged(data.number))
        elif data.kind == "VANISHED":
            earlier, uids = parse_vanished(data)
            if not earlier:
                self._on_event(Vanished(uids))
        elif data.kind == "FLAGS" and self.selected is not None:
            self._on_event(FlagsDefined(self.selected.flags))

    def _receive_status(self, status: Status) -> None:
        if self.greeting is None:
            self.greeting = status
            if status.code == "CAPABILITY":
                self._set_capabilities(status.arguments)
            if status.kind == "BYE":
                self.bye = status
            return
        if status.kind == "BYE":
            self.bye = status
            self._on_event(Notice("BYE", status.code, status.text))
            return
        if status.code == "CAPABILITY":
            self._set_capabilities(status.arguments)
            return
        for flight in list(self._in_flight.values()):
            if flight.command.on_status(status):
                return
        if self.selected is not None and status.code is not None and apply_code(self.selected, status):
            return
        if status.kind == "BAD":
            self._quirks.see("untagged-bad")
        self._on_event(Notice(status.kind, status.code, status.text))

    def _receive_continuation(self, raw: bytes) -> None:
        if self._is_blocked:
            self._is_blocked = False
            return
        for flight in self._in_flight.values():
            if flight.command.alone:
                answer = flight.command.on_continuation(raw[2:])
                if answer is not None:
                    self._urgent.append(answer)
                return
        self._quirks.see("stray-continuation")

    def _receive_tagged(self, status: Status) -> None:
        flight = self._in_flight.pop(status.tag or b"", None)
        if flight is None:
            self._quirks.see("stray-tag")
            return
        self._set_takers()
        if self._writing is flight and self._is_blocked:  # refused before its literal: the rest never goes out
            self._writing, self._is_blocked = None, False
        command = flight.command
        if status.code == "CAPABILITY":
            self._set_capabilities(status.arguments)
        if isinstance(command, (Select, Unselect)):
            # A SELECT that failed leaves nothing selected (RFC 9051 section 6.3.2).
            self.selected = None
        if status.kind == "OK":
            try:
                result = command.result(status)
            except ImapError as error:
                flight.finish(None, error)
                return
            if isinstance(command, Select):
                self.selected = command.selected
            elif isinstance(command, StartTls):
                self.is_upgrading = True
            elif self.selected is not None and status.code is not None:
                apply_code(self.selected, status)  # such as HIGHESTMODSEQ after STORE
            flight.finish(result, None)
        elif self.bye is not None:
            flight.finish(None, ServerBye(self.bye.text, self.bye.code))
        else:
            error_class = CommandBad if status.kind == "BAD" else CommandNo
            flight.finish(None, error_class(status.text, status.code))

    def _set_takers(self) -> None:
        self._message_takers = [flight for flight in self._in_flight.values() if flight.command.takes_messages]
        self._octet_takers = [flight for flight in self._message_takers if flight.command.takes_octets]

    def _set_capabilities(self, words: bytes) -> None:
        self.capabilities = _capabilities(words)


@lru_cache(maxsize=64)  # thousands of connections to one server have one set
def _capabilities(words: bytes) -> frozenset[str]:
    return frozenset(words.decode("latin-1").upper().split()[:MAX_CAPABILITIES])


_STATUS_KINDS = frozenset({"OK", "NO", "BAD", "BYE", "PREAUTH"})
