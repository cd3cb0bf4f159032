"""A message put together from header fields and a tree of new parts (RFC 5322, RFC 2045, RFC 2046).

Rule 1: the size is known before the first octet is given, and it is exact: what a blob turns out to hold otherwise is
`ContentChanged`, never a message of another size.
Rule 2: a blob is streamed: once to measure it where its size is not known or its lines matter, then for each reading.
Rule 3: text goes as it is where its lines are short ASCII, else in quoted-printable while most of it stays readable, or
in base64; a blob in base64; an attached message, which must not be encoded (RFC 2046 section 5.2.1), in 7bit or 8bit.
Rule 4: no boundary can stand in encoded content ("=_" is in neither encoding), and nobody can guess one.
"""

from __future__ import annotations

import asyncio
import binascii
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway.message.build_header import fold
from gateway.message.build_words import parameter
from gateway.message.lines import LineEnds

LINE_OCTETS = 76  # of encoded content (RFC 2045 sections 6.7 and 6.8)
MAX_LINE_OCTETS = 998  # RFC 5322 section 2.1.1
MAX_TEXT_LINE = 78  # characters of a line of text that goes as it is
ENCODED_AT_ONCE = 57 * 4096  # octets to base64 at once: whole lines, and a millisecond
MAX_PIECE_OCTETS = 64 * 1024  # small pieces are joined up to this: one chunk each would cost more
TEXT_AT_ONCE = 128 * 1024  # characters of text that are encoded on the event loop; for more a thread is worth it

_NOT_PLAIN = re.compile("[^\t\n -~]|^From ", re.MULTILINE)


class ContentChanged(Exception):
    """A blob is not what it was when the message was measured."""


@dataclass(frozen=True, slots=True)
class Text:
    """The content of a text part, any line ends."""

    value: str


@dataclass(frozen=True, slots=True)
class Octets:
    """The content of a part from somewhere else."""

    open: Callable[[], AsyncGenerator[bytes, None]]  # may be called again
    size_octets: int | None = None  # None: to be counted


@dataclass(frozen=True, slots=True)
class NewPart:
    """One node of the tree to build: a leaf has `content`, a multipart `subparts`."""

    type: str  # lower case
    parameters: Mapping[str, str] = field(default_factory=dict)  # of Content-Type; the boundary is not among them
    fields: tuple[bytes, ...] = ()  # whole, with line ends; not Content-Type, nor Content-Transfer-Encoding
    content: Text | Octets | None = None
    subparts: tuple[NewPart, ...] = ()


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that is ready to be stored. `octets` may be called again."""

    octets: Callable[[], AsyncGenerator[bytes, None]]
    size_octets: int
    has_utf8_headers: bool
    blob_octets: int = 0  # of what came from elsewhere, before it was encoded


@dataclass(frozen=True, slots=True)
class _Streamed:
    content: Octets
    encoding: str  # base64, 7bit, 8bit
    size_octets: int  # encoded
    blob_octets: int  # before


async def build_message(fields: Sequence[bytes], root: NewPart) -> NewMessage:
    """Build a message of these header fields, whole and with line ends, and this tree; blobs may be read once."""
    builder = _Builder()
    for one in fields:
        builder.header(one)
    if not any(one[:13].lower() == b"mime-version:" for one in (*fields, *root.fields)):
        builder.header(b"MIME-Version: 1.0\r\n")
    await builder.part(root)
    pieces = tuple(builder.pieces)
    size_octets = sum(len(one) if isinstance(one, bytes) else one.size_octets for one in pieces)

    async def octets() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            given = 0
            async with aclosing(_encoded(piece)) as chunks:
                async for chunk in chunks:
                    given += len(chunk)
                    if given > piece.size_octets:
                        break
                    yield chunk
            if given != piece.size_octets:
                raise ContentChanged

    blob_octets = sum(0 if isinstance(one, bytes) else one.blob_octets for one in pieces)
    return NewMessage(octets, size_octets, builder.has_utf8_headers, blob_octets)


class _Builder:
    """Lays the pieces of a message out, in order."""

    def __init__(self) -> None:
        self.pieces: list[bytes | _Streamed] = []
        self.has_utf8_headers = False

    def header(self, octets: bytes) -> None:
        self.has_utf8_headers = self.has_utf8_headers or not octets.isascii()
        self._add(octets)

    def _add(self, piece: bytes | _Streamed) -> None:
        last = self.pieces[-1] if self.pieces else None
        if isinstance(piece, bytes) and isinstance(last, bytes) and len(last) + len(piece) <= MAX_PIECE_OCTETS:
            self.pieces[-1] = last + piece
        else:
            self.pieces.append(piece)

    async def part(self, part: NewPart) -> None:
        parameters = dict(part.parameters)
        body: bytes | _Streamed = b""
        boundary = encoding = ""
        if part.content is None:
            boundary = parameters["boundary"] = "=_" + secrets.token_hex(16)
        elif isinstance(part.content, Text):
            encoding, body = await encode_text(part.content.value)
        else:
            body = await _measured(part.content, is_message=part.type.startswith("message/"))
            encoding = body.encoding
        self.header(content_type(part.type, parameters))
        if encoding not in ("", "7bit"):
            self.header(b"Content-Transfer-Encoding: %s\r\n" % encoding.encode())
        for one in part.fields:
            self.header(one)
        self._add(b"\r\n")
        if not boundary:
            self._add(body)
            return
        delimiter = b"\r\n--" + boundary.encode()
        for index, subpart in enumerate(part.subparts):
            self._add((delimiter if index else delimiter[2:]) + b"\r\n")
            await self.part(subpart)
        self._add(delimiter + b"--\r\n")


def content_type(type: str, parameters: Mapping[str, str]) -> bytes:
    """Return the whole Content-Type field."""
    words = [f" {type}"]
    for name, value in parameters.items():
        for word in parameter(name, value):
            words[-1] += ";"
            words.append(" " + word)
    return fold("Content-Type", words)


async def encode_text(value: str) -> tuple[str, bytes]:
    """Return the transfer encoding for a text in UTF-8, and the text in it."""
    if len(value) <= TEXT_AT_ONCE:
        return _encode_text(value)
    return await asyncio.to_thread(_encode_text, value)


def _encode_text(value: str) -> tuple[str, bytes]:
    text = value.replace("\r\n", "\n")
    lines = text.split("\n")
    if _NOT_PLAIN.search(text) is None and max(map(len, lines)) <= MAX_TEXT_LINE:
        return "7bit", text.replace("\n", "\r\n").encode("ascii")
    if "\r" not in text:
        encoded = b"\r\n".join([_quoted_printable(line.encode("utf-8", "replace")) for line in lines])
        if 2 * len(encoded) <= 3 * len(text.encode("utf-8", "replace")) + 16:
            return "quoted-printable", encoded
    octets_in_base64 = base64_lines(text.replace("\n", "\r\n").encode("utf-8", "replace"))
    return "base64", octets_in_base64


def _quoted_printable(line: bytes) -> bytes:
    """Return one line, cut by soft line breaks where it is long."""
    begin = b""
    if line.startswith(b"From "):  # some stores would put ">" before it
        begin, line = b"=46=\r\n", line[1:]
    return begin + binascii.b2a_qp(line, istext=True).replace(b"=\n", b"=\r\n")


def base64_lines(octets: bytes) -> bytes:
    """Return base64 with CRLF between its lines."""
    encoded = binascii.b2a_base64(octets, newline=False)
    return b"\r\n".join([encoded[at : at + LINE_OCTETS] for at in range(0, len(encoded), LINE_OCTETS)])


def base64_size(octets: int) -> int:
    """Return how many octets `base64_lines` makes of so many."""
    encoded = (octets + 2) // 3 * 4
    return encoded + 2 * max(0, (encoded - 1) // LINE_OCTETS)


async def _measured(content: Octets, *, is_message: bool) -> _Streamed:
    """Say how a blob is encoded and how large that is; read it through where that takes it."""
    if not is_message:
        size_octets = content.size_octets
        if size_octets is None:
            size_octets = 0
            async with aclosing(content.open()) as chunks:
                async for chunk in chunks:
                    size_octets += len(chunk)
        return _Streamed(content, "base64", base64_size(size_octets), size_octets)
    lines, size_octets = LineEnds(), 0
    has_nul = False
    async with aclosing(content.open()) as chunks:
        async for chunk in chunks:
            size_octets += len(chunk)
            has_nul = has_nul or b"\0" in chunk
            lines.feed(chunk)
    lines.finish()
    if has_nul or lines.longest_line_octets > MAX_LINE_OCTETS:
        # It is no message that could be sent as it is. Readers do decode what must not have been encoded.
        return _Streamed(content, "base64", base64_size(size_octets), size_octets)
    return _Streamed(content, "8bit" if lines.has_8bit else "7bit", lines.size_octets, size_octets)


async def _encoded(piece: _Streamed) -> AsyncGenerator[bytes, None]:
    """Yield a blob in its transfer encoding."""
    async with aclosing(piece.content.open()) as chunks:
        if piece.encoding == "base64":
            async for encoded in _base64(chunks):
                yield encoded
            return
        lines = LineEnds()
        async for chunk in chunks:
            yield lines.feed(chunk)
        yield lines.finish()


async def _base64(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held, is_first = bytearray(), True
    async for chunk in chunks:
        held += chunk
        while len(held) > ENCODED_AT_ONCE:  # what is held back is never empty: a line end follows
            encoded = base64_lines(bytes(held[:ENCODED_AT_ONCE]))
            del held[:ENCODED_AT_ONCE]
            yield encoded if is_first else b"\r\n" + encoded
            is_first = False
    if held:
        encoded = base64_lines(bytes(held))
        yield encoded if is_first else b"\r\n" + encoded
