"""The preview of a message: at most 256 characters of what it says (RFC 8621 section 4.1.4).

Rule 1: what the reader would not see, or has seen before, does not count: markup, hidden elements, quoted text, the
        line that introduces it, the signature. Where nothing else is left, the quoted text does.
"""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text

MAX_PREVIEW_CHARACTERS = 256
# A preview needs a few lines; what stands this far down is no longer the beginning. HTML begins with style sheets.
MAX_TEXT_CHARACTERS = 16 * 1024
MAX_HTML_CHARACTERS = 256 * 1024

# A name, an address and a date. Also keeps the search for such a line short.
MAX_ATTRIBUTION_CHARACTERS = 400

_HIDDEN = [
    "head", "[hidden]", '[aria-hidden="true"]',
    '[style*="display:none"]', '[style*="display: none"]', '[style*="visibility:hidden"]',
    '[style*="visibility: hidden"]', '[style*="mso-hide:all"]', '[style*="font-size:0;"]', '[style*="font-size:0px"]',
]  # fmt: skip
_QUOTES = ["blockquote", ".gmail_quote", ".moz-cite-prefix", "#divRplyFwdMsg", "#appendonsend"]
_WHITE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
# Fillers that senders of newsletters put after a preheader; the joiners are letters to some scripts.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\u200c(?=\\s|\\Z)"
)
_ATTRIBUTION = re.compile(r".*(?:wrote|writes|schrieb|écrit|escribió|scritto|写道)[^\n:]{0,80}:")


def preview(text: str, *, is_html: bool) -> str:
    """Return the beginning of a body value in one line."""
    if is_html:
        shown = _fold(_from_html(text[:MAX_HTML_CHARACTERS], [*_HIDDEN, *_QUOTES]))
        if not shown:
            shown = _fold(_from_html(text[:MAX_HTML_CHARACTERS], _HIDDEN))
    else:
        text = text[:MAX_TEXT_CHARACTERS]
        shown = _fold(_own_lines(text)) or _fold(text)
    return _cut(shown)


def html_text(html: str) -> str:
    """Return what HTML says as plain text, in lines."""
    try:
        return str(extract_plain_text(html, preserve_formatting=True, alt_texts=True, skip_elements=_HIDDEN))
    except (ValueError, RuntimeError):
        return re.sub(r"<[^<>]*+>", " ", html)


def _from_html(text: str, skipped: list[str]) -> str:
    try:
        return str(extract_plain_text(text, preserve_formatting=False, alt_texts=False, skip_elements=skipped))
    except (ValueError, RuntimeError):
        return re.sub(r"<[^<>]*+>", " ", text)


def _own_lines(text: str) -> str:
    """Return the lines that are neither quoted nor introduce a quotation nor belong to the signature."""
    kept: list[str] = []
    is_quoting = False
    for line in text.split("\n"):
        was_quoting, is_quoting = is_quoting, line.startswith(">")
        if is_quoting and was_quoting:
            continue
        if is_quoting:
            # The line before a quotation says whose it is; it may be folded.
            while kept and not kept[-1].strip():
                kept.pop()
            if kept and _ATTRIBUTION.fullmatch(kept[-1].strip()[-MAX_ATTRIBUTION_CHARACTERS:]):
                kept.pop()
                if kept and kept[-1].startswith(("On ", "Am ", "Le ")):
                    kept.pop()
        elif line.rstrip("\r") == "-- ":
            break
        else:
            kept.append(line)
    return "\n".join(kept)


def _fold(text: str) -> str:
    return _WHITE.sub(" ", _INVISIBLE.sub("", text)).strip(" ")


def _cut(text: str) -> str:
    """Cut to the limit in characters and, as some clients count, in UTF-16 units."""
    text = text[:MAX_PREVIEW_CHARACTERS]
    if not text.isascii():
        text = text.encode("utf-16-le", "replace")[: 2 * MAX_PREVIEW_CHARACTERS].decode("utf-16-le", "ignore")
    return text.rstrip(" ")
