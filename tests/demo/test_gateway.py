"""Starting the gateway for a demonstration."""

from __future__ import annotations

import json
import shlex
import socket
import tomllib
from pathlib import Path

import pytest

from demo.client import MAIL, Client
from demo.gateway import refuse_taken_port, write_config
from gateway.config import load


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    """Nothing is started on a port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port} is not free.*PORT="):
            refuse_taken_port(port)
    refuse_taken_port(port)


def test_the_configuration_is_toml_whatever_is_in_it(tmp_path: Path) -> None:
    """Quotes and backslashes in a path do not break the file."""
    path = write_config(
        tmp_path / "gateway.toml",
        port=8080,
        admin_port=8081,
        data_dir=tmp_path,
        imap="imaps://imap.example.com",
        ca_file='/a "b"\\c.pem',
    )
    config = tomllib.loads(path.read_text())
    assert config["http"]["public_url"] == "http://127.0.0.1:8080"
    assert config["upstreams"]["main"] == {
        "domains": ["*"],
        "imap": "imaps://imap.example.com",
        "tls": "verify",
        "ca_file": '/a "b"\\c.pem',
    }


def test_sending_and_filters_are_configured_where_they_are_asked_for(tmp_path: Path) -> None:
    """SMTP and SIEVE of `make run` end in the upstream's section, and nothing else does."""
    path = tmp_path / "gateway.toml"
    write_config(
        path,
        port=8080,
        admin_port=8081,
        data_dir=tmp_path,
        imap="imaps://imap.example.com",
        smtp="submissions://smtp.example.com",
        sieve="sieve://imap.example.com",
    )
    upstream = load(path, {}).upstreams["main"]
    assert (upstream.smtp and upstream.smtp.host) == "smtp.example.com"
    assert (upstream.sieve and upstream.sieve.host) == "imap.example.com"


@pytest.mark.parametrize(("show_password", "expected"), [(True, "demo:it's"), (False, "demo")])
def test_the_curl_line_is_one_shell_command(*, show_password: bool, expected: str) -> None:
    """A shell reads it back as curl, the login and one JMAP request; a password is in it only where it is public."""
    session = {"apiUrl": "http://127.0.0.1:8080/jmap/", "primaryAccounts": {MAIL: "A'1"}}
    line = Client("http://127.0.0.1:8080", "demo", "it's").curl_line(session, "M1", show_password=show_password)
    words = shlex.split(line)
    assert "\n" not in line
    assert words[0] == "curl"
    assert words[words.index("-u") + 1] == expected
    request = json.loads(words[words.index("-d") + 1])
    assert [call[0] for call in request["methodCalls"]] == ["Email/query", "Email/get"]
    assert request["methodCalls"][0][1]["accountId"] == "A'1"
