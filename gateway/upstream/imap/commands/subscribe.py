"""SUBSCRIBE and UNSUBSCRIBE (RFC 9051 sections 6.3.7 and 6.3.8)."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line


class Subscribe(Command[None]):
    """Put a name on the list of subscriptions."""

    verb = "SUBSCRIBE"

    def __init__(self, name: str) -> None:
        self._name = name

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, f"{self.verb} ").mailbox(self._name)


class Unsubscribe(Subscribe):
    """Take a name off the list of subscriptions."""

    verb = "UNSUBSCRIBE"
