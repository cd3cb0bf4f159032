"""Mailbox names: modified UTF-7 (RFC 3501 section 5.1.3) or UTF-8 (RFC 6855) on the wire, Unicode inside. Pure.

Rule 1: a name goes out as it came in: a wire name that is no clean modified UTF-7 (a bare `&`, raw octets) is shown as
    well as can be and remembered, so that the mailbox can still be selected.
Rule 2: INBOX is "INBOX", however it is spelled.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field

MAX_ODD_NAMES = 10_000  # remembered per login; servers with more odd names than that are attacks

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+|&")


def decode_utf7(wire: bytes) -> str:
    """Decode modified UTF-7; raise ValueError for what is not its one canonical form."""
    text = _SHIFTED.sub(_decode_run, wire).decode()  # the runs become UTF-8 here
    if encode_utf7(text) != wire:
        raise ValueError("not modified UTF-7")
    return text


def _decode_run(match: re.Match[bytes]) -> bytes:
    run = match[1].replace(b",", b"/")
    if not run:
        return b"&"
    try:
        units = binascii.a2b_base64(run + b"=" * (-len(run) % 4))
        return units.decode("utf-16-be").encode()
    except (binascii.Error, UnicodeError):
        raise ValueError("not modified UTF-7") from None


def encode_utf7(text: str) -> bytes:
    """Encode as modified UTF-7. Raise ValueError for lone surrogates."""
    return _UNPRINTABLE.sub(_encode_run, text).encode("ascii")


def _encode_run(match: re.Match[str]) -> str:
    run = match[0]
    if run == "&":
        return "&-"
    units = run.encode("utf-16-be")
    return "&" + binascii.b2a_base64(units, newline=False).decode().rstrip("=").replace("/", ",") + "-"


@dataclass(slots=True)
class MailboxNames:
    """Both directions for one connection; `odd` may be shared by all connections of a login."""

    utf8: bool = False  # UTF8=ACCEPT is enabled
    odd: MutableMapping[str, bytes] = field(default_factory=dict)

    def decode(self, wire: bytes) -> str:
        """Return the name to show."""
        if len(wire) == 5 and wire.upper() == b"INBOX":
            return "INBOX"
        try:
            return wire.decode() if self.utf8 else decode_utf7(wire)
        except ValueError:
            name = self._show(wire)
            if len(self.odd) < MAX_ODD_NAMES:
                self.odd[name] = wire
            return name

    def encode(self, name: str) -> bytes:
        """Return the octets that name this mailbox, not yet quoted. Raise ValueError for lone surrogates."""
        odd = self.odd.get(name)
        if odd is not None:
            return odd
        return name.encode() if self.utf8 else encode_utf7(name)

    @staticmethod
    def _show(wire: bytes) -> str:
        try:
            return wire.decode()
        except UnicodeDecodeError:
            return wire.decode("latin-1")
