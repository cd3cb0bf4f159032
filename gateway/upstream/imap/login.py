"""From a TCP connection to an authenticated one: greeting, STARTTLS, capabilities, login, ID, ENABLE.

Rule 1: what a server says before TLS is forgotten when TLS begins; a PREAUTH greeting where STARTTLS was wanted is
    refused, for it would leave the whole session in clear (RFC 9051 section 11.1).
Rule 2: a refusal that is no verdict on the credentials ([UNAVAILABLE], [LIMIT]) is a ConnectError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import gateway
from gateway.upstream import sasl, tls
from gateway.upstream.imap.commands.authenticate import Authenticate
from gateway.upstream.imap.commands.capability import Capability
from gateway.upstream.imap.commands.enable import Enable
from gateway.upstream.imap.commands.id import Id
from gateway.upstream.imap.commands.login import Login
from gateway.upstream.imap.commands.starttls import StartTls
from gateway.upstream.imap.errors import (
    AuthenticationFailed,
    CommandFailed,
    ConnectError,
    ImapError,
    ServerBye,
    Timeout,
)
from gateway.upstream.sasl import Credentials, PasswordCredentials
from gateway.upstream.tls import Endpoint

if TYPE_CHECKING:
    from gateway.upstream.imap.connection import Connection

NOT_NOW: Final = frozenset({"UNAVAILABLE", "LIMIT", "INUSE", "SERVERBUG"})  # RFC 5530: try again later
WANTED: Final = ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT")


async def connect(connection: Connection, endpoint: Endpoint) -> None:
    """Open the transport and read the greeting."""
    wire, timeouts = connection.wire, connection.timeouts
    loop = asyncio.get_running_loop()
    is_tls = endpoint.security == "tls"
    try:
        async with asyncio.timeout(timeouts.connect_s):
            await loop.create_connection(
                lambda: wire,
                endpoint.host,
                endpoint.port,
                ssl=tls.client_context(endpoint) if is_tls else None,
                server_hostname=endpoint.host if is_tls else None,
            )
    except TimeoutError:
        raise ConnectError(f"no connection within {timeouts.connect_s:g} s") from None
    except OSError as error:
        raise ConnectError(str(error)) from error
    try:
        async with asyncio.timeout(timeouts.greeting_s):
            await wire.greeted
    except Timeout:
        raise
    except TimeoutError:
        raise ConnectError(f"no greeting within {timeouts.greeting_s:g} s") from None
    greeting = connection.protocol.greeting
    assert greeting is not None
    if greeting.kind == "BYE":
        raise ServerBye(greeting.text, greeting.code)
    if greeting.kind not in ("OK", "PREAUTH"):
        raise ConnectError("the greeting is neither OK nor PREAUTH")


async def log_in(connection: Connection, endpoint: Endpoint, credentials: Credentials) -> None:
    """Secure the transport, then authenticate."""
    greeting = connection.protocol.greeting
    is_preauthenticated = greeting is not None and greeting.kind == "PREAUTH"
    if endpoint.security == "starttls":
        if is_preauthenticated:
            raise ConnectError("the server needs no login before TLS: somebody may be in between")
        await _start_tls(connection, endpoint)
    if not connection.capabilities:
        await connection.run(Capability())
    if is_preauthenticated:
        return
    before = connection.capabilities
    await _authenticate(connection, endpoint, credentials)
    if connection.capabilities == before:  # not told with the login's OK
        await connection.run(Capability())


async def _start_tls(connection: Connection, endpoint: Endpoint) -> None:
    if not connection.capabilities:
        await connection.run(Capability())
    if "STARTTLS" not in connection.capabilities:
        raise ConnectError("the server offers no STARTTLS")
    try:
        await connection.run(StartTls())
    except CommandFailed as error:
        raise ConnectError(f"STARTTLS was refused: {error}") from None
    try:
        await connection.wire.start_tls(tls.client_context(endpoint), endpoint.host)
    except ImapError:
        raise
    except OSError as error:
        raise ConnectError(str(error)) from error


async def _authenticate(connection: Connection, endpoint: Endpoint, credentials: Credentials) -> None:
    try:
        mechanism = sasl.choose(credentials, connection.capabilities)
    except sasl.NoMechanism as error:
        raise AuthenticationFailed(str(error)) from None
    try:
        if mechanism == "LOGIN" and isinstance(credentials, PasswordCredentials):
            await connection.run(Login(credentials))
        else:
            await connection.run(
                Authenticate(
                    credentials,
                    mechanism,
                    host=endpoint.host,
                    port=endpoint.port,
                    at_once="SASL-IR" in connection.capabilities,
                )
            )
    except CommandFailed as error:
        if error.code in NOT_NOW:
            raise ConnectError(error.text, error.code) from None
        raise AuthenticationFailed(error.text, error.code) from None


async def introduce(connection: Connection) -> Mapping[str, str]:
    """Exchange ID, ENABLE what there is; return what the server says of itself. Refusals cost nothing."""
    told: Mapping[str, str] = {}
    if "ID" in connection.capabilities:
        try:
            told = await connection.run(Id({"name": "jmap-gateway", "version": gateway.__version__}))
        except CommandFailed:
            connection.quirks.see("no-for-syntax")
    wanted = [name for name in WANTED if name in connection.capabilities]
    if "ENABLE" in connection.capabilities and wanted:
        try:
            await connection.run(Enable(wanted))
        except CommandFailed:
            connection.quirks.see("enabled-nothing")
        if not connection.enabled:
            connection.quirks.see("enabled-nothing")
    return told
