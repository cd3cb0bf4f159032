"""ID (RFC 2971)."""

from collections.abc import Mapping

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import text_of
from gateway.upstream.imap.response import Data, Status

MAX_FIELDS = 30  # RFC 2971 section 3.3


class Id(Command[Mapping[str, str]]):
    """Tell who we are and learn who the server is; the result's names are in lower case."""

    verb = "ID"

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._told: dict[str, str] = {}

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, "ID (")
        for index, (name, value) in enumerate(self._fields.items()):
            line.raw(" " if index else "").string(name, quoted=True).raw(" ").string(value, quoted=True)
        return line.raw(")")

    def on_data(self, data: Data) -> bool:
        if data.kind != "ID":
            return False
        values = data.values()
        pairs = values[0] if values and isinstance(values[0], list) else []
        for name, value in list(zip(pairs[::2], pairs[1::2], strict=False))[:MAX_FIELDS]:
            key, text = text_of(name), text_of(value)
            if key and text is not None:
                self._told[key.lower()] = text
        return True

    def result(self, status: Status) -> Mapping[str, str]:
        return self._told
