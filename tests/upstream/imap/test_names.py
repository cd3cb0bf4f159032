"""Mailbox names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.imap.names import MailboxNames, decode_utf7, encode_utf7

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 section 5.1.3
        ("A&B", b"A&-B"),
        ("Entwürfe", b"Entw&APw-rfe"),
        ("&", b"&-"),
        ("💌", b"&2D3cjA-"),
        ("a\tb", b"a&AAk-b"),
    ],
)
def test_known(text: str, wire: bytes) -> None:
    """Both directions, by the RFC's example and the usual suspects."""
    assert encode_utf7(text) == wire
    assert decode_utf7(wire) == text


@given(TEXT, st.booleans())
def test_round_trip(text: str, utf8: bool) -> None:
    """Every name survives in both encodings, as one canonical form."""
    names = MailboxNames(utf8=utf8)
    if text.upper() != "INBOX":
        assert names.decode(names.encode(text)) == text
    assert not names.odd


@given(st.binary(max_size=30), st.booleans())
def test_what_was_listed_can_be_selected(wire: bytes, utf8: bool) -> None:
    """Whatever octets a server calls a mailbox, the shown name leads back to them."""
    names = MailboxNames(utf8=utf8)
    shown = names.decode(wire)
    shown.encode()  # no lone surrogates: it must fit into JSON
    if wire.upper() != b"INBOX":
        assert names.encode(shown) == wire


@pytest.mark.parametrize(
    "wire", [b"A&B", b"&", b"&AAA", b"&ZeVnLIqe", b"Entw\xc3\xbcrfe", b"&AGE-", b"&2D0-", b"&-&", b"&AGEA-"]
)
def test_odd_names(wire: bytes) -> None:
    """What is not canonical modified UTF-7 is shown and remembered."""
    names = MailboxNames()
    shown = names.decode(wire)
    assert names.odd == {shown: wire}


def test_inbox() -> None:
    """INBOX is INBOX however the server spells it."""
    assert MailboxNames().decode(b"Inbox") == "INBOX"
    assert MailboxNames().decode(b"Inbox/a") == "Inbox/a"


def test_lone_surrogate_is_refused() -> None:
    """No octets stand for half a character."""
    for utf8 in (True, False):
        with pytest.raises(ValueError, match="surrogate"):
            MailboxNames(utf8=utf8).encode("\ud800")
