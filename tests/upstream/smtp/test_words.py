"""EHLO, replies and parameters, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.smtp import Address, BadAddress, Ehlo, Reply
from gateway.upstream.smtp.envelope import encoded, xtext


def test_ehlo_is_read_as_servers_write_it() -> None:
    """Case, both forms of AUTH, parameters; and lines that are none."""
    ehlo = Ehlo.parse(
        "mx.example greets you\nsize 35882577\nAUTH LOGIN plain\nAUTH=PLAIN XOAUTH2\n8BITMIME\n\n!bad line\n"
        "LIMITS RCPTMAX=20 MAILMAX=5\nFUTURERELEASE 86400 2030-01-01T00:00:00Z"
    )
    assert ehlo.max_size_octets == 35_882_577
    assert ehlo.mechanisms == {"LOGIN", "PLAIN", "XOAUTH2"}
    assert ehlo.offers("8BITMIME")
    assert not ehlo.offers("!BAD")
    assert ehlo.max_recipients == 20
    assert ehlo.max_hold_s == 86_400


@pytest.mark.parametrize("line", ["SIZE", "SIZE 0", "SIZE x", "SIZE -1", "SIZE " + "9" * 30, "SIZE ²"])
def test_a_size_without_a_limit_is_none(line: str) -> None:
    assert Ehlo.parse(f"mx\n{line}").max_size_octets is None


@given(st.text())
def test_no_reply_to_ehlo_is_a_fault(text: str) -> None:
    ehlo = Ehlo.parse(text)
    assert len(ehlo.extensions) <= 100
    assert all(name.isascii() and "\r" not in name for name in ehlo.extensions)


def test_a_reply_becomes_the_line_of_the_rfc() -> None:
    """The example of RFC 8621 section 7."""
    reply = Reply(550, "5.7.1 Our system has detected that this message is\n5.7.1 likely spam.")
    assert reply.line == "550 5.7.1 Our system has detected that this message is likely spam."
    assert reply.enhanced == "5.7.1"
    assert Reply(250, "ok\nand more").line == "250 ok and more"


@given(st.integers(200, 599), st.text(max_size=2000))
def test_a_reply_is_always_one_line(code: int, text: str) -> None:
    line = Reply(code, text).line
    assert line.startswith(str(code))
    assert len(line) <= 500
    assert not any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in line)


@given(st.text(), st.text(), st.text(), st.sampled_from(["ENVID", "ORCPT", "BY", "RET"]))
def test_no_word_of_a_command_holds_a_space_or_a_line_end(email: str, key: str, value: str, name: str) -> None:
    """Whatever is asked for: it is refused, or it is one word."""
    try:
        addresses = [Address(email, {name: value}), Address(email, {key: value})]
    except BadAddress:
        return
    for address in addresses:
        for word in encoded(address.parameters):
            assert not any(octet <= 32 or octet == 127 for octet in word)
        assert not any(ord(character) < 32 or character in "<>\x7f" for character in address.email)


def test_xtext_is_that_of_the_rfc() -> None:
    assert xtext("a+b=c d") == "a+2Bb+3Dc+20d"
