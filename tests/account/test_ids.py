"""Ids: the same for the same identity, and always an Id."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.account.ids import (
    BlobRef,
    digest_id,
    email_id,
    is_id,
    mailbox_id,
    parse_blob_id,
    part_blob_id,
    thread_id,
    upload_blob_id,
)


def test_the_best_identity_wins() -> None:
    """EMAILID verbatim, then Gmail's, then the GUID, then the header."""
    assert email_id(emailid="abc", gmail_id="1", guid="g") == "abc"
    assert email_id(gmail_id="1", guid="g") == email_id(gmail_id="1")
    assert email_id(guid="g") != email_id(gmail_id="g")
    assert email_id(fields=["a", "bc"]) != email_id(fields=["ab", "c"])
    assert thread_id() is None
    assert thread_id(threadid="T9") == "T9"
    assert mailbox_id(path="INBOX", uidvalidity=1) != mailbox_id(path="INBOX", uidvalidity=2)


def test_an_id_is_known_by_heart() -> None:
    """What was given out stays: the derivation never changes."""
    assert email_id(guid="1795405396.M848703P25015.vm,S=148,W=155") == "Mxduus5tdyibwmt55ewylml26se"


@given(st.lists(st.text() | st.binary(), max_size=4))
def test_a_digest_is_an_id(values: list[str | bytes]) -> None:
    """Whatever the upstream says, the result is an Id of 130 bits."""
    made = digest_id("M", *values)
    assert is_id(made)
    assert len(made) == 27


@pytest.mark.parametrize("hostile", ["a b", "ä", "x" * 300, "../x", "a\n"])
def test_a_hostile_objectid_is_hashed(hostile: str) -> None:
    """An EMAILID that is no Id never reaches a client."""
    assert is_id(email_id(emailid=hostile))
    assert email_id(emailid=hostile) != hostile


@pytest.mark.parametrize("email", ["Mabc", "a_b", "-", "p1_x", "x" * 180])
@pytest.mark.parametrize("section", ["", "1", "2.1", "1.2.3.4"])
def test_a_blob_id_says_where_its_octets_are(email: str, section: str) -> None:
    """A blob id parses back to the email and section it was made of."""
    kind: Literal["part", "message"] = "part" if section else "message"
    assert parse_blob_id(part_blob_id(email, section)) == BlobRef(kind, email, section)


def test_an_upload_by_its_digest() -> None:
    """An upload's id is its SHA-256."""
    assert parse_blob_id(upload_blob_id("0" * 64)) == BlobRef("upload", digest="0" * 64)


@pytest.mark.parametrize("other", ["", "m_", "m_a b", "p_x", "p1-_x", "p1.2_x", "u_00", "q_1", "m_" + "x" * 300])
def test_no_blob_of_ours(other: str) -> None:
    """Anything else is no blob id."""
    assert parse_blob_id(other) is None
