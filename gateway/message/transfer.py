"""Content-Transfer-Encoding (RFC 2045 section 6), one-shot and as the octets arrive.

Rule 1: decoding never fails: what is no code is passed over (base64, section 6.8) or stands for itself
        (quoted-printable), and is reported as a problem.
Rule 2: an encoding that is unknown is no encoding (RFC 8621 section 4.1.4, `blobId`), and a problem.
Rule 3: a stream in pieces decodes to what it decodes to whole, however it is cut (but for absurdly long white space).
"""

from __future__ import annotations

import binascii
import re
from typing import Protocol

_IDENTITY = frozenset(("", "7bit", "8bit", "binary"))
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in _ALPHABET + b"=")
_NOT_BASE64_OR_BLANK = bytes(octet for octet in _NOT_BASE64 if octet not in b" \t\r\n")
_RUN = re.compile(rb"([^=]++)(=*+)")
# Each padding inside base64 begins a new run (a list server's footer is appended so); each run costs a call.
MAX_BASE64_RUNS = 1000

# White space at the end of a line was added on the way (RFC 2045 section 6.7, rule 3).
_TRAILING_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_BROKEN_CODE = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
# What may still change its meaning when more arrives: a code or soft break cut short, white space, CR.
_OPEN_END = re.compile(rb"(?:=[0-9A-Fa-f]?|=?[ \t]*+)\r?\Z")
# A line of quoted-printable has 76 octets; longer white space is not held back.
MAX_HELD_OCTETS = 1024


class Decoder(Protocol):
    """Takes the encoded octets of one part in pieces."""

    problem: bool  # so far

    def feed(self, data: bytes) -> bytes:
        """Take a piece; return what can be decoded by now."""

    def finish(self) -> bytes:
        """Return the rest."""


def decode_transfer(data: bytes, encoding: str) -> tuple[bytes, bool]:
    """Decode a whole part: (octets, whether the code was broken or unknown)."""
    decode = decoder(encoding)
    octets = decode.feed(data)
    rest = decode.finish()
    return octets + rest if rest else octets, decode.problem


def decoder(encoding: str) -> Decoder:
    """Return a fresh decoder for a Content-Transfer-Encoding."""
    encoding = encoding.strip().lower()
    if encoding == "base64":
        return _Base64()
    if encoding == "quoted-printable":
        return _QuotedPrintable()
    return _Identity(problem=encoding not in _IDENTITY)


class _Identity:
    __slots__ = ("problem",)

    def __init__(self, *, problem: bool) -> None:
        self.problem = problem

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Base64:
    __slots__ = ("_held", "_runs", "problem")

    def __init__(self) -> None:
        self.problem = False
        self._held = b""  # fewer than four characters
        self._runs = 0

    def feed(self, data: bytes) -> bytes:
        code = data.translate(None, _NOT_BASE64)
        if len(code) != len(data) and not self.problem:
            self.problem = len(data.translate(None, _NOT_BASE64_OR_BLANK)) != len(data)
        code = self._held + code
        if b"=" not in code and self._runs < MAX_BASE64_RUNS:
            return self._take(code)
        self._held = b""
        pieces = []
        for run in _RUN.finditer(code):
            if self._runs >= MAX_BASE64_RUNS:
                self.problem = True
                break
            pieces.append(self._take(run[1]))
            if run[2]:
                pieces.append(self.finish())
                self._runs += 1
        return b"".join(pieces)

    def _take(self, code: bytes) -> bytes:
        whole = len(code) & ~3
        self._held = code[whole:]
        return binascii.a2b_base64(code[:whole] if self._held else code)

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        if len(held) == 1:
            self.problem = True
            return b""
        return binascii.a2b_base64(held + b"==") if held else b""


class _QuotedPrintable:
    __slots__ = ("_held", "problem")

    def __init__(self) -> None:
        self.problem = False
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        data = self._held + data
        open_end = _OPEN_END.search(data, max(0, len(data) - MAX_HELD_OCTETS))
        end = open_end.start() if open_end is not None else len(data)
        self._held = data[end:]
        return self._decode(data[:end])

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        held = held.rstrip(b" \t")
        return self._decode(held[:-1] if held.endswith(b"=") else held)

    def _decode(self, data: bytes) -> bytes:
        data = _TRAILING_BLANKS.sub(b"", data)
        if _BROKEN_CODE.search(data) is not None:
            self.problem = True
            data = _BROKEN_CODE.sub(b"=3D", data)
        return binascii.a2b_qp(data)
