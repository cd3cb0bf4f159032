"""Tokens of a ManageSieve line (RFC 5804 section 4): one compiled regex, one loop. Pure.

Rule 1: the octets are complete; the scanner has seen to that. What still makes no sense raises `ProtocolViolation`.
Rule 2: lenient where servers are: an atom may hold anything but blanks, quotes and parentheses; octets beyond ASCII
    pass everywhere.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from gateway.upstream.managesieve.errors import ProtocolViolation

MAX_TOKENS = 1000  # in one line; a response code has three or four

_TOKEN = re.compile(
    rb" *(?:"
    rb'"([^"\\]*(?:\\.[^"\\]*)*)"'  # 1 quoted
    rb"|\{(\d+)\+?\}\r\n"  # 2 literal
    rb"|([()])"  # 3
    rb'|([^\s()"{][^\s()"]*)'  # 4 atom
    rb"|(.))",  # 5 nonsense
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


class Token(NamedTuple):
    kind: Literal["string", "atom", "("]  # "(" stands for either parenthesis
    octets: bytes

    @property
    def text(self) -> str:
        """Decode UTF-8; octets that are none survive a round trip as lone surrogates."""
        return self.octets.decode("utf-8", "surrogateescape")


def lex(raw: bytes) -> list[Token]:
    """Return the tokens of a whole line."""
    tokens: list[Token] = []
    pos, end = 0, len(raw.rstrip(b" "))
    while pos < end:
        match = _TOKEN.match(raw, pos)
        if match is None or match.lastindex == 5 or len(tokens) == MAX_TOKENS:
            raise ProtocolViolation("a line that cannot be read")
        pos = match.end()
        if match.lastindex == 1:
            tokens.append(Token("string", _ESCAPE.sub(rb"\1", match[1])))
        elif match.lastindex == 2:
            start, pos = pos, pos + int(match[2])
            if pos > len(raw):
                raise ProtocolViolation("a literal is cut short")
            tokens.append(Token("string", raw[start:pos]))
            end = max(end, pos)  # blanks at its end are its own
        else:
            tokens.append(Token("(", match[3]) if match.lastindex == 3 else Token("atom", match[4]))
    return tokens
