"""GET /.well-known/jmap, and who may have it."""

from __future__ import annotations

import re

import pytest

from tests.web.conftest import BASIC, LOGIN, PUBLIC_URL, WRONG, Client, MakeClient, Parts

URL = "/.well-known/jmap"


async def test_answers_itself(client: Client) -> None:
    """200 and no redirect: on one Safari drops Authorization."""
    async with client.get(URL, headers=BASIC, allow_redirects=False) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"
        session = await answer.json()
    assert session["username"] == LOGIN
    assert len(session["accounts"]) == 1


async def test_urls_are_absolute_templates(client: Client) -> None:
    """Every URL begins with public_url; the templates hold each standard variable and no other braces."""
    session = await (await client.get(URL, headers=BASIC)).json()
    variables = {
        "apiUrl": set(),
        "downloadUrl": {"accountId", "blobId", "type", "name"},
        "uploadUrl": {"accountId"},
        "eventSourceUrl": {"types", "closeafter", "ping"},
    }
    for name, expected in variables.items():
        assert session[name].startswith(PUBLIC_URL + "/")
        assert set(re.findall(r"\{(\w+)\}", session[name])) == expected
        assert session[name].count("{") == session[name].count("}") == len(expected)


async def test_every_field_is_there(client: Client) -> None:
    """Three clients crash on a missing one."""
    session = await (await client.get(URL, headers=BASIC)).json()
    assert {"capabilities", "accounts", "primaryAccounts", "username", "apiUrl", "state"} <= set(session)
    core = session["capabilities"]["urn:ietf:params:jmap:core"]
    assert core["maxConcurrentRequests"] == 16
    assert core["maxObjectsInGet"] == 1000
    assert core["collationAlgorithms"]
    (account,) = session["accounts"].values()
    mail = account["accountCapabilities"]["urn:ietf:params:jmap:mail"]
    assert {"maxSizeMailboxName", "emailQuerySortOptions", "mayCreateTopLevelMailbox"} <= set(mail)


@pytest.mark.parametrize("headers", [{}, WRONG, {"Authorization": "Basic ???"}, {"Authorization": "Bearer x"}])
async def test_unauthorized(client: Client, headers: dict[str, str]) -> None:
    """401 is a problem document and offers Basic first, then Bearer."""
    async with client.get(URL, headers=headers) as answer:
        assert answer.status == 401
        assert answer.content_type == "application/problem+json"
        schemes = [value.partition(" ")[0] for value in answer.headers.getall("WWW-Authenticate")]
        assert schemes == ["Basic", "Bearer"]
        assert 'charset="UTF-8"' in answer.headers.getall("WWW-Authenticate")[0]
        assert (await answer.json())["status"] == 401


async def test_unreachable_upstream(client: Client, parts: Parts) -> None:
    """503 with Retry-After, never 401; and once it is back, so are we."""
    parts.is_reachable = False
    async with client.get(URL, headers=BASIC) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.content_type == "application/problem+json"
    parts.is_reachable = True
    assert (await client.get(URL, headers=BASIC)).status == 200


async def test_guessing_is_slowed_down(client: Client) -> None:
    import base64

    for number in range(10):
        value = base64.b64encode(f"{LOGIN}:guess{number}".encode()).decode()
        assert (await client.get(URL, headers={"Authorization": f"Basic {value}"})).status == 401
    async with client.get(URL, headers=WRONG) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) >= 1


async def test_below_a_path(make_client: MakeClient) -> None:
    """With a path in public_url everything answers below it, and at the root for proxies that strip it."""
    client = await make_client(public_url="https://example.com/mail")
    for prefix in ("", "/mail"):
        session = await (await client.get(f"{prefix}/.well-known/jmap", headers=BASIC)).json()
        assert session["apiUrl"] == "https://example.com/mail/jmap/api"
        async with client.post(f"{prefix}/jmap/api", headers=BASIC, json={"using": [], "methodCalls": []}) as answer:
            assert answer.status == 200
    assert (await client.get("/mail")).status == 200
