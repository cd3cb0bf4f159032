"""A push service on this machine, and a device that reads what it is sent."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.push.encryption import derive
from tests.upstreams.certificates import make_certificates

SOON_S = 10.0


class Device:
    """The keys of a push subscription, and their other half."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.p256dh = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.auth = os.urandom(16)

    @property
    def keys(self) -> dict[str, str]:
        """The `keys` of a PushSubscription."""
        return {
            name: urlsafe_b64encode(octets).decode().rstrip("=")
            for name, octets in (("p256dh", self.p256dh), ("auth", self.auth))
        }

    def decrypt(self, body: bytes) -> bytes:
        """Return what an aes128gcm body holds."""
        salt, size, sender = body[:16], int.from_bytes(body[16:20], "big"), body[21 : 21 + body[20]]
        record = body[21 + body[20] :]
        assert len(record) <= size
        secret = self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        key, nonce = derive(secret, self.auth, self.p256dh, sender, salt)
        plain = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert plain.endswith(b"\x02")
        return plain[:-1]


class Pushed(NamedTuple):
    path: str
    headers: dict[str, str]
    value: Any


class PushService:
    """Takes messages at any path under https. `answers`: (status, headers) for the next ones, then 201."""

    def __init__(self) -> None:
        self.device = Device()
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.pushed: asyncio.Queue[Pushed] = asyncio.Queue()
        self.url = ""
        self.ca_file = ""

    async def next(self, timeout_s: float = SOON_S) -> Pushed:
        async with asyncio.timeout(timeout_s):
            return await self.pushed.get()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "aes128gcm":
            body = self.device.decrypt(body)
        status, headers = self.answers.pop(0) if self.answers else (201, {})
        self.pushed.put_nowait(Pushed(request.path, dict(request.headers), json.loads(body)))
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def push_service(directory: Path) -> AsyncIterator[PushService]:
    """Run a push service on loopback, with a certificate of its own authority."""
    service = PushService()
    made = make_certificates(directory)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(made.certificate, made.key)
    app = web.Application()
    app.router.add_post("/{path:.*}", service._take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    service.url = f"https://localhost:{runner.addresses[0][1]}"
    service.ca_file = str(made.ca)
    try:
        yield service
    finally:
        await runner.cleanup()
