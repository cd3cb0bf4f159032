"""Whom a message is from and for, as MAIL and RCPT say it (RFC 5321 section 3.3, parameters: RFC 3461, RFC 4865). Pure.

Rule 1: what could end a line or an argument is refused here, whoever has checked it before.
Rule 2: values are given as they are meant; xtext (RFC 3461 section 4) is put on here, where its RFC asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

XTEXT = frozenset({"ENVID", "ORCPT"})

_PARAMETER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f<>\ud800-\udfff]")
_UNSAFE_VALUE = re.compile(r"[\x00-\x20\x7f=\ud800-\udfff]")


class BadAddress(ValueError):
    """An address or a parameter that no server may be told."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address with its parameters. The empty one is the null sender."""

    email: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if _UNSAFE.search(self.email) or (" " in self.email and not self.email.startswith('"')):
            raise BadAddress("an address cannot be told to a server")
        for name, value in self.parameters.items():
            if not _PARAMETER.match(name) or (value is not None and _UNSAFE_VALUE.search(_value(name, value))):
                raise BadAddress("a parameter cannot be told to a server")


@dataclass(frozen=True, slots=True)
class Envelope:
    sender: Address
    recipients: tuple[Address, ...]

    @property
    def is_ascii(self) -> bool:
        """Tell whether all can be said without SMTPUTF8 (RFC 6531)."""
        return all(
            address.email.isascii() and all(value is None or value.isascii() for value in address.parameters.values())
            for address in (self.sender, *self.recipients)
        )


def encoded(parameters: Mapping[str, str | None]) -> list[bytes]:
    """Return the words that follow an address."""
    return [_word(name.upper(), value) for name, value in parameters.items()]


def xtext(value: str) -> str:
    """Encode what RFC 3461 section 4 asks to be xtext; RFC 6533 keeps UTF-8 as it is."""
    return "".join(character if _is_plain(character) else f"+{ord(character):02X}" for character in value)


def _is_plain(character: str) -> bool:
    return character > "\x7f" or ("\x21" <= character <= "\x7e" and character not in "+=")


def _word(name: str, value: str | None) -> bytes:
    return name.encode() if value is None else f"{name}={_value(name, value)}".encode()


def _value(name: str, value: str) -> str:
    name = name.upper()
    if name == "ORCPT":
        kind, mark, rest = value.partition(";")
        return f"{kind}{mark}{xtext(rest)}"
    return xtext(value) if name in XTEXT else value
