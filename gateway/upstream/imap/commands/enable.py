"""ENABLE (RFC 5161). The protocol itself keeps what ENABLED says."""

from collections.abc import Sequence

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line


class Enable(Command[None]):
    """Switch extensions on."""

    verb = "ENABLE"
    alone = True  # it changes how names and strings are written

    def __init__(self, extensions: Sequence[str]) -> None:
        self._extensions = extensions

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, "ENABLE " + " ".join(self._extensions))
