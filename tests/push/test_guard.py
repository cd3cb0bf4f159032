"""A subscription's URL never makes the gateway call where its client could not."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.push.guard import Guard, Refused, is_public
from gateway.push.post import Answer, Poster, Target
from gateway.push.vapid import Vapid
from tests.push.service import push_service

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
NOT_PUBLIC = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "100::1", "::127.0.0.1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:0:0:0:0:0:1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_called(address: str) -> None:
    """Also where IPv6 holds an IPv4 address of it."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_everything_else_may_not(address: str) -> None:
    """Private, shared, local, reserved, and each of these dressed up as something else."""
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(Refused):
        Guard().check_address(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://push.example.com/", "https:///x", "https://", "ftp://push.example.com/", "//push.example.com/", "push",
        "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://10.0.0.1:8443/",
        "https://user:secret@push.example.com/", "https://push.example.com:22/", "https://push.example.com:25/",
        "https://push.example.com:0/", "https://push.example.com:99999/", "https://push.example.com/a b",
        "https://push.example.com/\n", "https://push.example.com/" + "x" * 2048, "HTTPS //x", "https://[::1",
    ],
)  # fmt: skip
def test_a_url_that_can_never_be_called_is_refused(url: str) -> None:
    """When the subscription is made: its client hears of it."""
    with pytest.raises(Refused):
        Guard().check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://push.example.com/x?y=z",
        "https://push.example.com:8443/",
        "HTTPS://push.example.com",
        "https://8.8.8.8/",
    ],
)
def test_a_url_of_a_push_service_is_taken(url: str) -> None:
    """Names are looked up when they are called."""
    Guard().check_url(url)


def test_a_network_can_be_allowed() -> None:
    """For a push service of one's own; its neighbours stay out."""
    guard = Guard([ipaddress.ip_network("10.1.0.0/16")])
    guard.check_url("https://10.1.2.3/")
    with pytest.raises(Refused):
        guard.check_url("https://10.2.0.1/")


async def test_a_name_is_judged_by_what_it_resolves_to(tmp_path: Path) -> None:
    """`localhost` is a fine name; the address behind it is not called, though a server listens there."""
    async with push_service(tmp_path) as service:
        poster = Poster(Guard(), Vapid(b"k" * 32), service.ca_file)
        outcome = await poster.post(Target(f"{service.url}/x"), b"{}")
        await poster.aclose()
        assert (outcome.answer, outcome.detail) == (Answer.REFUSED, "address")
        assert service.pushed.empty()


async def test_a_name_that_changes_its_mind_is_judged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address is looked at when it is connected to, whatever a resolver said before (DNS rebinding)."""
    import asyncio

    loop = asyncio.get_running_loop()
    async with push_service(tmp_path) as service:
        port = int(service.url.rpartition(":")[2])

        async def resolve(*_args: Any, **_options: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        poster = Poster(Guard(), Vapid(b"k" * 32), service.ca_file)
        outcome = await poster.post(Target(f"https://push.example.com:{port}/x"), b"{}")
        await poster.aclose()
        assert outcome.answer is Answer.REFUSED
        assert service.pushed.empty()


async def test_a_literal_address_is_judged_at_the_connection_too() -> None:
    """The connector itself opens none: not only the check before it."""
    async with aiohttp.ClientSession(connector=Guard().connector()) as http:
        for url in ("https://127.0.0.1:1/", "https://[::1]:1/", "https://169.254.169.254/"):
            with pytest.raises(aiohttp.ClientConnectorError) as error:
                await http.get(url)
            assert isinstance(error.value.os_error, Refused)
