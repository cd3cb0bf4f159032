"""What links emails: the quick way gives what the Summary would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.subject import base_subject, thread_subject
from gateway.message.summary import summarize
from gateway.message.threadkeys import MAX_FIRST_REFERENCES, MAX_LAST_REFERENCES, links_of, thread_links
from tests.message.strategies import header_blocks, mail_octets

_IDS = st.lists(st.sampled_from(["<a@x>", "<b@x>", "<c d@x>", "e@x", "<>", "(<f@x>)", "\t"]), max_size=5).map(" ".join)
_FOLDS = st.sampled_from(["", "\r\n ", "\r\n\t", "\n ", "\r", "\0"])
_SUBJECTS = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(["Re: ", "fwd:", "[x] ", "(fwd)", " ", "plan", "=?utf-8?q?R=C3=A9?=", "\x1c"])).map(
        "".join
    ),
)


@st.composite
def _ordinary_blocks(draw: st.DrawFn) -> bytes:
    lines = [
        f"{draw(st.sampled_from(['Message-ID', 'message-id', 'Message-Id']))}: {draw(_IDS)}",
        f"In-Reply-To:{draw(_FOLDS)} {draw(_IDS)}",
        f"References: {draw(_IDS)}{draw(_FOLDS)}{draw(_IDS)}",
        f"{draw(st.sampled_from(['Subject', 'SUBJECT', 'Subject ']))}: {draw(_SUBJECTS)}",
        f"Subject: {draw(_SUBJECTS)}{draw(_FOLDS)}{draw(_SUBJECTS)}",
        "From: a@b",
        "Subject-2: x",
    ]
    chosen = draw(st.lists(st.sampled_from(lines), max_size=6))
    end = draw(st.sampled_from(["\r\n\r\n", "\r\n", "", "\n\n", "\r\n\r\nSubject: body"]))
    return ("\r\n".join(chosen) + end).encode("utf-8", "surrogatepass")


@given(st.one_of(_ordinary_blocks(), header_blocks, mail_octets))
def test_links_are_those_of_the_summary(block: bytes) -> None:
    """Whatever the block, the links and the root are those that its Summary has."""
    quick, full = thread_links(block), links_of(summarize(block))
    assert set(quick) == set(full)
    assert quick[:1] == full[:1]


@given(_SUBJECTS)
def test_a_subject_is_the_base_subject_without_blanks_and_case(text: str) -> None:
    """The quick way to a Thread's subject leads to the base subject."""
    assert thread_subject(text) == "".join(base_subject(text).split()).casefold()


@pytest.mark.parametrize("count", [1, 31, 32, 33, 500])
def test_of_long_references_both_ends_count(count: int) -> None:
    """A reply late in a long Thread still has its root and the messages before it."""
    ids = [b"%d@x" % number for number in range(count)]
    listed = b"\r\n ".join(b"<%b>" % id for id in ids)
    links = thread_links(b"References: " + listed + b"\r\nSubject: Re: A b\r\n\r\n")
    assert links[0] == b"0@x\0ab"
    assert links[-1] == ids[-1] + b"\0ab"
    assert len(links) == min(count, MAX_FIRST_REFERENCES + MAX_LAST_REFERENCES)
