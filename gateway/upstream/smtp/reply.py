"""A reply of an SMTP server (RFC 5321 section 4.2), and the one line that RFC 8621 section 7 makes of it. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARACTERS = 500  # of a reply that is kept: providers send a paragraph and a link

_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|\Z)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


class Reply(NamedTuple):
    code: int
    text: str  # lines without their code, joined by LF

    @property
    def is_good(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_permanent(self) -> bool:
        return 500 <= self.code < 600

    @property
    def enhanced(self) -> str | None:
        """Return the enhanced status code (RFC 3463), such as "5.7.1"."""
        found = _ENHANCED.match(self.text)
        return found[0] if found is not None else None

    @property
    def line(self) -> str:
        """Return the reply as one line, the code first; what later lines repeat of the first is left out."""
        first, *others = self.text.split("\n")
        enhanced = self.enhanced
        if enhanced is not None:
            others = [re.sub(rf"\A{re.escape(enhanced)}(\s+|\Z)", "", line) for line in others]
        line = " ".join(f"{self.code} {first}".split() + [word for other in others for word in other.split()])
        return _UNPRINTABLE.sub("?", line)[:MAX_CHARACTERS]
