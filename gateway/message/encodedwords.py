"""Encoded words (RFC 2047) in unstructured text, phrases and comments.

Rule 1: what breaks the syntax or the white space rules is not decoded (RFC 8621 section 4.1.2.2, item 4); neither is a
        word in an unknown charset.
Rule 2: white space between two adjacent encoded words vanishes. Adjacent words in one charset are decoded together:
        careless senders cut them in the middle of a character.
Rule 3: control characters that were encoded are dropped; what cannot be decoded becomes U+FFFD.
"""

from __future__ import annotations

import binascii
import re
from unicodedata import normalize

from gateway.message.charset import codec_name, decode_octets

# Section 2; `*language` is RFC 2231 section 5. The limit of 75 characters is for writers: readers meet longer ones.
_WORD = re.compile(r"=\?([^\s?*]+)(?:\*[^\s?]*)?\?([bBqQ])\?([^\s?]*)\?=")
_SPACES = re.compile(r"([ \t\r\n]+)")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def decode_unstructured(text: str) -> str:
    """Decode the encoded words that stand between white space (section 6.1, rule 1)."""
    if "=?" not in text:
        return text
    single = _WORD.fullmatch(text)
    if single is not None:
        codec = codec_name(single[1])
        return text if codec is None else _decode(_octets(single[2], single[3]), codec)
    pieces: list[str] = []  # alternately words and white space
    run = _Run()
    gap = ""  # white space since the last word; dropped between encoded words
    for index, piece in enumerate(_SPACES.split(text)):
        if index % 2:
            gap = piece
            continue
        word = _WORD.fullmatch(piece) if piece.startswith("=?") else None
        codec = codec_name(word[1]) if word is not None else None
        if word is None or codec is None:
            pieces += (run.flush(), gap, piece)
        else:
            if not run.is_open:
                pieces.append(gap)
            pieces.append(run.add(codec, word[2], word[3]))
        gap = ""
    pieces.append(run.flush())
    pieces.append(gap)
    return "".join(pieces)


def decode_words(words: list[str]) -> str | None:
    """Decode adjacent encoded words, each given whole; None where one of them is none or of unknown charset."""
    run, pieces = _Run(), []
    for text in words:
        word = _WORD.fullmatch(text)
        codec = codec_name(word[1]) if word is not None else None
        if word is None or codec is None:
            return None
        pieces.append(run.add(codec, word[2], word[3]))
    pieces.append(run.flush())
    return "".join(pieces)


def is_word(text: str) -> bool:
    """Tell whether the whole text is one encoded word that can be decoded."""
    word = _WORD.fullmatch(text)
    return word is not None and codec_name(word[1]) is not None


def decode_anywhere(text: str) -> str:
    """Decode encoded words wherever they stand: file names only, where senders break every rule of placement."""
    if "=?" not in text:
        return text
    spaced = re.sub(r"\?=(?==\?)", "?= ", text)
    pieces: list[str] = []
    end = 0
    for match in re.finditer(r"=\?[^\s?]+\?[bBqQ]\?[^?]*\?=(?:[ \t]*=\?[^\s?]+\?[bBqQ]\?[^?]*\?=)*", spaced):
        # A blank inside a word is only met in file names; it stands for itself.
        words = re.findall(r"=\?[^\s?]+\?[bBqQ]\?[^?]*\?=", match[0])
        decoded = decode_words([word.replace(" ", "_") for word in words])
        if decoded is not None:
            pieces += (spaced[end : match.start()], decoded)
            end = match.end()
    pieces.append(spaced[end:])
    return "".join(pieces)


def to_nfc(text: str) -> str:
    """Return the text in Normalization Form C."""
    return text if text.isascii() else normalize("NFC", text)


class _Run:
    """Encoded words of one charset in a row, their octets not yet decoded."""

    __slots__ = ("codec", "is_open", "octets")

    def __init__(self) -> None:
        self.codec = ""
        self.octets: list[bytes] = []
        self.is_open = False

    def add(self, codec: str, encoding: str, payload: str) -> str:
        """Take one word; return the text of the words before it if they were in another charset."""
        text = self.flush() if self.codec != codec else ""
        self.codec, self.is_open = codec, True
        self.octets.append(_octets(encoding, payload))
        return text

    def flush(self) -> str:
        """Return the text of the words taken so far, and forget them."""
        if not self.is_open:
            return ""
        octets, self.octets, self.is_open = self.octets, [], False
        codec, self.codec = self.codec, ""
        # Stateful charsets begin anew in every word (RFC 2047 section 3), and padding ends a UTF-16 word.
        if codec.startswith(("iso2022", "hz", "utf_7")):
            return "".join([_decode(data, codec) for data in octets])
        return _decode(b"".join(octets), codec)


def _octets(encoding: str, payload: str) -> bytes:
    # A header in raw UTF-8 may hold such letters inside a word as well.
    data = payload.encode("utf-8", "replace")
    return _decode_b(data) if encoding in "bB" else binascii.a2b_qp(data, header=True)


def _decode(data: bytes, codec: str) -> str:
    return _CONTROLS.sub("", decode_octets(data, codec)[0])


def _decode_b(data: bytes) -> bytes:
    """Decode base64 as far as it goes: foreign characters are skipped, a lone last character is dropped."""
    clean = _NOT_BASE64.sub(b"", data)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
