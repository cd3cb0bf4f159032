"""`upstream.managesieve` before Pigeonhole and Cyrus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.secret import Secret
from gateway.upstream.managesieve import AuthenticationFailed, CommandFailed, Connection, NameRefused
from gateway.upstream.sasl import PasswordCredentials
from gateway.upstream.tls import Endpoint
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


@pytest.fixture(params=["dovecot", "cyrus"])
def server(request: pytest.FixtureRequest) -> Upstream:
    upstream: Upstream = request.getfixturevalue(request.param)
    upstream.place.wait_for_ports("sieve")
    return upstream


Connect = Callable[[], Awaitable[Connection]]


@pytest.fixture
async def connect(server: Upstream) -> AsyncIterator[Connect]:
    """Open connections of one fresh login."""
    login = server.fresh_login()
    with server.imap(login):
        pass  # Cyrus makes the account when it first logs in by IMAP
    endpoint = Endpoint("localhost", server.ports["sieve"], "starttls", ca_file=str(server.ca_file))
    opened: list[Connection] = []

    async def open() -> Connection:
        opened.append(await Connection.open(endpoint, PasswordCredentials(login, Secret(server.password))))
        return opened[-1]

    yield open
    for connection in opened:
        await connection.logout()


async def test_every_command(connect: Connect) -> None:
    """Scripts are put, listed, read, renamed, activated and deleted; their octets come back as they were."""
    connection = await connect()
    content = 'keep; # ä "quoted" {5}\r\n#.\r\n'.encode()
    name = "my first script"
    assert "vacation" in connection.capabilities.extensions
    assert await connection.list_scripts() == []
    await connection.have_space(name, len(content))
    await connection.put_script(name, content)
    await connection.check_script(content)
    await connection.set_active(name)
    assert await connection.list_scripts() == [(name, True)]
    assert await connection.get_script(name) == content
    with pytest.raises(CommandFailed):
        await connection.delete_script(name)
    await connection.rename_script(name, "other")
    assert await connection.list_scripts() == [("other", True)]
    await connection.put_script("second", b"discard;")
    await connection.set_active("second")
    await connection.set_active(None)
    await connection.delete_script("other")
    assert await connection.list_scripts() == [("second", False)]
    await connection.noop()


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "née", "日本語", "{5}", "OK"])
async def test_names(connect: Connect, name: str) -> None:
    """A script of any name is one script afterwards, and the connection is in step. Cyrus lists some otherwise."""
    connection = await connect()
    await connection.put_script(name, b"keep;")
    (listed,) = await connection.list_scripts()
    assert listed.name == name or "Cyrus" in connection.capabilities.implementation
    await connection.noop()
    assert await connection.list_scripts() == [listed]


async def test_refusals(connect: Connect) -> None:
    """Each refusal has its code, and changes nothing."""
    connection = await connect()
    await connection.put_script("a", b"keep;")
    with pytest.raises(CommandFailed) as refused:
        await connection.put_script("a", b"kep;")
    assert "line 1" in refused.value.text
    connection = await connect()
    with pytest.raises(CommandFailed):
        await connection.check_script(b'require "nonsense"; keep;')
    with pytest.raises(NameRefused):
        await connection.put_script("a/b", b'DELETESCRIPT "a"\r\n')
    assert await connection.get_script("a") == b"keep;"
    for attempt in (connection.get_script("b"), connection.rename_script("b", "c"), connection.set_active("b")):
        with pytest.raises(CommandFailed) as refused:
            await attempt
        assert refused.value.is_code("NONEXISTENT")
    await connection.put_script("b", b"keep;")
    with pytest.raises(CommandFailed):
        await connection.rename_script("a", "b")
    assert await connection.list_scripts() == [("a", False), ("b", False)]


async def test_a_wrong_password(server: Upstream) -> None:
    """It is refused as such."""
    endpoint = Endpoint("localhost", server.ports["sieve"], "starttls", ca_file=str(server.ca_file))
    with pytest.raises(AuthenticationFailed):
        await Connection.open(endpoint, PasswordCredentials("alice", Secret("wrong")))


async def test_a_master_acts_for_another(dovecot: Upstream) -> None:
    """A master login with an authorization identity reaches the other's scripts."""
    dovecot.place.wait_for_ports("sieve")
    login = dovecot.fresh_login()
    endpoint = Endpoint("localhost", dovecot.ports["sieve"], "starttls", ca_file=str(dovecot.ca_file))
    own = await Connection.open(endpoint, PasswordCredentials(login, Secret(dovecot.password)))
    await own.put_script("mine", b"keep;")
    await own.logout()
    master = PasswordCredentials("master", Secret("mastersecret"), authzid=login)
    acting = await Connection.open(endpoint, master)
    assert await acting.list_scripts() == [("mine", False)]
    await acting.logout()
