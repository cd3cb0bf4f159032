"""Commands and their responses in order (RFC 5804 section 1.2), without I/O.

Rule 1: a response belongs to the oldest command that is not answered; there are no tags. Commands may be submitted
    before earlier ones are answered, but none behind STARTTLS or AUTHENTICATE.
Rule 2: the greeting is a response to nothing: the first one.
Rule 3: what the server says unasked is a violation, but for BYE.
Rule 4: what was said before TLS is forgotten when TLS begins: the server greets anew (section 2.2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.upstream.managesieve.errors import ManageSieveError, ProtocolViolation
from gateway.upstream.managesieve.response import Data, Status, parse_line

MAX_LINES = 10_000  # in one response: scripts of one login, a hundred times what servers allow


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response: its data and the status that ends it."""

    status: Status
    data: tuple[Data, ...] = ()


Done = Callable[[Reply | ManageSieveError], None]
Challenged = Callable[[Data], bytes]  # what to send next in a SASL exchange


@dataclass(slots=True)
class _Flight:
    done: Done
    challenged: Challenged | None = None
    data: list[Data] = field(default_factory=list)


class Protocol:
    """One connection's exchange. Octets to send are taken from `output`."""

    def __init__(self) -> None:
        self._flights: deque[_Flight] = deque()
        self.output = bytearray()
        self.bye: Status | None = None

    @property
    def is_busy(self) -> bool:
        """Tell whether an answer is awaited."""
        return bool(self._flights)

    def await_greeting(self, done: Done) -> None:
        """Expect a greeting next: at the beginning, and when TLS has begun."""
        self._flights.append(_Flight(done))

    def submit(self, octets: bytes, done: Done, *, challenged: Challenged | None = None) -> None:
        """Queue a command. `challenged` answers the server's challenges to AUTHENTICATE."""
        if self._flights and self._flights[-1].challenged is not None:
            raise RuntimeError("nothing may follow AUTHENTICATE before it is answered")
        self._flights.append(_Flight(done, challenged))
        self.output += octets

    def receive(self, raw: bytes) -> None:
        """Take one line of the server."""
        line = parse_line(raw)
        if isinstance(line, Status):
            self._end(line)
            return
        if not self._flights:
            raise ProtocolViolation("the server says something unasked")
        flight = self._flights[0]
        if flight.challenged is not None:
            self.output += flight.challenged(line)
            return
        if len(flight.data) == MAX_LINES:
            raise ProtocolViolation("a response without end")
        flight.data.append(line)

    def _end(self, status: Status) -> None:
        if status.kind == "BYE":
            self.bye = status
            return  # the connection ends; whoever moves the octets says so
        if not self._flights:
            raise ProtocolViolation("the server answers what it was not asked")
        flight = self._flights.popleft()
        flight.done(Reply(status, tuple(flight.data)))

    def fail_all(self, error: ManageSieveError) -> None:
        """End everything that waits."""
        while self._flights:
            self._flights.popleft().done(error)
