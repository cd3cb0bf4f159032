"""jmap-jam, a client library in TypeScript (https://github.com/htunnicliff/jmap-jam), does its round under node.

It asks for the capabilities of the methods it calls and never for core, and encodes nothing in a URL template.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.gateway import Client

pytestmark = pytest.mark.upstream

HERE = Path(__file__).parent / "jam"
INSTALLED = Path(__file__).resolve().parents[2] / ".cache" / "jam"
INSTALL_TIMEOUT_S = 120.0
ROUND_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def script() -> Path:
    """The round beside an installed jmap-jam."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    wanted = HERE / "package.json"
    package = INSTALLED / "package.json"
    if not package.exists() or package.read_bytes() != wanted.read_bytes():
        shutil.copy(wanted, package)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(npm, cwd=INSTALLED, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        if done.returncode:
            package.unlink()
            pytest.skip(f"npm cannot install jmap-jam: {done.stderr[-300:]}")
    return Path(shutil.copy(HERE / "round.mjs", INSTALLED))


def run(script: Path, client: Client, *options: str) -> Any:
    """Run the round; return what it found."""
    environment = {
        **os.environ,
        "JMAP_URL": f"{client.gateway.url}/.well-known/jmap",
        "JMAP_LOGIN": client.login,
        "JMAP_PASSWORD": client.gateway.upstream.password,
        "NODE_EXTRA_CA_CERTS": str(client.gateway.ca),
    }
    done = subprocess.run(
        ["node", script, *options], env=environment, capture_output=True, text=True, timeout=ROUND_TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_read(script: Path, client: Client) -> None:
    """It signs in, lists mailboxes and emails, uploads and downloads."""
    client.append("From: Ann <ann@example.com>\nSubject: Hello\n\ntext\n")
    found = run(script, client)
    assert found["roles"] == ["archive", "drafts", "inbox", "junk", "sent", "trash"]
    assert [(email["subject"], email["from"]) for email in found["emails"]] == [
        ("Hello", [{"name": "Ann", "email": "ann@example.com"}])
    ]


def test_write(script: Path, client: Client) -> None:
    """It makes a draft with an attachment, reads it back, moves, flags and destroys it."""
    run(script, client, "write")
    assert client.call("Email/query")["ids"] == []
