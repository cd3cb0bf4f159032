"""A gateway in a process of its own, which can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from demo.ports import free_port

START_S = 60.0  # two on a quiet machine
REPOSITORY = Path(__file__).resolve().parents[2]


class GatewayProcess:
    """Start, kill -9, start again: on one data directory and one port."""

    def __init__(self, config: Path, url: str, port: int) -> None:
        self.config, self.url, self._port = config, url, port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.config)),
            cwd=REPOSITORY,
            stderr=(self.config.parent / "gateway.log").open("ab"),
        )
        async with asyncio.timeout(START_S):
            while True:
                with suppress(OSError):
                    _reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once: nothing is finished, nothing is written."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)
            await self._process.wait()
            self._process = None


@asynccontextmanager
async def process(directory: Path, upstream: str) -> AsyncIterator[GatewayProcess]:
    """A gateway with these lines of its upstream's section, not started yet."""
    port = free_port()
    config = directory / "gateway.toml"
    config.write_text(
        f"""
[http]
listen = "127.0.0.1:{port}"
[admin]
listen = "127.0.0.1:0"
[store]
data_dir = "{directory / "data"}"
[upstreams.test]
tls = "none"
max_staleness_s = 0
{upstream}
"""
    )
    gateway = GatewayProcess(config, f"http://127.0.0.1:{port}", port)
    try:
        yield gateway
    finally:
        await gateway.kill()
