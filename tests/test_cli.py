"""The command line."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway import __version__
from gateway.cli import FAILED, OK, USAGE, ProgressBar, main
from gateway.config import Config
from gateway.secret import Secret

CONFIG = str(Path(__file__).parent.parent / "config" / "minimal.toml")


@dataclass
class Indexed:
    messages: int = 10
    mailboxes: int = 1
    seconds: float = 0.1


class Server:
    """Stands in for gateway.server: remembers how it was called."""

    def __init__(self) -> None:
        self.called: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    async def serve(self, config: Config, _worker: int | None = None) -> None:
        self.called.append(("serve", config))
        if self.error is not None:
            raise self.error

    async def probe(self, _config: Config, login: str, password: Secret, out: Callable[[str], None]) -> int:
        self.called.append(("probe", login, password))
        out("QRESYNC: yes")
        return 0

    async def sync_account(
        self, _config: Config, login: str, password: Secret, progress: Callable[[str, int, int], None]
    ) -> Indexed:
        self.called.append(("sync", login, password))
        progress("INBOX", 5, 10)
        progress("INBOX", 10, 10)
        return Indexed()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    fake = Server()
    module: Any = types.ModuleType("gateway.server")
    module.serve, module.probe, module.sync_account = fake.serve, fake.probe, fake.sync_account
    monkeypatch.setitem(sys.modules, "gateway.server", module)
    monkeypatch.setattr(gateway, "server", module, raising=False)
    monkeypatch.setattr("gateway.cli.configure", lambda *_: None)
    for name in ("JMAP_GATEWAY_PASSWORD", "JMAP_GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return fake


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["probe", "--help"], ["sync", "--help"]])
def test_help_shows_examples(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "example" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["serv"], ["probe"], ["serve", "--conf", "x"]])
def test_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == USAGE


def test_check_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", CONFIG]) == OK
    assert "http://127.0.0.1:8080/.well-known/jmap" in capsys.readouterr().out


def test_check_config_tells_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text('[http]\nlisten = "x"\nlistn = 1\n')
    assert main(["check-config", str(tmp_path / "c.toml")]) == USAGE
    told = capsys.readouterr().err
    assert "http.listen" in told
    assert "http.listn" in told


def test_serve(server: Server) -> None:
    assert main(["serve", "--config", CONFIG]) == OK
    assert server.called[0][1].upstreams["main"].imap.host == "imap.example.com"


def test_serve_by_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMAP_GATEWAY_CONFIG", CONFIG)
    monkeypatch.setenv("JMAP_GATEWAY_UPSTREAMS__MAIN__IMAP", "imaps://other.example.com")
    assert main(["serve"]) == OK
    assert server.called[0][1].upstreams["main"].imap.host == "other.example.com"


def test_failure_is_one_text(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A taken port is told in a line, without a traceback."""
    server.error = OSError(98, "Address already in use")
    assert main(["serve", "--config", CONFIG]) == FAILED
    told = capsys.readouterr().err
    assert "Address already in use" in told
    assert "Traceback" not in told


def test_password_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JMAP_GATEWAY_PASSWORD", "pw")
    assert main(["probe", "--config", CONFIG, "ann"]) == OK
    assert server.called == [("probe", "ann", Secret("pw"))]
    assert "QRESYNC" in capsys.readouterr().out


def test_password_from_a_file(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pw").write_text("p w\nmore\n")
    assert main(["sync", "--config", CONFIG, "ann", "--password-file", str(tmp_path / "pw")]) == OK
    assert server.called == [("sync", "ann", Secret("p w"))]
    told = capsys.readouterr()
    assert "INBOX: 10 messages" in told.err
    assert "10 messages in 1 mailboxes" in told.out


def test_sync_for_programs(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json standard output is one line of JSON; the progress goes elsewhere."""
    monkeypatch.setenv("JMAP_GATEWAY_PASSWORD", "pw")
    assert main(["sync", "--config", CONFIG, "ann", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["messages"] == 10
    assert server.called[0][0] == "sync"


def test_no_password(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal nobody waits for one."""
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115  # closed with the test
    assert main(["probe", "--config", CONFIG, "ann"]) == USAGE
    assert "JMAP_GATEWAY_PASSWORD" in capsys.readouterr().err
    assert server.called == []


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    bar = ProgressBar()
    bar.show("IN\x1bBOX", 1, 2)
    bar.end()
    told = capsys.readouterr().err
    assert "1 of 2" in told
    assert "\x1b" not in told
