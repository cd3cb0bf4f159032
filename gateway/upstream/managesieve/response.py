"""What a line of the server means (RFC 5804 sections 1.2 and 1.3): a status with its code, or data. Pure.

Rule 1: OK, NO and BYE begin a status only as atoms: a script may be called "OK".
Rule 2: a leniency, and its witness: Cyrus 3.6 lists a script named a"b\\c as `"a"b\\c"`. What cannot be read, and could
    be such a name, is taken for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gateway.upstream.managesieve.errors import ProtocolViolation
from gateway.upstream.managesieve.lexer import Token, lex

Kind = Literal["OK", "NO", "BYE"]
_KINDS: dict[bytes, Kind] = {b"OK": "OK", b"NO": "NO", b"BYE": "BYE"}
MAX_DATA = 2  # tokens of a data line: a capability and its value, a script and ACTIVE
_BARE_NAME = re.compile(rb'"([^\r\n]{1,1024})"( ACTIVE)?')


@dataclass(frozen=True, slots=True)
class Status:
    """The end of a response. `arguments` are what stands in the parentheses behind the code."""

    kind: Kind
    code: str | None = None  # upper case
    arguments: tuple[str, ...] = ()
    text: str = ""


Data = tuple[Token, ...]


def parse_line(raw: bytes) -> Status | Data:
    """Return the meaning of one line. Raise `ProtocolViolation`."""
    match = _BARE_NAME.fullmatch(raw)
    try:
        tokens = lex(raw)
    except ProtocolViolation:
        if match is None:
            raise
        tokens = []
    if match is not None and not 0 < len(tokens) <= MAX_DATA:
        return (Token("string", match[1]), *((Token("atom", b"ACTIVE"),) if match[2] else ()))
    if not tokens:
        raise ProtocolViolation("an empty line")
    first = tokens[0]
    kind = _KINDS.get(first.octets.upper()) if first.kind == "atom" else None
    return tuple(tokens) if kind is None else _status(kind, tokens[1:])


def _status(kind: Kind, tokens: list[Token]) -> Status:
    code: str | None = None
    arguments: tuple[str, ...] = ()
    if tokens and tokens[0] == ("(", b"("):
        close = next((at for at, token in enumerate(tokens) if token == ("(", b")")), None)
        if close is None or close < 2 or tokens[1].kind != "atom":
            raise ProtocolViolation("a response code that cannot be read")
        code = tokens[1].text.upper()
        arguments = tuple(token.text for token in tokens[2:close])
        tokens = tokens[close + 1 :]
    if len(tokens) > 1 or (tokens and tokens[0].kind != "string"):
        raise ProtocolViolation("a status that cannot be read")
    text = tokens[0].octets.decode("utf-8", "replace") if tokens else ""
    return Status(kind, code, arguments, text)
