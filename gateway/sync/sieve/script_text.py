"""As much of the Sieve language (RFC 5228) as is needed to live with a script: strings, and what it needs. Pure.

Rule 1: a string goes out between quotes, its backslashes and quotes escaped (RFC 5228 section 2.4.2): nothing ends it
    but its own end, and no line of it can be a command or an end, as with `text:`. It must hold no NUL.
Rule 2: neither "variables" nor "encoded-character" is required where our strings stand: "${…}" in them means nothing.
Rule 3: reading is lenient and linear. A script that cannot be read is one that needs nothing: the server has the last
    word about what a script is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

KEPT = 64  # answers of `needs`: a script is read once, not at every look
MAX_INCLUDED = 100  # scripts followed from one; servers allow ten levels

_TOKEN = re.compile(
    r"#[^\n]*"  # comments and blanks
    r"|/\*.*?(?:\*/|\Z)"
    r"|\s+"
    r'|"(?P<quoted>[^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\\?\Z)'  # one that is never closed goes on to the end
    r"|text:[ \t]*(?:\#[^\n]*)?\r?\n(?P<lines>.*?)(?:^\.\r?$|\Z)"
    r"|(?P<word>:?[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<mark>[^\s\"])",
    re.DOTALL | re.MULTILINE,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class _Token(NamedTuple):
    kind: str  # string, word, mark
    text: str


class Needs(NamedTuple):
    """What a script, together with what it includes, asks of the engine."""

    extensions: frozenset[str]
    scripts: frozenset[str]  # names of personal scripts that it includes, however deep


def quote(text: str) -> str:
    """Return a Sieve string. Raise ValueError for what none can hold."""
    if "\0" in text:
        raise ValueError("a Sieve string holds no NUL")
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n") + '"'


def quote_list(texts: Iterable[str]) -> str:
    """Return a Sieve string list."""
    return "[" + ", ".join(map(quote, texts)) + "]"


def needs(name: str, scripts: Mapping[str, bytes]) -> Needs:
    """Return what a script needs, followed through everything that it includes."""
    extensions: set[str] = set()
    seen = [name]
    for one in seen:  # grows meanwhile
        required, included = _needs_of(scripts.get(one, b""))
        extensions |= required
        seen += [other for other in dict.fromkeys(included) if other not in seen][: MAX_INCLUDED - len(seen)]
    return Needs(frozenset(extensions), frozenset(seen[1:]))


@lru_cache(maxsize=KEPT)
def _needs_of(content: bytes) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the extensions that a script requires, and the names that it includes."""
    extensions: set[str] = set()
    included: list[str] = []
    command: str | None = None
    is_global = False
    for kind, text in _tokens(content.decode("utf-8", "replace")):
        if kind == "mark" and text in ";{}":
            command, is_global = None, False
        elif kind == "word" and command is None:
            command = text.lower()
            if command != "require" and "include" not in extensions:
                break  # whatever is required is required first (section 3.2)
        elif kind == "word" and text.lower() == ":global":
            is_global = True
        elif kind == "string" and command == "require":
            extensions.add(text)
        elif kind == "string" and command == "include" and not is_global:
            included.append(text)
    return frozenset(extensions), tuple(included)


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "quoted":
            yield _Token("string", _ESCAPED.sub(r"\1", match["quoted"]))
        elif kind == "lines":
            yield _Token("string", match["lines"])
        elif kind is not None:
            yield _Token(kind, match[kind])
