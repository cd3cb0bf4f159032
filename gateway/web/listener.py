"""Listen, with or without TLS, and stop so that nobody notices.

aiohttp sets TCP_NODELAY on every connection: without it a keep-alive client that acknowledges late waits 40 ms.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from aiohttp import web

KEEP_ALIVE_S = 75.0  # longer than a proxy in front keeps its own, usually 60
DRAIN_S = 20.0  # requests under way at shutdown get this long
MAX_HEADER_OCTETS = 32_768  # of one header: a token with many claims
BACKLOG = 512


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return what serves TLS with this certificate chain. Raise `ssl.SSLError` or `OSError`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key)
    return context


class Listener:
    """One application on one address."""

    def __init__(self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_S,
            shutdown_timeout=DRAIN_S,
            max_field_size=MAX_HEADER_OCTETS,
            max_line_size=MAX_HEADER_OCTETS,
        )

    async def start(self) -> tuple[str, int]:
        """Listen; return host and port as they are now. Raise `OSError` where that cannot be."""
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls, backlog=BACKLOG)
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        return str(host), int(port)

    async def stop(self) -> None:
        """Take no more connections, finish what is under way, close."""
        await self._runner.cleanup()
