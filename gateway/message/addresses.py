"""Address lists (RFC 5322 section 3.4, obsolete forms of 4.4 included) -> EmailAddress (RFC 8621 section 4.1.2.3).

Rule 1: any text gives a list. What is broken is kept as well as it can be: an `email` need not be an addr-spec.
Rule 2: every token is read once and no search starts over: an unclosed quote or comment is noticed once, after which
        its opening character is plain text.
Rule 3: a quoted string is never searched for encoded words, a word of a phrase always (RFC 2047 sections 5 and 6.1).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gateway.message.encodedwords import decode_unstructured, decode_words, is_word, to_nfc

Address = dict[str, Any]  # EmailAddress: {"name": str | None, "email": str}


class Group(NamedTuple):
    """An EmailAddressGroup (RFC 8621 section 4.1.2.4); name None: mailboxes outside of any group."""

    name: str | None
    addresses: list[Address]


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]++)
    |(?P<word>=\?[^\s?]++\?[bBqQ]\?[^\s?]*+\?=(?=[\s<,;:(]|\Z))
    |(?P<atom>[^\s"(),:;<>\[\]\\]++)
    |(?P<literal>\[[^\[\]\s]*+\])
    |(?P<angle><[^<>"]*+(?:"[^"<\\]*+(?:\\[^<][^"<\\]*+)*+"[^<>"]*+)*+>)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_COMMENT_STEP = re.compile(r"[^()\\]++|\\.?|[()]", re.DOTALL)
# What stands between "<" and a missing ">".
_OPEN_ANGLE = re.compile(r"<([^<>,;]*+)")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_BLANKS = re.compile(r"[ \t\r\n]+")
_ROUTE = re.compile(r"@[^:<>]*:")
_NOTHING = frozenset(("", "@", "."))


def parse_addresses(text: str) -> list[Address]:
    """Return the mailboxes of an address-list, those of groups included."""
    return [address for group in parse_groups(text) for address in group.addresses]


def parse_groups(text: str) -> list[Group]:
    """Return an address-list with its groups; mailboxes in a row outside of groups share one nameless Group."""
    return _Parser(text).run()


class _Parser:
    """One pass over the tokens of an address-list."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\0", "") if "\0" in text else text
        self.groups: list[Group] = []
        self.open_group: Group | None = None  # the group we are inside of
        self.loose: Group | None = None  # the nameless one that mailboxes in a row share
        self.quotes_close = self.comments_close = True
        self._next()

    def _next(self) -> None:
        """Begin a new mailbox."""
        self.phrase: list[tuple[str, str]] = []  # (kind, text), kind: atom, word, quoted or space
        self.has_words = self.has_at = False  # whether the phrase has words; whether an atom of it holds "@"
        self.email: str | None = None  # what stood in angle brackets
        self.comment: str | None = None  # the last one after something that may be an addr-spec

    def _add(self, kind: str, text: str) -> None:
        self.phrase.append((kind, text))
        if kind != "space":
            self.has_words = True
            self.has_at = self.has_at or (kind == "atom" and "@" in text)

    def run(self) -> list[Group]:
        text, position, end = self.text, 0, len(self.text)
        while position < end:
            match = _TOKEN.match(text, position)
            assert match is not None  # the last branch takes any character
            kind, token = match.lastgroup or "other", match[0]
            position = match.end()
            if kind == "angle":
                self._angle(token[1:-1])
            elif kind != "other":
                self._add("atom" if kind == "literal" else kind, token)
            elif token == '"':
                position = self._quoted(position - 1)
            elif token == "(":
                position = self._comment(position - 1)
            elif token == "<":
                opened = _OPEN_ANGLE.match(text, position - 1)
                assert opened is not None
                self._angle(opened[1])
                position = opened.end()
            elif token == ",":
                self._finish()
            elif token == ";":
                self._finish()
                self.open_group = None
            elif token == ":":
                self._colon()
            elif token != ">":
                self._add("atom", token)
        self._finish()
        return self.groups

    def _quoted(self, start: int) -> int:
        match = _QUOTED.match(self.text, start) if self.quotes_close else None
        if match is None:
            self.quotes_close = False  # to its end the text holds no whole quoted string that a reader would see
            return start + 1
        self._add("quoted", match[1])
        return match.end()

    def _comment(self, start: int) -> int:
        """Skip a comment; remember it as a possible display name."""
        if not self.comments_close:
            return start + 1
        depth = 0
        for step in _COMMENT_STEP.finditer(self.text, start):
            depth += (step[0] == "(") - (step[0] == ")")
            if depth == 0:
                content = self.text[start + 1 : step.start()]
                if self.email is not None or self.has_words:
                    self.comment = content
                self._add("space", " ")
                return step.end()
        self.comments_close = False
        return start + 1

    def _angle(self, content: str) -> None:
        if self.email is not None:  # a second address with no comma before it
            self._finish()
        self.email = _addr_spec(content)
        self.comment = None

    def _colon(self) -> None:
        """End the name of a group, or take the colon as text where no group can begin."""
        if not self.has_words:
            return
        if self.email is not None or self.has_at:
            self._add("atom", ":")
            return
        self.open_group = Group(_phrase(self.phrase) or "", [])
        self.groups.append(self.open_group)
        self.loose = None
        self._next()

    def _finish(self) -> None:
        """Take what was read since the last separator as one mailbox, if there is anything."""
        phrase, email, comment = self.phrase, self.email, self.comment
        self._next()
        if email is None:
            name, email = _bare(phrase)
            if email.strip(" ") in _NOTHING and name is None:
                return
        else:
            name = _phrase(phrase)
            if name is None and email in _NOTHING:
                return
        if name is None and comment is not None:
            name = _comment_text(comment)
        group = self.open_group or self.loose
        if group is None:
            group = self.loose = Group(None, [])
            self.groups.append(group)
        group.addresses.append({"name": name, "email": email})


def _bare(phrase: list[tuple[str, str]]) -> tuple[str | None, str]:
    """Read a mailbox without angle brackets: (name, email)."""
    if len(phrase) == 1 and phrase[0][0] == "atom":
        return None, phrase[0][1]
    tokens = [token for token in phrase if token[0] != "space"]
    if not any("@" in text for kind, text in tokens if kind == "atom"):
        return None, _phrase(phrase) or ""
    # Words that touch "@" or "." belong together, however they are spaced (RFC 5322 section 4.4).
    runs: list[list[tuple[str, str]]] = []
    at = 0  # the last run with an "@" in it
    glued, spaced = False, True
    for kind, text in phrase:
        if kind == "space":
            spaced = True
            continue
        if runs and (not spaced or glued or text[:1] in ("@", ".")):
            runs[-1].append((kind, text))
        else:
            runs.append([(kind, text)])
        if kind == "atom" and "@" in text:
            at = len(runs) - 1
        glued = kind == "atom" and text[-1] in "@."
        spaced = False
    before = [token for run in runs[:at] for token in [*run, ("space", " ")]]
    return _phrase(before), "".join(f'"{text}"' if kind == "quoted" else text for kind, text in runs[at])


def _addr_spec(content: str) -> str:
    """Return what stands in angle brackets without comments, white space and source route."""
    if content.startswith("@"):
        route = _ROUTE.match(content)
        content = content[route.end() :] if route is not None else content
    if "(" in content:
        content = re.sub(r"\([^()]*+\)", "", content)
    if '"' not in content:
        return _BLANKS.sub("", content)
    return _BLANKS.sub(" ", content).strip(" ")


def _phrase(tokens: list[tuple[str, str]]) -> str | None:
    """Return the text of a phrase, encoded words decoded; None where it has no words."""
    pieces: list[str] = []
    words: list[str] = []  # encoded words in a row
    gap = False
    for kind, text in tokens:
        if kind == "space":
            gap = True
            continue
        is_encoded = kind == "word" and is_word(text)
        if not (is_encoded and words):
            _flush(words, pieces)
            if gap and pieces:
                pieces.append(" ")
        if is_encoded:
            words.append(text)
        else:
            pieces.append(_unquote(text) if kind == "quoted" else text)
        gap = False
    _flush(words, pieces)
    text = "".join(pieces).strip(" \t\r\n")
    return to_nfc(text) if text else None


def _flush(words: list[str], pieces: list[str]) -> None:
    if words:
        pieces.append(decode_words(words) or "")
        words.clear()


def _unquote(content: str) -> str:
    if "\\" in content:
        content = _QUOTED_PAIR.sub(r"\1", content)
    return content.replace("\r", "").replace("\n", "")


def _comment_text(content: str) -> str | None:
    text = decode_unstructured(_unquote(content)).strip(" \t\r\n")
    return to_nfc(text) or None
