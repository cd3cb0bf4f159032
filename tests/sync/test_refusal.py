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
