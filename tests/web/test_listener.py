"""Listening, with TLS too, and stopping."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.web import Listener, tls_context


def certificate(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / "cert.pem", directory / "key.pem"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path


def app(delay_s: float = 0.0) -> web.Application:
    async def hello(_request: web.Request) -> web.Response:
        await asyncio.sleep(delay_s)
        return web.Response(text="hello")

    made = web.Application()
    made.router.add_get("/", hello)
    return made


async def test_serves_tls(tmp_path: Path) -> None:
    """Some clients only speak https: the gateway can serve it itself."""
    cert, key = certificate(tmp_path)
    listener = Listener(app(), "127.0.0.1", 0, tls_context(cert, key))
    _host, port = await listener.start()
    trusting = ssl.create_default_context(cafile=str(cert))
    async with aiohttp.ClientSession() as session, session.get(f"https://localhost:{port}/", ssl=trusting) as answer:
        assert await answer.text() == "hello"
    await listener.stop()


async def test_a_request_under_way_is_finished() -> None:
    """Stopping takes no more connections and lets the request end."""
    listener = Listener(app(delay_s=0.3), "127.0.0.1", 0)
    host, port = await listener.start()
    async with aiohttp.ClientSession() as session:
        request = asyncio.create_task(session.get(f"http://{host}:{port}/"))
        await asyncio.sleep(0.1)
        await listener.stop()
        async with await request as answer:
            assert await answer.text() == "hello"
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"http://{host}:{port}/")


async def test_a_taken_port() -> None:
    first = Listener(app(), "127.0.0.1", 0)
    _host, port = await first.start()
    with pytest.raises(OSError, match="address"):
        await Listener(app(), "127.0.0.1", port).start()
    await first.stop()


async def test_one_that_has_not_started_can_be_stopped() -> None:
    """What kept it from starting is what is told then."""
    first = Listener(app(), "127.0.0.1", 0)
    _host, port = await first.start()
    second, third = Listener(app(), "127.0.0.1", port), Listener(app(), "127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.stop()
    await third.stop()
    await first.stop()
