"""What a reverse proxy tells, and whom it is believed from."""

from __future__ import annotations

import ipaddress

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.web import Proxies
from tests.web.conftest import BASIC, Client, MakeClient

LOCAL = (ipaddress.ip_network("127.0.0.0/8"),)


class Transport:
    """Comes from an address."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._peer, 1234) if name == "peername" else default

    def is_closing(self) -> bool:
        return False


def seen(
    peer: str, *headers: tuple[str, str], trusted: tuple[str, ...] = ("127.0.0.1", "10.0.0.0/8")
) -> tuple[str, str | None]:
    request = make_mocked_request(
        "GET",
        "/",
        headers=CIMultiDict([("Host", "inside:8080"), *headers]),
        transport=Transport(peer),
    )
    proxies = Proxies([ipaddress.ip_network(network) for network in trusted])
    return proxies.peer(request), proxies.base(request)


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("127.0.0.1", [], ("127.0.0.1", None)),
        ("8.8.8.8", [("X-Forwarded-Host", "evil"), ("X-Forwarded-For", "1.1.1.1")], ("8.8.8.8", None)),
        (
            "127.0.0.1",
            [("X-Forwarded-Host", "m.example"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "1.1.1.1")],
            ("1.1.1.1", "https://m.example"),
        ),
        ("127.0.0.1", [("X-Forwarded-Proto", "https")], ("127.0.0.1", "https://inside:8080")),
        (
            "127.0.0.1",
            [("X-Forwarded-Host", "m"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/mail/")],
            ("127.0.0.1", "https://m/mail"),
        ),
        ("127.0.0.1", [("X-Forwarded-For", "6.6.6.6, 1.1.1.1, 10.1.1.1")], ("1.1.1.1", None)),
        ("127.0.0.1", [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "1.1.1.1")], ("1.1.1.1", None)),
        ("127.0.0.1", [("X-Forwarded-For", "unknown")], ("127.0.0.1", None)),
        ("127.0.0.1", [("X-Forwarded-For", "[2001:db8::1]:99")], ("2001:db8::1", None)),
        ("::ffff:127.0.0.1", [("X-Forwarded-For", "1.1.1.1:5")], ("1.1.1.1", None)),
        (
            "127.0.0.1",
            [("Forwarded", 'for=6.6.6.6;host=evil, for="[2001:db8::1]:4711";proto=https;host="m.example:8443"')],
            ("2001:db8::1", "https://m.example:8443"),
        ),
        ("127.0.0.1", [("Forwarded", "for=1.1.1.1; host=m ;proto=HTTPS")], ("1.1.1.1", "https://m")),
        ("127.0.0.1", [("Forwarded", "garbage")], ("127.0.0.1", None)),
        ("127.0.0.1", [("X-Forwarded-Host", 'm"><script>'), ("X-Forwarded-Proto", "https")], ("127.0.0.1", None)),
        ("127.0.0.1", [("X-Forwarded-Host", "m/path"), ("X-Forwarded-Proto", "https")], ("127.0.0.1", None)),
        ("127.0.0.1", [("X-Forwarded-Host", "m"), ("X-Forwarded-Proto", "javascript")], ("127.0.0.1", None)),
        ("127.0.0.1", [("X-Forwarded-Host", "m"), ("X-Forwarded-Prefix", "/{x}")], ("127.0.0.1", "http://m")),
        ("127.0.0.1", [("X-Forwarded-Host", "m"), ("X-Forwarded-Prefix", "//evil/..")], ("127.0.0.1", "http://m")),
    ],
)
def test_seen(peer: str, headers: list[tuple[str, str]], expected: tuple[str, str | None]) -> None:
    assert seen(peer, *headers) == expected


async def test_urls_follow_a_trusted_proxy(make_client: MakeClient) -> None:
    client = await make_client(trusted=LOCAL)
    headers = {**BASIC, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "mail.example.org"}
    session = await (await client.get("/.well-known/jmap", headers=headers)).json()
    assert session["apiUrl"] == "https://mail.example.org/jmap/api"


async def test_urls_follow_nobody_else(client: Client) -> None:
    headers = {**BASIC, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Host": "evil.example"}
    session = await (await client.get("/.well-known/jmap", headers=headers)).json()
    assert session["apiUrl"] == "https://jmap.example.com/jmap/api"
