"""The messages of tests/messages/ and what a JMAP client is to see of each.

Every .json is a claim, not a snapshot to be renewed: written out by the code once, then read against RFC 8621 section
4.1, sizes and structure also against the standard library's parser, every difference explained. Where one disagrees
with the code, find out which is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.message.as_jmap import as_jmap

MESSAGES = sorted((Path(__file__).parent.parent / "messages").glob("*.eml"))


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_message_is_shown_as_claimed(path: Path) -> None:
    """The Email made of the message is the one in the file beside it, in every property."""
    claimed: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    assert as_jmap(path.read_bytes()) == claimed


def test_corpus_is_whole() -> None:
    """Every message has its claim and every claim its message."""
    claims = {path.stem for path in MESSAGES[0].parent.glob("*.json")}
    assert claims == {path.stem for path in MESSAGES}
    assert len(claims) >= 60


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_partids_are_unique_and_listed_once(path: Path) -> None:
    """Each leaf has its own partId, and each is in textBody, htmlBody or attachments."""
    email = as_jmap(path.read_bytes())
    leaves: list[str] = []
    stack = [email["bodyStructure"]]
    while stack:
        part = stack.pop()
        stack += part["subParts"] or []
        if part["partId"] is not None:
            leaves.append(part["partId"])
    assert len(leaves) == len(set(leaves))
    assert set(leaves) == {*email["textBody"], *email["htmlBody"], *email["attachments"]}
