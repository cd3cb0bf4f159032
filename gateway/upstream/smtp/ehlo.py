"""What a server says of itself in reply to EHLO (RFC 5321 section 4.1.1.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_EXTENSIONS = 100  # servers have some twenty

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_PARAMETER = re.compile(r"[\x21-\x7e]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class Ehlo:
    """The extensions by their keyword in upper case, with their parameters."""

    extensions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Ehlo:
        """Read the text of the reply: the first line is the server's name, one extension in each other line."""
        extensions: dict[str, tuple[str, ...]] = {}
        for line in text.split("\n")[1:]:
            # "AUTH=PLAIN LOGIN": what servers said before RFC 4954, and some still say for old clients.
            words = line.replace("AUTH=", "AUTH ", 1).split() if line.upper().startswith("AUTH=") else line.split()
            if not words or not _KEYWORD.match(words[0]) or len(extensions) >= MAX_EXTENSIONS:
                continue
            keyword = words[0].upper()
            parameters = tuple(word for word in words[1:] if _PARAMETER.match(word))
            extensions[keyword] = tuple(dict.fromkeys((*extensions.get(keyword, ()), *parameters)))
        return cls(extensions)

    def offers(self, keyword: str) -> bool:
        return keyword in self.extensions

    @property
    def max_size_octets(self) -> int | None:
        """Return the largest message that the server takes (RFC 1870); None: it does not say."""
        return self._number("SIZE")

    @property
    def max_hold_s(self) -> int | None:
        """Return for how long the server holds a message back (RFC 4865); None: not at all."""
        return self._number("FUTURERELEASE")

    @property
    def max_recipients(self) -> int | None:
        """Return how many recipients one message may have (RFC 9422); None: the server does not say."""
        for parameter in self.extensions.get("LIMITS", ()):
            name, _, value = parameter.partition("=")
            if name.upper() == "RCPTMAX" and value.isascii() and value.isdigit() and len(value) < 10:
                return int(value) or None
        return None

    @property
    def mechanisms(self) -> frozenset[str]:
        """Return the SASL mechanisms (RFC 4954)."""
        return frozenset(parameter.upper() for parameter in self.extensions.get("AUTH", ()))

    def _number(self, keyword: str) -> int | None:
        parameters = self.extensions.get(keyword, ())
        if not parameters or not parameters[0].isascii() or not parameters[0].isdigit() or len(parameters[0]) > 18:
            return None
        return int(parameters[0]) or None  # RFC 1870 section 4: 0 is no limit
