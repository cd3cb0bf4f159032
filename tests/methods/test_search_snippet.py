"""SearchSnippet/get (RFC 8621 section 5)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.errors import MethodError
from tests.methods.test_email_get import MIXED
from tests.methods.world import World

TEXT = "Subject: The <foo> report\n\nAll about football & more.\n"


async def snippet(world: World, id: str, filter: Any) -> tuple[str | None, str | None]:
    response = await world.call("SearchSnippet/get", emailIds=[id], filter=filter)
    assert response["notFound"] is None
    (found,) = response["list"]
    assert set(found) == {"emailId", "subject", "preview"}
    return found["subject"], found["preview"]


SUBJECT = "The &lt;<mark>foo</mark>&gt; report"
PREVIEW = "All about <mark>foo</mark>tball &amp; more."


@pytest.mark.parametrize(
    ("filter", "subject", "preview"),
    [
        ({"text": "FOO"}, SUBJECT, PREVIEW),
        ({"subject": "foo"}, SUBJECT, None),
        ({"body": "foo"}, None, PREVIEW),
        ({"body": "absent"}, None, None),
        ({"text": '"about football"'}, None, "All <mark>about football</mark> &amp; more."),
        (
            {"inMailbox": "inbox", "text": "report more"},
            "The &lt;foo&gt; <mark>report</mark>",
            "All about football &amp; <mark>more</mark>.",
        ),
        ({"operator": "OR", "conditions": [{"subject": "absent"}, {"subject": "foo"}]}, SUBJECT, None),
        ({"operator": "NOT", "conditions": [{"text": "foo"}]}, None, None),
        ({"from": "foo"}, None, None),
        ({"hasKeyword": "$seen"}, None, None),
        ({}, None, None),
        (None, None, None),
    ],
)
async def test_snippets(world: World, filter: Any, subject: str | None, preview: str | None) -> None:
    """The words of the filter are marked where they may and do occur; the rest is escaped; else null."""
    id = await world.deliver(TEXT)
    assert await snippet(world, id, filter) == (subject, preview)


async def test_html_and_encodings(world: World) -> None:
    """Words are found in decoded text, in HTML in what a reader sees, never in its markup."""
    page = "<html><head><title>foo</title></head><body class=foo><p>Hello <b>bar</b><img alt='a cat'></p></body></html>"
    id = await world.deliver(f"Content-Type: text/html\n\n{page}\n")
    assert await snippet(world, id, {"text": "foo"}) == (None, None)
    _, preview = await snippet(world, id, {"text": "bar"})
    assert preview is not None
    assert "<mark>bar</mark>" in preview
    _, preview = await snippet(world, id, {"body": "cat"})
    assert preview is not None
    id = await world.deliver(MIXED)
    assert await snippet(world, id, {"body": "grüße"}) == (None, "<mark>Grüße</mark>")


async def test_long_body(world: World) -> None:
    """A preview is at most 255 octets, however long the body."""
    id = await world.deliver("Subject: x\n\n" + "<&> " * 3000 + "needle " + "<&> " * 3000)
    _, preview = await snippet(world, id, {"body": "needle"})
    assert preview is not None
    assert "<mark>needle</mark>" in preview
    assert len(preview.encode()) <= 255


async def test_bodies_are_read_only_when_needed(world: World) -> None:
    """A filter without words for the body costs nothing upstream; one with words one load for all Emails."""
    ids = [await world.deliver(TEXT) for _ in range(3)]
    await world.call("SearchSnippet/get", emailIds=ids, filter={"subject": "foo"})
    assert not world.calls
    await world.call("SearchSnippet/get", emailIds=ids, filter={"body": "foo"})
    assert world.calls == {"load_details": 1, "load_sections": 1}


async def test_lots(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many bodies are read in lots, and every Email gets its snippet."""
    monkeypatch.setattr("gateway.methods.search_snippet.MAX_LOT_OCTETS", 60)
    ids = [await world.deliver(TEXT) for _ in range(5)]
    response = await world.call("SearchSnippet/get", emailIds=ids, filter={"body": "foo"})
    assert [found["preview"] for found in response["list"]] == [PREVIEW] * 5
    assert world.calls["load_sections"] == 3


async def test_not_found(world: World) -> None:
    """Unknown Emails are in notFound."""
    id = await world.deliver(TEXT)
    response = await world.call("SearchSnippet/get", emailIds=[id, "nothing", id], filter={"text": "foo"})
    assert len(response["list"]) == 1
    assert response["notFound"] == ["nothing"]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"filter": {}}, "invalidArguments"),
        ({"emailIds": [], "filter": {"colour": 1}}, "unsupportedFilter"),
        ({"emailIds": [], "filter": {"text": 1}}, "invalidArguments"),
        (
            {"emailIds": [], "filter": {"text": "a " * 50 + "b c d" + " x".join(map(str, range(100)))}},
            "unsupportedFilter",
        ),
        ({"emailIds": [f"M{n}" for n in range(501)], "filter": {}}, "requestTooLarge"),
    ],
)
async def test_refused(world: World, arguments: dict[str, Any], kind: str) -> None:
    """Too many ids are requestTooLarge, a filter that cannot be processed unsupportedFilter."""
    with pytest.raises(MethodError) as raised:
        await world.call("SearchSnippet/get", **arguments)
    assert raised.value.kind == kind
