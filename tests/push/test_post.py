"""One message to a push service."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from gateway.push.guard import Guard
from gateway.push.post import MAX_RETRY_AFTER_S, Answer, Poster, Target, judge
from gateway.push.vapid import Vapid
from tests.push.service import PushService, push_service

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")]


@asynccontextmanager
async def posting(directory: Path, *, own_ca: bool = True) -> AsyncIterator[tuple[Poster, PushService]]:
    async with push_service(directory) as service:
        poster = Poster(Guard(LOOPBACK), Vapid(b"k" * 32), service.ca_file if own_ca else None)
        try:
            yield poster, service
        finally:
            await poster.aclose()


async def test_a_message_arrives(tmp_path: Path) -> None:
    """JSON, a TTL, an urgency, a topic where given, and who we are."""
    async with posting(tmp_path) as (poster, service):
        outcome = await poster.post(Target(f"{service.url}/a?b=c"), b'{"x":1}', urgency="high", topic="t1")
        assert outcome.answer is Answer.DELIVERED
        pushed = await service.next()
        assert (pushed.path, pushed.value) == ("/a", {"x": 1})
        assert pushed.headers["Content-Type"] == "application/json"
        assert int(pushed.headers["TTL"]) > 0
        assert (pushed.headers["Urgency"], pushed.headers["Topic"]) == ("high", "t1")
        assert pushed.headers["Authorization"].startswith("vapid t=")


async def test_a_message_is_encrypted_for_its_keys(tmp_path: Path) -> None:
    """The service holds what it cannot read; the device reads it."""
    async with posting(tmp_path) as (poster, service):
        device = service.device
        await poster.post(Target(f"{service.url}/a", device.p256dh, device.auth), b'{"x":1}')
        pushed = await service.next()
        assert pushed.headers["Content-Encoding"] == "aes128gcm"
        assert pushed.value == {"x": 1}


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """It could lead anywhere."""
    async with posting(tmp_path) as (poster, service):
        service.answers = [(307, {"Location": f"{service.url}/elsewhere"})]
        assert (await poster.post(Target(f"{service.url}/a"), b"{}")).answer is Answer.REFUSED
        assert (await service.next()).path == "/a"
        assert service.pushed.empty()


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    """The own CA has to be configured."""
    async with posting(tmp_path, own_ca=False) as (poster, service):
        assert (await poster.post(Target(f"{service.url}/a"), b"{}")).answer is Answer.LATER
        assert service.pushed.empty()


async def test_a_service_that_is_away_is_tried_later(tmp_path: Path) -> None:
    """Nothing is known of the subscription then."""
    async with posting(tmp_path) as (poster, service):
        url = service.url
    poster = Poster(Guard(LOOPBACK), Vapid(b"k" * 32))
    assert (await poster.post(Target(f"{url}/a"), b"{}")).answer is Answer.LATER
    await poster.aclose()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, Answer.DELIVERED), (201, Answer.DELIVERED), (202, Answer.DELIVERED), (204, Answer.DELIVERED),
        (404, Answer.GONE), (410, Answer.GONE), (429, Answer.SLOWER), (408, Answer.LATER), (500, Answer.LATER),
        (503, Answer.LATER), (400, Answer.REFUSED), (403, Answer.REFUSED), (413, Answer.REFUSED),
        (301, Answer.REFUSED), (307, Answer.REFUSED),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, answer: Answer) -> None:
    """RFC 8030 sections 5 and 7.3."""
    assert judge(status).answer is answer


def test_how_long_to_wait() -> None:
    """Retry-After in seconds or as a date, bounded; nonsense is nothing."""
    assert judge(429, "120").retry_after_s == 120
    assert judge(503, "999999999999").retry_after_s == MAX_RETRY_AFTER_S
    dated = judge(429, formatdate(time() + 60, usegmt=True)).retry_after_s
    assert dated is not None
    assert 50 < dated <= 60
    assert judge(429, "soon").retry_after_s is None
    assert judge(429).retry_after_s is None


def test_a_target_does_not_print() -> None:
    """Who knows the URL can write to the device."""
    assert "example" not in repr(Target("https://push.example.com/secret", b"point", b"auth"))
    assert "auth'" not in repr(Target("https://push.example.com/secret", b"point", b"auth"))
