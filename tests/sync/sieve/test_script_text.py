"""`sync.sieve.script_text`."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sync.sieve.script_text import needs, quote, quote_list


def unquote(quoted: str) -> str:
    """Read a Sieve string as RFC 5228 section 2.4.2 says, one character after another."""
    assert quoted[0] == quoted[-1] == '"'
    out, at = "", 1
    while at < len(quoted) - 1:
        assert quoted[at] != '"', "the string ends early"
        if quoted[at] == "\\":
            at += 1
        assert at < len(quoted) - 1, "the last quote is escaped"
        out += quoted[at]
        at += 1
    return out


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_nothing_escapes_a_string(text: str) -> None:
    """Whatever a text holds, it is one string, and says the same; its line ends are CRLF."""
    expected = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert unquote(quote(text)) == expected


def test_a_string_holds_no_nul() -> None:
    """A NUL is an error, not a shorter text."""
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")
    assert quote_list(["a", 'b"']) == '["a", "b\\""]'


@pytest.mark.parametrize(
    ("script", "extensions", "scripts"),
    [
        ('require "fileinto"; fileinto "x";', {"fileinto"}, set()),
        ('REQUIRE ["include", "b"];\n#require "c";\n/* require "d"; */require "e";', {"include", "b", "e"}, set()),
        (
            'require ["include", "in\\"c"]; include "x"; include :personal :once :optional "y";',
            {'in"c', "include"},
            {"x", "y"},
        ),
        ('require "include"; include :global "x"; include "y";', {"include"}, {"y"}),
        ('require "include";vacation text:\ninclude "x";\n..\n.\n;include "y";', {"include"}, {"y"}),
        ('require "include"; if header "a" "include \\"x\\";" { include "z"; }', {"include"}, {"z"}),
        ('keep; require "late"; include "z";', set(), set()),
        ('vacation "unclosed; require "x";', set(), set()),
        ("/* open require", set(), set()),
        ("text: # no text\nx\n.\n", set(), set()),
    ],
)
def test_what_a_script_needs(script: str, extensions: set[str], scripts: set[str]) -> None:
    """Comments, texts and the arguments of other commands are passed over."""
    found = needs("a", {"a": script.encode()})
    assert (found.extensions, found.scripts) == (extensions, scripts)


def test_what_is_included_counts() -> None:
    """Includes are followed, each once, in rings too; what is not there needs nothing."""
    scripts = {
        "a": b'require "include"; include "b"; include "nope";',
        "b": b'require ["include", "reject"]; include "c"; include "a";',
        "c": b'require ["include", "vacation"]; include "c";',
    }
    found = needs("a", scripts)
    assert found.extensions == {"include", "reject", "vacation"}
    assert found.scripts == {"b", "c", "nope"}


@given(st.text())
def test_no_script_breaks_the_reader(text: str) -> None:
    """Any octets are read to their end."""
    assert needs("a", {"a": text.encode("utf-8", "surrogatepass")}).scripts is not None


def test_a_hostile_script_is_read_in_linear_time() -> None:
    """A megabyte of what could be a beginning is read at once."""
    for piece in (b'"', b"/*", b"text:\n", b"\\", b'"\\', b"#", b"a ", b"text:"):
        script = b'require "include";' + piece * ((1 << 20) // len(piece))
        started = time.process_time()
        assert "include" in needs("a", {"a": script}).extensions
        assert time.process_time() - started < 20, piece  # a quadratic one takes minutes
