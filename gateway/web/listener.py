"""Listen, with or without TLS, and stop so that nobody notices.

aiohttp sets TCP_NODELAY on every connection: without it a keep-alive client that acknowledges late waits 40 ms.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from aiohttp import web

from gateway.web.busy import BUSY

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
    """One application on one address. With `shares_port` other processes may listen there too."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        *,
        drain_s: float = DRAIN_S,
        shares_port: bool = False,
    ) -> None:
        self._app, self._drain_s = app, drain_s
        self._host, self._port, self._tls, self._shares_port = host, port, tls, shares_port
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_S,
            shutdown_timeout=drain_s,
            max_field_size=MAX_HEADER_OCTETS,
            max_line_size=MAX_HEADER_OCTETS,
        )

    async def start(self) -> tuple[str, int]:
        """Listen; return host and port as they are now. Raise `OSError` where that cannot be."""
        await self._runner.setup()
        try:
            await self._site().start()
        except BaseException:
            await self._runner.cleanup()
            raise
        address = self._runner.addresses[0]
        return (str(address[0]), int(address[1])) if isinstance(address, tuple) else (str(address), 0)

    def _site(self) -> web.BaseSite:
        return web.TCPSite(
            self._runner,
            self._host,
            self._port,
            ssl_context=self._tls,
            backlog=BACKLOG,
            reuse_port=self._shares_port or None,
        )

    async def stop(self) -> None:
        """Take no more connections, finish what is under way, close.

        aiohttp's own way of stopping reads nothing more of requests that are half-way in: it comes last. One that has
        not started has nothing to stop.
        """
        if self._runner.server is None:
            return
        for site in list(self._runner.sites):
            await site.stop()
        await self._runner.shutdown()  # ends what stays open
        busy = self._app.get(BUSY)
        if busy is not None:
            await busy.wait_for_end(self._drain_s)
        await self._runner.cleanup()


class SocketListener(Listener):
    """One application on a Unix socket, for processes of this machine."""

    def __init__(self, app: web.Application, path: Path, *, drain_s: float = DRAIN_S) -> None:
        super().__init__(app, "", 0, drain_s=drain_s)
        self._path = path

    def _site(self) -> web.BaseSite:
        self._path.unlink(missing_ok=True)  # of a process that was killed
        return web.UnixSite(self._runner, self._path, backlog=BACKLOG)
