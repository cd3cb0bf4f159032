"""NOTIFY (RFC 5465). What it brings is unsolicited by nature and reaches `on_unsolicited`."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line

# Everything the server can tell: in the selected mailbox by EXISTS, VANISHED and FETCH, in all others by STATUS.
ALL_PERSONAL = (
    "SET (SELECTED (MessageNew (UID) MessageExpunge FlagChange))"
    " (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))"
)


class Notify(Command[None]):
    """Set what is told unasked; "NONE" for nothing. NO [BADEVENT] lists what the server cannot tell."""

    verb = "NOTIFY"

    def __init__(self, events: str = ALL_PERSONAL) -> None:
        self._events = events

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, f"NOTIFY {self._events}")
