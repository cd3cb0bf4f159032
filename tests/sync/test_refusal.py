"""What a NO about a mailbox becomes."""

from __future__ import annotations

import pytest

from gateway.sync.refusal import refusal
from gateway.upstream.imap import CommandBad, CommandNo, Disconnected, ImapError


@pytest.mark.parametrize(
    ("error", "properties", "kind"),
    [
        (CommandNo("x", "ALREADYEXISTS"), ["name"], "invalidProperties"),
        (CommandNo("x", "CANNOT"), ["name"], "invalidProperties"),
        (CommandNo("x"), ["name"], "invalidProperties"),
        (CommandBad("x"), ["name"], "invalidProperties"),
        (CommandNo("x", "NOPERM"), ["name"], "forbidden"),
        (CommandNo("x", "OVERQUOTA"), ["name"], "overQuota"),
        (CommandNo("x", "LIMIT"), [], "overQuota"),
        (CommandNo("x", "SERVERBUG"), ["name"], "serverFail"),
        (CommandNo("x", "INUSE"), [], "serverFail"),
        (CommandNo("x", "HASCHILDREN"), [], "mailboxHasChild"),
        (CommandNo("x", "NONEXISTENT"), [], "notFound"),
        (CommandNo("x"), [], "forbidden"),
        (Disconnected("x"), ["name"], "serverFail"),
    ],
)
def test_codes(error: ImapError, properties: list[str], kind: str) -> None:
    """The response code decides; the server's own words go nowhere."""
    answer = refusal(error, properties=properties)
    assert answer.kind == kind
    assert answer.extra == ({"properties": properties} if kind == "invalidProperties" else {})
    assert "x" not in (answer.description or "").split()


def test_a_long_path() -> None:
    """A server that fails at a long path has no fault that passes: the name is too long for it."""
    answer = refusal(CommandNo("x", "SERVERBUG"), properties=["name"], path="a/" + "b" * 253)
    assert (answer.kind, answer.extra) == ("invalidProperties", {"properties": ["name"]})
    assert refusal(CommandNo("x", "SERVERBUG"), properties=["name"], path="a/b").kind == "serverFail"
