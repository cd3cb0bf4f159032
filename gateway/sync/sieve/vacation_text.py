"""The vacation reply as a Sieve script that says itself what it is (RFC 5230, RFC 6609, RFC 5260). Pure.

    # jmap-gateway vacation 1 <SHA-256 of what follows>
    # <base64 of JSON: the properties, what is included, what is under way>
    #
    require ["vacation", "include"];
    vacation "I am away.";
    include :personal :optional "the user's own script";

Rule 1: the comment holds the VacationResponse's properties, so that they can be read back from the server alone. It is
    base64: nothing in it ends a line or a comment.
Rule 2: a script is ours only while every octet of it is: whoever edits it by hand has made it their own, and it is left
    alone like any other.
Rule 3: the reply stands before the user's own script, because that may `stop` or `discard`; but behind it where that
    may `reject`, for a reply and a rejection of one message are an error (RFC 5230 section 4.7, RFC 5429 section 2.6).
Rule 4: an included script is `:optional`: if it vanishes, mail is delivered and answered as if it had been empty.
Rule 5: the reply is the same octets as long as the properties are: whoever got it does not get it again because
    something else in the script has changed (RFC 5230 section 4.2).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Any, Final, Literal

import orjson

from gateway.jmap import types
from gateway.jmap.objects.vacation_response import VACATION
from gateway.message.build import base64_lines
from gateway.message.preview import html_text
from gateway.sync.sieve.script_text import quote, quote_list

# on: replies when it is active. leaving: replies no more, does what it includes, and is to be left for that. off: would
# reply if it were active, which it is not.
Status = Literal["on", "leaving", "off"]

DEFAULTS: Final[Mapping[str, Any]] = {
    name: declared.default for name, declared in VACATION.properties.items() if name != "id"
}
DEFAULT_TEXT: Final = "I am away at present, and shall read your message when I am back."

_HEAD = re.compile(rb"# jmap-gateway vacation 1 ([0-9a-f]{64})\r\n")
_LINE = re.compile(rb"# ([A-Za-z0-9+/=]{1,76})\r\n")
_LINE_OCTETS = 76
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Vacation:
    """What our script says of itself."""

    status: Status
    properties: Mapping[str, Any]  # of the VacationResponse; isEnabled is what was asked for last
    includes: tuple[str, ...] = ()  # the user's own script: the first of these names that there is
    included_digest: str = ""  # of its octets, SHA-256 in hex: tells where it went when somebody renames it
    is_behind: bool = False  # the reply stands behind what is included
    addresses: tuple[str, ...] = ()  # the user's own, beside the one that a message was delivered to


def write(vacation: Vacation) -> bytes:
    """Return the script."""
    about = {
        "status": vacation.status,
        "properties": dict(vacation.properties),
        "includes": list(vacation.includes),
        "digest": vacation.included_digest,
        "behind": vacation.is_behind,
        "addresses": list(vacation.addresses),
    }
    comment = b64encode(orjson.dumps(about, option=orjson.OPT_SORT_KEYS))
    lines = [b"# %b\r\n" % comment[at : at + _LINE_OCTETS] for at in range(0, len(comment), _LINE_OCTETS)]
    rest = b"".join(lines) + b"#\r\n" + "\r\n".join([*_commands(vacation), ""]).encode()
    return b"# jmap-gateway vacation 1 %b\r\n" % sha256(rest).hexdigest().encode() + rest


def read(content: bytes) -> Vacation | None:
    """Return what a script of ours says of itself; None: it is not, or no longer, ours."""
    head = _HEAD.match(content)
    if head is None or sha256(content[head.end() :]).hexdigest().encode() != head[1]:
        return None
    comment, pos = b"", head.end()
    while (line := _LINE.match(content, pos)) is not None:
        comment, pos = comment + line[1], line.end()
    try:
        about = orjson.loads(b64decode(comment, validate=True))
    except ValueError:
        return None
    return _checked(about)


def moment(value: str) -> tuple[str, str]:
    """Return the date and the time, in UTC, of the first whole second that is not before a UTCDate."""
    try:
        at = _EPOCH + timedelta(seconds=ceil(types.date_to_seconds(value)))
    except OverflowError:  # the leap second at the end of the year 9999
        at = datetime.max
    return f"{at.year:04}-{at:%m-%d}", f"{at:%H:%M:%S}"


def _checked(about: Any) -> Vacation | None:
    """Return what a comment says, if it makes sense: whoever owns the account may have written it."""
    checks = {name: declared.check for name, declared in VACATION.properties.items() if name in DEFAULTS}
    shape = types.object_of(
        {
            "status": types.one_of(("on", "leaving", "off")),
            "properties": types.object_of(checks, required=checks.keys()),
            "includes": types.is_strings,
            "digest": types.is_string,
            "behind": types.is_boolean,
            "addresses": types.is_strings,
        },
        required=("status", "properties", "includes", "digest", "behind", "addresses"),
    )
    if shape(about) is not None:
        return None
    included, addresses = tuple(about["includes"]), tuple(about["addresses"])
    return Vacation(about["status"], about["properties"], included, about["digest"], about["behind"], addresses)


def _commands(vacation: Vacation) -> Iterator[str]:
    """Yield the lines of the script below its comment."""
    includes = [f"include :personal :optional {quote(name)};" for name in vacation.includes]
    replies = vacation.status != "leaving"
    extensions = ["vacation"] if replies else []
    extensions += ["include"] if includes else []
    condition = _condition(vacation.properties) if replies else None
    extensions += ["date", "relational"] if condition else []
    if extensions:
        yield f"require {quote_list(extensions)};"
    if vacation.is_behind:
        yield from includes
    if replies:
        reply = _reply(vacation.properties, vacation.addresses)
        yield f"if {condition} {{\r\n{reply}\r\n}}" if condition else reply
    if not vacation.is_behind:
        yield from includes


def _condition(properties: Mapping[str, Any]) -> str | None:
    """Return the test for the time between fromDate and toDate."""
    tests: list[str] = []
    if properties["fromDate"] is not None:
        tests.append(_not_before(properties["fromDate"]))
    if properties["toDate"] is not None:
        tests.append(f"not {_not_before(properties['toDate'])}")
    return f"allof({', '.join(tests)})" if tests else None


def _not_before(value: str) -> str:
    day, time = moment(value)
    now = 'currentdate :zone "+0000"'
    return (
        f'anyof({now} :value "gt" "date" {quote(day)}, '
        f'allof({now} :is "date" {quote(day)}, {now} :value "ge" "time" {quote(time)}))'
    )


def _reply(properties: Mapping[str, Any], addresses: Sequence[str]) -> str:
    options = f" :addresses {quote_list(addresses)}" if addresses else ""
    if properties["subject"] is not None:
        options += f" :subject {quote(properties['subject'])}"
    text, html = properties["textBody"], properties["htmlBody"]
    if html is None:
        return f"vacation{options} {quote(DEFAULT_TEXT if text is None else text)};"
    return f"vacation{options} :mime {quote(_entity(html_text(html) if text is None else text, html))};"


def _entity(text: str, html: str) -> str:
    """Return a reply with HTML as a MIME entity (RFC 5230 section 4.3), ASCII whatever it says."""
    # In base64 there is no "_": no boundary can stand in it.
    boundary = "=_" + sha256(f"{len(text)}:{text}{html}".encode()).hexdigest()[:32]
    parts = "".join(
        f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        f"{base64_lines(_crlf(value).encode()).decode()}\r\n"
        for subtype, value in (("plain", text), ("html", html))
    )
    return f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n{parts}--{boundary}--\r\n'


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
