"""Base subjects (RFC 5256 section 2.1) and collation keys (RFC 4790, RFC 5051)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.subject import ascii_casemap, base_subject, unicode_casemap


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Lunch", "Lunch"),
        ("Re: Lunch", "Lunch"),
        ("RE : FW: fwd: re:Lunch", "Lunch"),
        ("Re[2]: Lunch", "Lunch"),
        ("re [x] : Lunch", "Lunch"),
        ("[list] Re: [list] Lunch", "Lunch"),
        ("[a] [b]", "[b]"),
        ("[a]", "[a]"),
        ("Lunch (fwd) (FWD) ", "Lunch"),
        ("[Fwd: Re: Lunch (fwd)] (fwd)", "Lunch"),
        ("[fwd: [fwd: Lunch]]", "Lunch"),
        ("Re: [fwd: Lunch]", "Lunch"),
        ("[fwd: Lunch] now", "now"),
        ("  two\t words\r\n more ", "two words more"),
        ("Re: ", ""),
        ("", ""),
        ("AW: Lunch", "AW: Lunch"),
        ("Retro: Lunch", "Retro: Lunch"),
        ("Re Lunch", "Re Lunch"),
        ("[unclosed Re: Lunch", "[unclosed Re: Lunch"),
    ],
)
def test_base_subject(subject: str, base: str) -> None:
    """Leaders, blobs, trailers and forward wrappers go; nothing else does."""
    assert base_subject(subject) == base


@given(st.lists(st.sampled_from(["Re: ", "[a] ", "[fwd:", "]", "(fwd)", " ", "x", "[", "fw:", "re", ":"])).map("".join))
def test_base_subject_is_stable(subject: str) -> None:
    """The base subject of a base subject is itself."""
    base = base_subject(subject)
    assert base_subject(base) == base


@pytest.mark.parametrize(
    "scrap", ["Re: ", "[a]", "[a] ", "[fwd:", "]", "(fwd)", "[", "[a] re", "[fwd:[a]", " ", "re[a]"]
)
def test_base_subject_is_linear(scrap: str) -> None:
    """A hostile subject takes no more time than its length asks for."""
    begun = time.process_time()
    base_subject(scrap * (100_000 // len(scrap)) + "]" * 20_000)
    assert time.process_time() - begun < 10.0  # a quadratic one takes minutes


def test_ascii_casemap_folds_ascii_only() -> None:
    """i;ascii-casemap knows 26 letters."""
    assert ascii_casemap("aZ[é") == "AZ[é"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("straße", "STRAßE", True), ("Ärger", "ärger", True), ("a\u0308", "ä", True), ("ﬁ", "fi", False),
        ("ǆ", "Ǆ", True), ("é", "e", False), ("한", "한", True), ("Ω", "ω", True),
    ],
)  # fmt: skip
def test_unicode_casemap(one: str, other: str, same: bool) -> None:
    """i;unicode-casemap compares titlecased and decomposed letters."""
    assert (unicode_casemap(one) == unicode_casemap(other)) is same
