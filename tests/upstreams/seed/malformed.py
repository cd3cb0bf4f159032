"""Ways in which real mail is broken. Each takes a good header block and returns a whole message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tests.upstreams.seed.bodies import Bodies


def without(head: bytes, name: bytes) -> bytes:
    """Take a field out of a header block."""
    return re.sub(rb"(?im)^%s:.*\r\n(?:[ \t].*\r\n)*" % name, b"", head)


def _instead(name: bytes, line: bytes) -> Callable[[Bodies, bytes], bytes]:
    """Another field in place of this one."""
    return lambda seed, head: without(head, name) + line + (b"\r\n" if line else b"") + seed.plain()


def _body(entity: bytes) -> Callable[[Bodies, bytes], bytes]:
    return lambda _seed, head: head + entity


def _text(content_type: str, encoding: str | None = "8bit") -> Callable[[Bodies, bytes], bytes]:
    return lambda seed, head: head + seed.part(content_type, seed.text(), encoding)


def _part(content_type: str, body: bytes, encoding: str | None = None) -> Callable[[Bodies, bytes], bytes]:
    return lambda seed, head: head + seed.part(content_type, body, encoding)


_BOUNDARY = b"Content-Type: multipart/mixed; boundary="
_MANY = 3000  # addresses or message ids in one field

MALFORMED: Mapping[str, Callable[[Bodies, bytes], bytes]] = {
    "no_date": _instead(b"Date", b""),
    "no_message_id": _instead(b"Message-ID", b""),
    "no_from": _instead(b"From", b""),
    "same_message_id": _instead(b"Message-ID", b"Message-ID: <duplicate@example.com>"),
    "two_message_ids": lambda seed, head: b"Message-ID: <one@example.com> <two@example.com>\r\n" + head + seed.plain(),
    "message_id_junk": _instead(b"Message-ID", b"Message-ID: no angle brackets"),
    "date": _instead(b"Date", b"Date: Thursday, 45 Foo 20x4 99:99"),
    "date_ancient": _instead(b"Date", b"Date: 1 Jan 70 00:00 EST"),
    "two_subjects": _instead(b"X-None", b"Subject: second subject"),
    "raw_utf8_header": _instead(b"Subject", "Subject: größer résumé 会議".encode()),
    "raw_latin1_header": _instead(b"Subject", "Subject: größer résumé".encode("latin-1")),
    "encoded_word": _instead(
        b"Subject",
        b"Subject: =?utf-8?B?w5xiZXI?= =?x-none?Q?=FF=FE?= =?utf-8?q?a b?= =?iso-2022-jp?B?GyRC?=",
    ),
    "addresses": _instead(
        b"To",
        b'To: undisclosed-recipients:;, <>, broken@, Group: a@x.org, "b <c@y.org>, @,, (only a comment)',
    ),
    "smtputf8_address": _instead(b"From", "From: Jörg <jörg@exämple.de>".encode()),
    "huge_to": _instead(b"To", b"To: " + b",\r\n\t".join(b"u%d@example.com" % n for n in range(_MANY))),
    "huge_references": _instead(
        b"References", b"References: " + b"\r\n ".join(b"<r%d@example.com>" % n for n in range(_MANY))
    ),
    "unfolded_header": _instead(b"X-None", b"X-Long: " + b"x" * 30_000),
    "no_headers": lambda _seed, _head: b"\r\njust a body, no headers at all\r\n",
    "only_headers": _body(b""),
    "not_a_header": lambda seed, head: b"This line is no header\r\n" + head + seed.plain(),
    "no_mime": lambda seed, head: without(head, b"MIME-Version") + b"\r\n" + seed.text().encode("latin-1", "replace"),
    "unclosed_boundary": lambda seed, head: head + seed.with_attachments()[:-40],
    "missing_boundary": _body(b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\nbody\r\n--x--\r\n"),
    "wrong_boundary": _body(_BOUNDARY + b"abc\r\n\r\n--abcd\r\n\r\nbody\r\n--xyz--\r\n"),
    "same_nested_boundary": _body(
        _BOUNDARY
        + b"b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        + b"--b\r\n\r\nbody\r\n--b--\r\n--b--\r\n"
    ),
    "empty_multipart": _body(_BOUNDARY + b"e\r\n\r\n--e--\r\n"),
    "charset_unknown": _text("text/plain; charset=x-unknown-42"),
    "charset_wrong": lambda seed, head: (
        head + seed.part("text/plain; charset=utf-8", seed.text().encode("latin-1", "replace"), "8bit")
    ),
    "ascii_is_utf8": _text("text/plain; charset=us-ascii", "7bit"),
    "base64": _part("text/plain; charset=utf-8", b"SGVsbG8gd29y*bGQ\r\n!!!\r\nSGVsbG8", "base64"),
    "quoted_printable": _part("text/plain; charset=utf-8", b"broken =ZZ =\r\n=E4=B= end =", "quoted-printable"),
    "encoding_of_multipart": lambda seed, head: head + b"Content-Transfer-Encoding: base64\r\n" + seed.alternative(),
    "encoding_unknown": _part("text/plain", b"body\r\n", "x-uuencode"),
    "content_type": _part("text", b"body\r\n"),
    "content_type_junk": _part(';;; /="', b"body\r\n"),
    "nul": _part("text/plain", b"a NUL \x00 here\r\n", "8bit"),
    "long_line": _part("text/plain", b"y" * 20_000 + b"\r\n", "8bit"),
    "bare_cr": _part("text/plain", b"bare \r return and\x0b\x0c\x1b controls\r\n", "8bit"),
    "uuencode": _part("text/plain", b"begin 644 f.txt\r\n#0V%T\r\n`\r\nend\r\n"),
    "partial": _part('message/partial; id="p@x"; number=1; total=3', b"piece\r\n"),
    "deep": lambda seed, head: head + seed.nested(60),
}
