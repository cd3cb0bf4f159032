"""Hostile input for property tests: octets that look like mail, well enough to reach deep."""

from __future__ import annotations

from hypothesis import strategies as st

_SCRAPS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\r\n ", b"\r\n\t", b":", b";", b",", b".", b"@", b"<", b">",
    b"(", b")", b'"', b"\\", b"[", b"]", b"=", b"?", b"*", b"%", b"'", b"--", b"--b", b"--b--", b"--b\r\n",
    b"\r\n\r\n", b"a", b"Re: ", b"a@b.c", b"<a@b.c>", b"Ann ", b'"Ann" ', b"=?utf-8?q?=C3=A9?=",
    b"=?utf-8?b?w6k=?=", b"=?x?q?a?=", b"=?", b"?=", b"\xc3\xa9", b"\xe9", b"\xff",
    b"Tue, 2 Jan 2024 10:00:00 +0100", b"Tue, ", b"2 Jan 2024", b"10:00", b"+0100", b"GMT", b"Subject: ",
    b"From: ", b"To: ", b"Date: ", b"Message-ID: ", b"References: ", b"cc:", b"Subject : ", b"X-Y: ",
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: text/html; charset=", b"charset=utf-7",
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"name*0*=utf-8''%C3", b"Content-Disposition: attachment; filename=", b"=C3=A9", b"=\r\n", b"w6k=", b"<p>",
    b"<a href='", b"&amp;", b"<!--",
]  # fmt: skip

mail_octets = st.lists(st.one_of(st.sampled_from(_SCRAPS), st.binary(max_size=6)), max_size=40).map(b"".join)

_NAMES = ["Message-ID", "In-Reply-To", "References", "Sender", "From", "To", "cc", "Bcc", "REPLY-TO", "Subject", "Date"]
header_blocks = st.lists(
    st.tuples(st.sampled_from([*_NAMES, "X-Other", "Subject ", "no field"]), mail_octets), max_size=8
).map(lambda fields: b"".join(f"{name}: ".encode() + value + b"\r\n" for name, value in fields) + b"\r\n")
