"""What responses mean."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap import response
from gateway.upstream.imap.lexer import Malformed
from gateway.upstream.imap.message import Has
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import (
    is_fetch,
    parse_data,
    parse_fetch,
    parse_list,
    parse_status,
    parse_status_items,
    parse_vanished,
)
from gateway.upstream.imap.scanner import Scanner

TRANSCRIPTS = sorted((Path(__file__).parents[2] / "transcripts" / "imap").glob("*.txt"))


def test_fetch_as_dovecot_says_it() -> None:
    """All that a light index asks for, in one response."""
    message = parse_fetch(
        b'* 12 FETCH (UID 7 FLAGS (\\Seen $label1) MODSEQ (18) INTERNALDATE "23-Nov-2026 03:43:16 +0100"'
        b" RFC822.SIZE 155 X-GUID 1795405396.M848703P25015.vm,S=148,W=155"
        b' BODY[HEADER.FIELDS (FROM DATE)] {12}\r\nFrom: a)\r\n\r\n PREVIEW "hi"'
        b' BODYSTRUCTURE ("text" "plain" NIL NIL NIL "7bit" 23 1))'
    )
    assert (message.seq, message.uid, message.modseq, message.size) == (12, 7, 18, 155)
    assert message.flags == ("\\Seen", "$label1")
    assert message.internaldate_s == 1795401796
    assert message.x_guid == "1795405396.M848703P25015.vm,S=148,W=155"
    assert message.sections == {"HEADER.FIELDS": b"From: a)\r\n\r\n"}
    assert message.preview == "hi"
    structure = message.structure()
    assert structure is not None
    assert structure.content_type == "text/plain"
    assert Has(message.has) == ~Has.OTHER


def test_fetch_in_cyrus_order_and_objectid() -> None:
    """The order of items is the server's; ids stand in parentheses."""
    message = parse_fetch(b"* 1 FETCH (FLAGS () EMAILID (M68c9) THREADID (Tf93a) UID 3 MODSEQ (5))")
    assert (message.uid, message.flags, message.modseq) == (3, (), 5)
    assert (message.emailid, message.threadid) == ("M68c9", "Tf93a")


@pytest.mark.parametrize(
    ("items", "slot", "value"),
    [
        (b"THREADID NIL", "threadid", None),
        (b"PREVIEW NIL", "preview", None),
        (b'PREVIEW "a \\"b\\""', "preview", 'a "b"'),
        ("PREVIEW {3}\r\né)".encode(), "preview", "é)"),
        (b'SNIPPET (FUZZY "x")', "preview", "x"),
        (b"X-GM-MSGID 1278455344230334865", "emailid", "1278455344230334865"),
        (b"X-GM-THRID 12", "threadid", "12"),
        (b'X-GUID "a b"', "x_guid", "a b"),
        (b"X-GUID {3}\r\na)b", "x_guid", "a)b"),
        (b"BODY[] NIL", "sections", {"": None}),
        (b'BODY[1.MIME] "x"', "sections", {"1.MIME": b"x"}),
        (b"BODY[1]<0> {2}\r\nab", "sections", {"1": b"ab"}),
        (b"BODY[1] {1}\r\na BODY[2] {0}\r\n", "sections", {"1": b"a", "2": b""}),
        (b'BODY[HEADER.FIELDS ("REFERENCES")] {2}\r\n\r\n', "sections", {"HEADER.FIELDS": b"\r\n"}),
        (b"BODY[1.HEADER.FIELDS (A B)] {2}\r\n\r\n", "sections", {"1.HEADER.FIELDS": b"\r\n"}),
        (b"BINARY.SIZE[1.2] 23", "binary_sizes", {"1.2": 23}),
        (b"BINARY.SIZE[1] 2 BINARY.SIZE[2] 3", "binary_sizes", {"1": 2, "2": 3}),
        (b"BINARY[1] ~{2}\r\n\0)", "binary", {"1": b"\0)"}),
        (b"SAVEDATE NIL", "other", {"SAVEDATE": None}),
        (b"flags (\\Seen)", "flags", ("\\Seen",)),
        (b"rfc822.size 5", "size", 5),
        (b'INTERNALDATE " 1-Jan-1970 00:00:01 +0000"', "internaldate_s", 1),
    ],
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_items(items: bytes, slot: str, value: object, place: str) -> None:
    """Each item, odd forms included, before and behind another."""
    inner = items + b" UID 9" if place == "first" else b"UID 9 " + items
    message = parse_fetch(b"* 1 FETCH (" + inner + b")")
    assert getattr(message, slot) == value
    assert message.uid == 9


@pytest.mark.parametrize(
    "raw",
    [
        b"* 1 FETCH",
        b"* 1 FETCH (UID 1",
        b"* 1 FETCH (UID x)",
        b"* 1 FETCH (UID 1 BODY[] {5}\r\nab)",
        b"* 1 FETCH (BODY[] {1}\r\na",
        b'* 1 FETCH (INTERNALDATE "yesterday")',
        b"* 1 FETCH (FLAGS (a)",
        b"* 1 FETCH (((((",
    ],
)
def test_malformed_fetch(raw: bytes) -> None:
    """What makes no sense raises Malformed."""
    with pytest.raises(Malformed):
        parse_fetch(raw)


@given(st.binary(max_size=80))
def test_garbage(raw: bytes) -> None:
    """Any octets give a value or Malformed, from every reader."""
    names = MailboxNames()
    for octets in (raw, b"* 1 FETCH (UID 1 " + raw + b")"):
        with suppress(Malformed):
            parse_fetch(octets)
    with suppress(Malformed):
        parse_status(b"a1 OK [" + raw)
    for kind in (b"LIST ", b"STATUS ", b"VANISHED "):
        with suppress(Malformed):
            data = parse_data(b"* " + kind + raw)
            parse_list(data, names)
        with suppress(Malformed):
            parse_status_items(parse_data(b"* " + kind + raw), names)
        with suppress(Malformed):
            parse_vanished(parse_data(b"* " + kind + raw))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcripts(transcript: Path) -> None:
    """Every response of the real servers is read."""
    names = MailboxNames()
    for raw in Scanner().feed(transcript.read_bytes()):
        if is_fetch(raw):
            message = parse_fetch(raw)
            assert message.has & Has.UID
            if message.has & Has.STRUCTURE:
                assert message.structure() is not None
            continue
        data = parse_data(raw)
        if data.kind in ("LIST", "LSUB"):
            assert parse_list(data, names).name
        elif data.kind == "STATUS":
            parse_status_items(data, names)
        elif data.kind == "VANISHED":
            parse_vanished(data)
        elif data.kind == "OK":
            assert parse_status(raw).tag is None
        else:
            data.values()


@pytest.mark.parametrize(
    ("raw", "code", "arguments", "text"),
    [
        (b"a1 OK done", None, b"", "done"),
        (b"a1 OK", None, b"", ""),
        (b"* OK [UIDNEXT 17] Predicted", "UIDNEXT", b"17", "Predicted"),
        (b"* OK [PERMANENTFLAGS (\\Seen a]b \\*)] Ok", "PERMANENTFLAGS", b"(\\Seen a]b \\*)", "Ok"),
        (b"a1 no [alert] x", "ALERT", b"", "x"),
        (b"* OK [CAPABILITY IMAP4rev1 ID] [x]", "CAPABILITY", b"IMAP4rev1 ID", "[x]"),
        (b"a1 OK [COPYUID 1 2:3 4:5] Done {3}", "COPYUID", b"1 2:3 4:5", "Done {3}"),
        (b"* OK [broken", None, b"", "[broken"),
    ],
)
def test_status(raw: bytes, code: str | None, arguments: bytes, text: str) -> None:
    """The code, its arguments and the text."""
    status = parse_status(raw)
    assert (status.code, status.arguments, status.text) == (code, arguments, text)


def test_list_responses() -> None:
    """Attributes in lower case, names decoded, a NIL delimiter, OLDNAME of a rename."""
    names = MailboxNames()
    entry = parse_list(parse_data(b'* LIST (\\HasNoChildren \\Sent) "/" "Entw&APw-rfe"'), names)
    assert (entry.name, entry.delimiter, entry.attributes) == ("Entwürfe", "/", {"\\hasnochildren", "\\sent"})
    renamed = parse_list(parse_data(b'* LIST () NIL new ("OLDNAME" ("o&APw-d"))'), names)
    assert (renamed.delimiter, renamed.old_name) == (None, "oüd")
    literal = parse_list(parse_data(b'* LIST () "\\\\" {5}\r\na"b)c'), names)
    assert (literal.name, literal.delimiter) == ('a"b)c', "\\")


def test_status_items() -> None:
    """Numbers are numbers, ids are text, and Courier's empty answer is empty."""
    names = MailboxNames()
    told = parse_status_items(
        parse_data(b"* STATUS probe (MESSAGES 5 MAILBOXID (12) X-GUID 0123 HIGHESTMODSEQ 6)"), names
    )
    assert told == ("probe", {"MESSAGES": 5, "MAILBOXID": "12", "X-GUID": "0123", "HIGHESTMODSEQ": 6})
    assert parse_status_items(parse_data(b'* STATUS "INBOX.probe" ()'), names) == ("INBOX.probe", {})


def test_vanished() -> None:
    """EARLIER or not, and the uids."""
    assert parse_vanished(parse_data(b"* VANISHED (EARLIER) 4,6:7")) == (True, [(4, 4), (6, 7)])
    assert parse_vanished(parse_data(b"* VANISHED 4")) == (False, [(4, 4)])


def test_caches_are_bounded() -> None:
    """A server that makes up flags and sections fills no memory."""
    for number in range(response.MAX_CACHED + 10):
        parse_fetch(b"* 1 FETCH (UID 1 FLAGS (k%d) BODY[%d] {0}\r\n)" % (number, number))
    assert len(response._flag_lists) <= response.MAX_CACHED
    assert len(response._section_names) <= response.MAX_CACHED
