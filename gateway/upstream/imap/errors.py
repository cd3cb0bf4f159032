"""What can go wrong with an IMAP connection or a command. Each error carries the response code it came with.

Rule 1: `str(error)` is fit for a log: the server's text is cut, and no command text (it may hold a secret) is in it.
Rule 2: `CommandNo` and `CommandBad` leave the connection usable; all others end it.
"""

from __future__ import annotations

MAX_TEXT = 200  # characters of a server's text kept in an error: enough to tell, too few to flood a log


class ImapError(Exception):
    """Something failed upstream. `code` is the response code (RFC 5530, upper case) or None."""

    code: str | None
    text: str

    def __init__(self, text: str = "", code: str | None = None) -> None:
        self.text, self.code = text[:MAX_TEXT], code
        super().__init__(self.text)

    def __str__(self) -> str:
        return f"[{self.code}] {self.text}" if self.code else self.text


class ConnectError(ImapError, OSError):
    """No connection came about: refused, unreachable, no TLS, no greeting."""


class Disconnected(ImapError, ConnectionError):
    """The connection ended before the command was answered. Whether it was carried out is not known."""


class ServerBye(Disconnected):
    """The server said BYE, with a reason; such as [UNAVAILABLE]."""


class Timeout(ImapError, TimeoutError):
    """The server was silent for longer than a named timeout allows. The connection is closed."""


class ProtocolViolation(ImapError):
    """The server sent what no reader can follow (too long a line, a literal without end). The connection is closed."""


class CommandFailed(ImapError):
    """The server answered a command with NO or BAD."""


class CommandNo(CommandFailed):
    """NO: the command was understood and refused."""


class CommandBad(CommandFailed):
    """BAD: the server does not know or did not understand the command."""


class AuthenticationFailed(CommandNo):
    """The server refused the credentials (or the login for now: look at `code`, such as UNAVAILABLE or LIMIT)."""


class SectionMissing(CommandNo):
    """The server answered a FETCH of one section with OK, but without it: the message was expunged."""
