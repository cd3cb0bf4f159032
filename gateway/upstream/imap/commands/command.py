"""What every command is: its text, its claim on responses, its result. One file per verb beside this one. No I/O.

Rule 1: a command object is sent once.
Rule 2: it claims a response only if that is (or may be) its own data; what nobody claims is unsolicited.
Rule 3: when two commands could not tell their responses apart they share a `family`, and never fly together (RFC 9051
    section 5.5); a command that changes what all others mean is `alone`, or `leads` those meant for what it brings.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.errors import ProtocolViolation
from gateway.upstream.imap.message import Message
from gateway.upstream.imap.response import Data, Status
from gateway.upstream.imap.scanner import LiteralSink

T = TypeVar("T")


class Command(Generic[T]):
    """One command. Subclasses override what they need; the default is a bare verb without a result."""

    verb: ClassVar[str] = ""  # as metrics name it
    alone: ClassVar[bool] = False  # nothing else in flight, before or after
    leads: ClassVar[bool] = False  # nothing in flight before it; what follows may go out behind it at once
    takes_messages: ClassVar[bool] = False  # `on_message` is worth calling
    takes_octets: bool = False  # `take_octets` is worth calling
    is_patient: ClassVar[bool] = False  # the server may search for minutes without a word
    family: str | None = None
    is_listening: bool = False  # silence is what is expected now

    def line(self, dialect: Dialect) -> Line:
        """Return the command without its tag. Raises `Unencodable`."""
        return Line(dialect, self.verb)

    def sent_as(self, tag: bytes) -> None:
        """Learn the tag (ESEARCH names it in its response)."""

    def on_data(self, data: Data) -> bool:
        """Take an untagged response other than FETCH; return whether it was this command's."""
        return False

    def on_message(self, message: Message) -> bool:
        """Take a FETCH response that this `covers`; return whether it was this command's indeed."""
        return False

    def take_octets(self, raw: bytes) -> bool:
        """Take a FETCH response as it came, unread; return whether it was this command's."""
        return False

    def covers(self, message: Message) -> bool:
        """Tell whether a FETCH response is an answer to this."""
        return True

    def takes_stray(self, message: Message) -> bool:
        """Tell whether this takes a FETCH response that no command covers."""
        return False

    def conflicts(self, other: Command[Any]) -> bool:
        """Tell whether the responses to this and to an earlier command in flight could be mixed up."""
        return self.family is not None and self.family == other.family

    def abandon(self) -> None:
        """Go on claiming what is this command's, but hand nothing on: nobody waits any more."""

    def on_status(self, status: Status) -> bool:
        """Look at an untagged OK or NO with a code; return whether it concerns this command alone."""
        return False

    def on_continuation(self, text: bytes) -> bytes | None:
        """Answer a `+` that no literal waits for; None: nothing to say yet."""
        raise ProtocolViolation("a continuation request that nothing asked for")

    def interrupt(self) -> bytes | None:
        """Return what ends this command early because another wants the connection; None: it ends by itself."""
        return None

    def open_literal(self, line: bytes, octets: int) -> LiteralSink | None:
        """Offer to take a large literal announced at the end of `line`."""
        return None

    def result(self, status: Status) -> T:
        """Return the result; `status` is the tagged OK. May raise an ImapError."""
        return None  # type: ignore[return-value] # of Command[None]; every other overrides it
