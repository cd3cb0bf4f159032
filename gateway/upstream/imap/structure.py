"""BODYSTRUCTURE (RFC 9051 section 7.5.2) as a tree of frozen values. Pure.

Rule 1: tolerant: trailing fields may be missing (Courier sends fewer), any field may be NIL, numbers may be no numbers.
Rule 2: nesting and the number of parts are bounded; what goes beyond makes the whole structure None.
Rule 3: strings are decoded as UTF-8, else Latin-1; RFC 2047 and RFC 2231 are left to whoever reads the values, except
    that parameter names come in lower case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.upstream.imap.lexer import number_of, text_of

MAX_DEPTH = 100  # deeper multiparts exist only in attacks; servers stop earlier
MAX_PARTS = 10_000  # as many as a 1 MiB line can hold with room to spare


@dataclass(frozen=True, slots=True)
class Structure:
    """One part. Sections are numbered as in RFC 3501 section 6.4.5; the root of a multipart has section ""."""

    section: str
    type: str  # lower case: "text", "multipart", "message"
    subtype: str  # lower case
    parameters: Mapping[str, str] = field(default_factory=dict)  # names in lower case, as sent otherwise
    content_id: str | None = None  # with its angle brackets, as sent
    description: str | None = None
    encoding: str = "7bit"  # lower case
    octets: int = 0  # as stored, still encoded
    lines: int | None = None
    md5: str | None = None
    disposition: str | None = None  # lower case
    disposition_parameters: Mapping[str, str] = field(default_factory=dict)
    language: tuple[str, ...] | None = None
    location: str | None = None
    children: tuple[Structure, ...] = ()  # of a multipart
    envelope: Any = None  # of a message/rfc822 part, lexed
    message: Structure | None = None  # of a message/rfc822 part: the structure inside

    @property
    def content_type(self) -> str:
        """Return "text/plain"."""
        return f"{self.type}/{self.subtype}"

    def walk(self) -> Iterator[Structure]:
        """Yield this part and those below it, in order; a message/rfc822 part is a leaf."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))


class _Unusable(Exception):
    """No structure can be made of this."""


def parse(tree: Any) -> Structure | None:
    """Turn a lexed BODYSTRUCTURE into a Structure; None when it makes no sense or exceeds a bound."""
    try:
        return _Parser().part(tree, "", 0)
    except _Unusable:
        return None


class _Parser:
    """Counts the parts of one structure."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = 0

    def part(self, tree: Any, section: str, depth: int) -> Structure:
        self._parts += 1
        if not isinstance(tree, list) or not tree or depth > MAX_DEPTH or self._parts > MAX_PARTS:
            raise _Unusable
        if isinstance(tree[0], list):
            return self._multipart(tree, section, depth)
        # The one part of a message that is no multipart is "1" (RFC 3501 section 6.4.5).
        return self._leaf(tree, section or "1", depth)

    def _multipart(self, tree: list[Any], section: str, depth: int) -> Structure:
        at = next((index for index, value in enumerate(tree) if not isinstance(value, list)), len(tree))
        prefix = f"{section}." if section else ""
        children = tuple(
            self.part(child, f"{prefix}{number}", depth + 1) for number, child in enumerate(tree[:at], start=1)
        )
        disposition, disposition_parameters = _disposition(_at(tree, at + 2))
        return Structure(
            section=section,
            type="multipart",
            subtype=_lower(_at(tree, at)) or "mixed",
            parameters=_parameters(_at(tree, at + 1)),
            disposition=disposition,
            disposition_parameters=disposition_parameters,
            language=_language(_at(tree, at + 3)),
            location=text_of(_at(tree, at + 4)),
            children=children,
        )

    def _leaf(self, tree: list[Any], section: str, depth: int) -> Structure:
        kind, subtype = _lower(_at(tree, 0)) or "text", _lower(_at(tree, 1)) or "plain"
        envelope, message, lines, rest = None, None, None, 7
        if kind == "message" and subtype in ("rfc822", "global") and isinstance(_at(tree, 8), list):
            envelope, lines, rest = tree[7], number_of(_at(tree, 9)), 10
            # Inside, a single part is "2.1" and a multipart goes by the number of the message itself.
            inner = section if isinstance(tree[8][0] if tree[8] else None, list) else f"{section}.1"
            message = self.part(tree[8], inner, depth + 1)
        elif kind == "text":
            lines, rest = number_of(_at(tree, 7)), 8
        disposition, disposition_parameters = _disposition(_at(tree, rest + 1))
        return Structure(
            section=section,
            type=kind,
            subtype=subtype,
            parameters=_parameters(_at(tree, 2)),
            content_id=text_of(_at(tree, 3)),
            description=text_of(_at(tree, 4)),
            encoding=_lower(_at(tree, 5)) or "7bit",
            octets=number_of(_at(tree, 6)) or 0,
            lines=lines,
            md5=text_of(_at(tree, rest)),
            disposition=disposition,
            disposition_parameters=disposition_parameters,
            language=_language(_at(tree, rest + 2)),
            location=text_of(_at(tree, rest + 3)),
            envelope=envelope,
            message=message,
        )


def _at(tree: list[Any], index: int) -> Any:
    return tree[index] if index < len(tree) else None


def _lower(value: Any) -> str | None:
    text = text_of(value)
    return text.strip().lower() if text is not None else None


def _parameters(value: Any) -> dict[str, str]:
    if not isinstance(value, list):
        return {}
    pairs = zip(value[::2], value[1::2], strict=False)
    return {key.lower(): text for name, told in pairs if (key := text_of(name)) and (text := text_of(told)) is not None}


def _disposition(value: Any) -> tuple[str | None, dict[str, str]]:
    if not isinstance(value, list):  # a bare string is what some servers make of it
        return _lower(value), {}
    return _lower(_at(value, 0)), _parameters(_at(value, 1))


def _language(value: Any) -> tuple[str, ...] | None:
    values = value if isinstance(value, list) else [value]
    return tuple(text for one in values if (text := text_of(one)) is not None) or None
