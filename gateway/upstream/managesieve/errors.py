"""What can go wrong with a ManageSieve connection or a command. Each error carries the response code it came with.

Rule 1: `str(error)` is fit for a log: the server's text is cut, and nothing that we sent is in it.
Rule 2: `CommandFailed` leaves the connection usable; all others end it.
"""

from __future__ import annotations

MAX_TEXT = 2000  # characters of a server's text kept: a script's first errors, each with its line number


class ManageSieveError(Exception):
    """Something failed upstream. `code` is the response code (RFC 5804 section 1.3, upper case) or None."""

    code: str | None
    text: str

    def __init__(self, text: str = "", code: str | None = None) -> None:
        self.text, self.code = text[:MAX_TEXT], code
        super().__init__(self.text)

    def __str__(self) -> str:
        return f"({self.code}) {self.text}" if self.code else self.text


class ConnectError(ManageSieveError, OSError):
    """No connection came about: refused, unreachable, no TLS, no greeting."""


class Disconnected(ManageSieveError, ConnectionError):
    """The connection ended before the command was answered. Whether it was carried out is not known."""


class ServerBye(Disconnected):
    """The server said BYE, with a reason; such as (TRYLATER)."""


class Timeout(ManageSieveError, TimeoutError):
    """The server was silent for longer than a named timeout allows. The connection is closed."""


class ProtocolViolation(ManageSieveError):
    """The server sent what no reader can follow. The connection is closed."""


class CommandFailed(ManageSieveError):
    """NO: the command was refused. A code such as QUOTA/MAXSIZE is also a QUOTA (section 1.3): see `is_code`."""

    def is_code(self, code: str) -> bool:
        """Tell whether the response code is this one or a special case of it."""
        return self.code is not None and (self.code == code or self.code.startswith(f"{code}/"))


class NameRefused(CommandFailed):
    """The server takes no script of this name. The script itself was not sent."""


class AuthenticationFailed(CommandFailed):
    """The server refused the credentials, or offers no way to show them."""
