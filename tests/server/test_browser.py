"""A page of another origin in a real browser: its fetch and its EventSource, under the browser's own rules (CORS)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from demo.ports import free_port
from gateway.config import load
from gateway.server.serve import running
from tests.upstreams.upstream import Upstream

CHROMIUM = shutil.which("chromium")
SOON_S = 40.0  # a browser starts in two; a loaded machine needs more
WATCH_S = 1.0
MESSAGE = b"From: a@example.com\r\nSubject: Hello\r\n\r\nx\r\n"

pytestmark = [
    pytest.mark.upstream,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: python -m tests.upstreams.debian chromium"),
]

# A native EventSource sends no Authorization: it follows the Session's URL, which carries a ticket. The fetch of the
# Session has an Authorization header, so the browser asks first (a preflight).
PAGE = """<!doctype html><title>a webmail</title><script type="module">
const { gateway, login, password, closeafter } = Object.fromEntries(new URLSearchParams(location.search));
const tell = (what) => fetch("/told", { method: "POST", body: JSON.stringify(what) });
try {
  const headers = { Authorization: "Basic " + btoa(login + ":" + password), "Content-Type": "application/json" };
  const session = await (await fetch(gateway + "/.well-known/jmap", { headers })).json();
  const account = session.primaryAccounts["urn:ietf:params:jmap:mail"];
  const answer = await fetch(session.apiUrl, { method: "POST", headers, body: JSON.stringify({
    using: Object.keys(session.capabilities), methodCalls: [["Email/query", { accountId: account }, "0"]] }) });
  const [[name]] = (await answer.json()).methodResponses;
  const url = session.eventSourceUrl.replace("{types}", "*").replace("{closeafter}", closeafter).replace("{ping}", "0");
  const source = new EventSource(url);
  source.onopen = () => tell({ open: name });
  source.onerror = () => tell({ error: source.readyState });
  source.addEventListener("state", (event) => tell({ state: JSON.parse(event.data), id: event.lastEventId, account }));
} catch (error) { tell({ failed: String(error) }); }
</script>"""


class Page:
    """The page's own server, and what the page has told it."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.url = ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Page]:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_post("/told", self._tell)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _tell(self, request: web.Request) -> web.Response:
        self._told.put_nowait(json.loads(await request.text()))
        return web.Response(status=204)

    async def tells(self, what: str) -> dict[str, Any]:
        """Return the next word of the page that is `what`; a failure of the page is one of the test."""
        async with asyncio.timeout(SOON_S):
            while True:
                told = await self._told.get()
                assert "failed" not in told, told
                if what in told:
                    return told


@asynccontextmanager
async def browsing(url: str, profile: Path) -> AsyncIterator[None]:
    """Have the page open in a browser without a window."""
    assert CHROMIUM is not None
    flags = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # it refuses root otherwise; the page is ours
    with (profile.parent / "chromium.log").open("wb") as log:
        browser = await asyncio.create_subprocess_exec(
            CHROMIUM, *flags, url, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        await browser.wait()


@asynccontextmanager
async def opened(dovecot: Upstream, tmp_path: Path, closeafter: str) -> AsyncIterator[tuple[Page, str]]:
    """A gateway that only this page may call, and the page open in a browser; the login is new."""
    login, port = dovecot.fresh_login(), free_port()
    config = tmp_path / "gateway.toml"
    async with Page().served() as page:
        config.write_text(
            f"""
[http]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
cors_origins = ["{page.url}"]
[admin]
listen = "127.0.0.1:0"
[store]
data_dir = "{tmp_path / "data"}"
[upstreams.test]
imap = "{dovecot.imap_url}"
tls = "none"
"""
        )
        query = f"gateway=http://127.0.0.1:{port}&login={login}&password={dovecot.password}&closeafter={closeafter}"
        async with running(load(config, {})), browsing(f"{page.url}/?{query}", tmp_path / "profile"):
            yield page, login


async def test_a_page_hears_of_a_delivery(dovecot: Upstream, tmp_path: Path) -> None:
    """It signs in across origins, opens the stream with nothing but the URL, and is told."""
    async with opened(dovecot, tmp_path, "no") as (page, login):
        assert (await page.tells("open"))["open"] == "Email/query"
        await asyncio.sleep(WATCH_S)
        await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
        told = await page.tells("state")
        assert told["state"]["@type"] == "StateChange"
        assert "Email" in told["state"]["changed"][told["account"]]


async def test_a_page_that_lost_its_stream_hears_of_what_it_missed(dovecot: Upstream, tmp_path: Path) -> None:
    """The browser comes back by itself, names the last event's id, and is told once more and only of what is new."""
    async with opened(dovecot, tmp_path, "state") as (page, login):
        await page.tells("open")
        await asyncio.sleep(WATCH_S)
        await asyncio.to_thread(dovecot.deliver, login, MESSAGE)
        first = await page.tells("state")
        assert (await page.tells("error"))["error"] == 0, "EventSource.CONNECTING: it will come back"
        await asyncio.to_thread(dovecot.deliver, login, MESSAGE)  # nobody listens now
        missed = await page.tells("state")
        assert missed["id"] != first["id"]
        before, after = (one["state"]["changed"][one["account"]]["Email"] for one in (first, missed))
        assert before != after
