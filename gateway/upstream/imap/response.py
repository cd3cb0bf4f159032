"""What a whole response means (RFC 9051 section 7): octets to values. Pure.

Rule 1: FETCH is the hot path: one regex reads what an indexing asks for, or one alternation an item and its value;
    only odd values go through the lexer.
Rule 2: a response that cannot be read raises `Malformed`; nothing is guessed.
Rule 3: caches are bounded: a hostile server can fill one, not grow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.upstream.imap import uidset
from gateway.upstream.imap.internaldate import parse_internaldate
from gateway.upstream.imap.lexer import Malformed, Value, lex_all, lex_value, number_of, text_of
from gateway.upstream.imap.mailbox import ListEntry, Range, StatusItems
from gateway.upstream.imap.message import Has, Message
from gateway.upstream.imap.names import MailboxNames

MAX_CACHED: Final = 4_096  # distinct flag lists, days or section names that are worth remembering

# ---------------------------------------------------------------- status responses


@dataclass(frozen=True, slots=True)
class Status:
    """OK, NO, BAD, BYE or PREAUTH, tagged or not (RFC 9051 section 7.1)."""

    tag: bytes | None
    kind: str
    code: str | None
    arguments: bytes  # of the code, unread
    text: str


_STATUS = re.compile(
    rb"(\S+) (OK|NO|BAD|BYE|PREAUTH)(?: \[([^ \]]+)(?: (\(.*?\)|[^\]]*))?\])? ?(.*)", re.DOTALL | re.IGNORECASE
)


def parse_status(raw: bytes) -> Status:
    """Read a status response or raise Malformed."""
    match = _STATUS.fullmatch(raw)
    if match is None:
        raise Malformed("not a response")
    tag, kind, code, arguments, text = match.groups()
    return Status(
        tag=None if tag == b"*" else tag,
        kind=kind.decode().upper(),
        code=code.decode("latin-1").upper() if code else None,
        arguments=arguments or b"",
        text=text.decode("utf-8", "replace"),
    )


# ---------------------------------------------------------------- data responses


@dataclass(frozen=True, slots=True)
class Data:
    """An untagged data response other than FETCH: `* 5 EXISTS`, `* LIST …`."""

    kind: str  # upper case
    number: int  # 0 where there is none
    rest: bytes  # behind the kind, unread

    def values(self) -> list[Value]:
        """Lex what follows the kind."""
        return lex_all(self.rest)


_DATA = re.compile(rb"\* (?:(\d{1,20}) )?([A-Za-z][A-Za-z0-9._-]*) ?(.*)", re.DOTALL)


def parse_data(raw: bytes) -> Data:
    """Read an untagged data response or raise Malformed."""
    match = _DATA.fullmatch(raw)
    if match is None:
        raise Malformed("not a response")
    return Data(match[2].decode().upper(), int(match[1] or 0), match[3])


def parse_flags(value: Value) -> tuple[str, ...]:
    """Read a lexed list of flags."""
    return tuple(text for flag in value if (text := text_of(flag))) if isinstance(value, list) else ()


def parse_list(data: Data, names: MailboxNames) -> ListEntry:
    """Read LIST or LSUB (RFC 9051 section 7.3.1)."""
    values = data.values()
    if len(values) < 3 or not isinstance(values[0], list) or not isinstance(values[2], bytes):
        raise Malformed("not a LIST response")
    attributes, delimiter, wire, *more = values
    extended = more[0] if more and isinstance(more[0], list) else []
    old = next((value for key, value in zip(extended[::2], extended[1::2], strict=False) if key == b"OLDNAME"), None)
    old_wire = old[0] if isinstance(old, list) and old and isinstance(old[0], bytes) else None
    return ListEntry(
        name=names.decode(wire),
        delimiter=text_of(delimiter) or None,
        attributes=frozenset(attribute.lower() for attribute in parse_flags(attributes)),
        old_name=names.decode(old_wire) if old_wire is not None else None,
    )


def parse_status_items(data: Data, names: MailboxNames) -> tuple[str, StatusItems]:
    """Read STATUS: numbers as int, MAILBOXID and X-GUID as text (RFC 9051 section 7.3.4, RFC 8474 section 4.3)."""
    values = data.values()
    if len(values) < 2 or not isinstance(values[0], bytes) or not isinstance(values[-1], list):
        raise Malformed("not a STATUS response")
    items: StatusItems = {}
    told = values[-1]
    for key, value in zip(told[::2], told[1::2], strict=False):
        name = (text_of(key) or "").upper()
        if isinstance(value, list):
            value = value[0] if value else None
        number = number_of(value) if name not in _TEXT_STATUS_ITEMS else None
        if number is not None:
            items[name] = number
        elif (text := text_of(value)) is not None:
            items[name] = text
    return names.decode(values[0]), items


_TEXT_STATUS_ITEMS = frozenset({"MAILBOXID", "X-GUID"})  # may look like a number and are none


def parse_vanished(data: Data) -> tuple[bool, list[Range]]:
    """Read VANISHED: whether it is (EARLIER), and the uids (RFC 7162 section 3.2.10)."""
    earlier = data.rest[:9].upper() == b"(EARLIER)"
    try:
        return earlier, uidset.parse((data.rest[9:] if earlier else data.rest).strip())
    except ValueError:
        raise Malformed("not a VANISHED response") from None


# ---------------------------------------------------------------- FETCH

_ITEM = re.compile(
    rb" ?(?:"
    rb"UID (\d{1,20})(?=[ )])"  # 1
    rb"|FLAGS \(([^()\"{]*)\)"  # 2
    rb"|MODSEQ \((\d{1,20})\)"  # 3
    rb"|INTERNALDATE \"([^\"\\]*)\""  # 4
    rb"|RFC822\.SIZE (\d{1,20})(?=[ )])"  # 5
    rb"|BODY\[([^\]\"]*)\](?:<\d+>)? \{(\d+)\}\r\n"  # 6 section, 7 octets
    rb"|X-GUID (?!NIL[ )])([^\s()\"\\{]+)(?=[ )])"  # 8
    rb"|EMAILID \(([^\s()]+)\)"  # 9
    rb"|THREADID \(([^\s()]+)\)"  # 10
    rb"|PREVIEW \"([^\"\\]*)\""  # 11
    rb"|BINARY\.SIZE\[([\d.]*)\] (\d{1,20})(?=[ )])"  # 12 section, 13 octets
    rb"|X-GM-MSGID (\d{1,20})(?=[ )])"  # 14
    rb"|X-GM-THRID (\d{1,20})(?=[ )])"  # 15
    rb")"
)
_NAME = re.compile(rb" *([A-Za-z0-9][A-Za-z0-9.-]*)(?:\[(.*?)\](?:<\d+>)?)? ", re.DOTALL)
_FETCH = re.compile(rb"\* (\d{1,20}) FETCH \(", re.IGNORECASE)
# Bits of Has as plain ints: an IntFlag costs a microsecond for every `|`.
_UID, _FLAGS, _MODSEQ, _DATE, _SIZE, _IDENTITY, _SECTION, _STRUCTURE, _PREVIEW, _OTHER = (int(bit) for bit in Has)

_flag_lists: dict[bytes, tuple[str, ...]] = {}
_section_names: dict[bytes, str] = {}


def is_fetch(raw: bytes) -> bool:
    """Tell cheaply whether this is a FETCH response."""
    return raw.find(b" FETCH (", 2, 24) > 0 or _FETCH.match(raw) is not None


# What an indexing asks for, in the order it asks: one match for all of it is three times as fast as one for each item.
_WHOLE = re.compile(
    rb"\* (\d{1,20}) FETCH \(UID (\d{1,20}) FLAGS \(([^()\"{]*+)\)(?: MODSEQ \((\d{1,20})\))?"
    rb" INTERNALDATE \"([^\"\\]*+)\" RFC822\.SIZE (\d{1,20})(?: X-GUID (?!NIL )([^\s()\"\\{]++))?"
    rb"(?: EMAILID \(([^\s()]++)\) THREADID \(([^\s()]++)\))? BODY\[([^\]\"{]*+)\] \{(\d{1,10})\}\r\n"
)


def parse_fetch(raw: bytes) -> Message:
    """Read `* n FETCH (…)` or raise Malformed."""
    whole = _WHOLE.match(raw)
    if whole is None or not raw.endswith(b")") or len(raw) - whole.end() - 1 != int(whole[11]):
        return _parse_fetch(raw)
    seq, uid, flags, modseq, date, size, guid, emailid, threadid, section, _ = whole.groups()
    message = Message(int(seq))
    message.uid = int(uid)
    message.flags = _flag_lists.get(flags) or _flag_list(flags)
    message.internaldate_s = parse_internaldate(date)
    message.size = int(size)
    message.sections = {_section_names.get(section) or _section_name(section): raw[whole.end() : -1]}
    has = _UID | _FLAGS | _DATE | _SIZE | _SECTION
    if modseq is not None:
        message.modseq = int(modseq)
        has |= _MODSEQ
    if guid is not None:
        message.x_guid = guid.decode("latin-1")
        has |= _IDENTITY
    if emailid is not None:
        message.emailid, message.threadid = emailid.decode("latin-1"), threadid.decode("latin-1")
        has |= _IDENTITY
    message.has = has
    return message


def parse_message(raw: bytes) -> Message | None:
    """Read a FETCH response that was handed on as it came (`Connection.fetch`); None: it makes no sense."""
    try:
        return parse_fetch(raw)
    except Malformed:
        return None


def _parse_fetch(raw: bytes) -> Message:
    """Do what `parse_fetch` does, item by item."""
    head = _FETCH.match(raw)
    if head is None:
        raise Malformed("not a FETCH response")
    message = Message(int(head[1]))
    pos = head.end()
    has = 0
    match_item = _ITEM.match
    while True:
        item = match_item(raw, pos)
        if item is None:
            if raw.startswith(b")", pos):
                message.has = has
                return message
            pos, bit = _read_odd_item(message, raw, pos)
            has |= bit
            continue
        kind = item.lastindex
        pos = item.end()
        if kind == 7:
            start, pos = pos, pos + int(item[7])
            if pos >= len(raw):
                raise Malformed("a literal is cut short")
            section = _section_names.get(item[6]) or _section_name(item[6])
            if has & _SECTION:
                message.sections[section] = raw[start:pos]  # type: ignore[index] # it is our own dict by then
            else:
                message.sections = {section: raw[start:pos]}
                has |= _SECTION
        elif kind == 1:
            message.uid = int(item[1])
            has |= _UID
        elif kind == 2:
            message.flags = _flag_lists.get(item[2]) or _flag_list(item[2])
            has |= _FLAGS
        elif kind == 3:
            message.modseq = int(item[3])
            has |= _MODSEQ
        elif kind == 4:
            message.internaldate_s = parse_internaldate(item[4])
            has |= _DATE
        elif kind == 5:
            message.size = int(item[5])
            has |= _SIZE
        elif kind == 8:
            message.x_guid = item[8].decode("latin-1")
            has |= _IDENTITY
        elif kind == 9 or kind == 14:
            message.emailid = item[kind].decode("latin-1")
            has |= _IDENTITY
        elif kind == 10 or kind == 15:
            message.threadid = item[kind].decode("latin-1")
            has |= _IDENTITY
        elif kind == 11:
            message.preview = item[11].decode("utf-8", "replace")
            has |= _PREVIEW
        else:
            message.binary_sizes = {**message.binary_sizes, item[12].decode(): int(item[13])}
            has |= _SECTION


def _read_odd_item(message: Message, raw: bytes, pos: int) -> tuple[int, int]:
    """Read one item that the regex does not know; return where it ends and its bit of `Has`."""
    match = _NAME.match(raw, pos)
    if match is None:
        raise Malformed("not a FETCH item")
    name = match[1].decode().upper()
    value, end = lex_value(raw, match.end())
    if match[2] is not None:
        section = _section_name(match[2])
        octets = None if isinstance(value, list) else value
        if name == "BODY":
            message.sections = {**message.sections, section: octets}
        elif name == "BINARY":
            message.binary = {**message.binary, section: octets}
        elif name == "BINARY.SIZE" and (number := number_of(value)) is not None:
            message.binary_sizes = {**message.binary_sizes, section: number}
        return end, _SECTION
    read = _ODD.get(name)
    if read is None:
        message.other = {**message.other, name: value}
        return end, _OTHER
    return end, read(message, value)


def _read_uid(message: Message, value: Value) -> int:
    uid = number_of(value)
    if uid is None:
        raise Malformed("a UID that is no number")
    message.uid = uid
    return _UID


def _read_flags(message: Message, value: Value) -> int:
    message.flags = parse_flags(value)
    return _FLAGS


def _read_modseq(message: Message, value: Value) -> int:
    message.modseq = number_of(value[0] if isinstance(value, list) and value else value) or 0
    return _MODSEQ


def _read_date(message: Message, value: Value) -> int:
    message.internaldate_s = parse_internaldate(value if isinstance(value, bytes) else b"")
    return _DATE


def _read_size(message: Message, value: Value) -> int:
    message.size = number_of(value) or 0
    return _SIZE


def _read_preview(message: Message, value: Value) -> int:
    if isinstance(value, list):  # SNIPPET's older form: (FUZZY "text")
        value = value[-1] if value else None
    message.preview = value.decode("utf-8", "replace") if isinstance(value, bytes) else None
    return _PREVIEW


def _read_structure(message: Message, value: Value) -> int:
    message.bodystructure = value
    return _STRUCTURE


def _read_identity(slot: str) -> Callable[[Message, Value], int]:
    def read(message: Message, value: Value) -> int:
        setattr(message, slot, text_of(value[0] if isinstance(value, list) and value else value))
        return _IDENTITY

    return read


_ODD: Final[Mapping[str, Callable[[Message, Value], int]]] = {
    "UID": _read_uid,
    "FLAGS": _read_flags,
    "MODSEQ": _read_modseq,
    "INTERNALDATE": _read_date,
    "RFC822.SIZE": _read_size,
    "PREVIEW": _read_preview,
    "SNIPPET": _read_preview,
    "BODYSTRUCTURE": _read_structure,
    "X-GUID": _read_identity("x_guid"),
    "EMAILID": _read_identity("emailid"),
    "X-GM-MSGID": _read_identity("emailid"),
    "THREADID": _read_identity("threadid"),
    "X-GM-THRID": _read_identity("threadid"),
}


def _remember(cache: dict[bytes, Any], key: bytes, value: Any) -> None:
    if len(cache) >= MAX_CACHED:
        cache.clear()
    cache[key] = value


def _flag_list(raw: bytes) -> tuple[str, ...]:
    flags = tuple(flag.decode("utf-8", "replace") for flag in raw.split())
    _remember(_flag_lists, raw, flags)
    return flags


def _section_name(raw: bytes) -> str:
    """Return a section's key; a list of fields is cut off, for servers spell it back in their own way."""
    name = raw.decode("latin-1").partition(" (")[0].strip().upper()
    _remember(_section_names, raw, name)
    return name
