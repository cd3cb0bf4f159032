"""From a TCP connection to an authenticated one: greeting, STARTTLS, login (RFC 5804 sections 1.7, 2.1, 2.2).

Rule 1: what a server says before TLS is forgotten when TLS begins.
Rule 2: the capabilities are asked again after the login: some belong to the login (MAXREDIRECTS, extensions).
Rule 3: a refusal that is no verdict on the credentials (TRYLATER) is a ConnectError.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final

from gateway.upstream import sasl, tls
from gateway.upstream.managesieve import encode
from gateway.upstream.managesieve.capabilities import parse_capabilities
from gateway.upstream.managesieve.errors import AuthenticationFailed, CommandFailed, ConnectError, ManageSieveError
from gateway.upstream.managesieve.protocol import Reply
from gateway.upstream.managesieve.response import Data
from gateway.upstream.sasl import Credentials, Mechanism
from gateway.upstream.tls import Endpoint

if TYPE_CHECKING:
    from gateway.upstream.managesieve.connection import Connection

NOT_NOW: Final = "TRYLATER"  # RFC 5804 section 1.3


async def connect(connection: Connection, endpoint: Endpoint) -> None:
    """Open the transport, read the greeting and put TLS under it where that is wanted."""
    timeouts, is_tls = connection.timeouts, endpoint.security == "tls"
    greeting = connection.await_greeting()
    try:
        async with asyncio.timeout(timeouts.connect_s):
            await asyncio.get_running_loop().create_connection(
                lambda: connection.wire,
                endpoint.host,
                endpoint.port,
                ssl=tls.client_context(endpoint) if is_tls else None,
                server_hostname=endpoint.host if is_tls else None,
            )
    except TimeoutError:
        raise ConnectError(f"no connection within {timeouts.connect_s:g} s") from None
    except OSError as error:
        raise ConnectError(str(error)) from error
    await _greeted(connection, greeting)
    if endpoint.security == "starttls":
        await _start_tls(connection, endpoint)


async def _greeted(connection: Connection, greeting: asyncio.Future[Reply]) -> None:
    try:
        async with asyncio.timeout(connection.timeouts.greeting_s):
            reply = await greeting
    except TimeoutError as error:
        if isinstance(error, ManageSieveError):
            raise
        raise ConnectError(f"no greeting within {connection.timeouts.greeting_s:g} s") from None
    if reply.status.kind != "OK":
        raise ConnectError(reply.status.text, reply.status.code)
    connection.capabilities = parse_capabilities(reply.data)


async def _start_tls(connection: Connection, endpoint: Endpoint) -> None:
    if not connection.capabilities.offers_starttls:
        raise ConnectError("the server offers no STARTTLS")
    connection.wire.await_tls()
    try:
        await connection.run(encode.line(b"STARTTLS"))
    except CommandFailed as error:
        raise ConnectError(f"STARTTLS was refused: {error}") from None
    try:
        greeting = await connection.start_tls(tls.client_context(endpoint), endpoint.host)
    except ManageSieveError:
        raise
    except OSError as error:
        raise ConnectError(str(error)) from error
    await _greeted(connection, greeting)


async def log_in(connection: Connection, endpoint: Endpoint, credentials: Credentials) -> None:
    """Authenticate; learn the capabilities of this login."""
    try:
        mechanism = sasl.choose(credentials, connection.capabilities.sasl())
    except sasl.NoMechanism as error:
        raise AuthenticationFailed(str(error)) from None
    first = sasl.initial_response(credentials, mechanism, host=endpoint.host, port=endpoint.port)
    command = encode.line(b"AUTHENTICATE", encode.string(mechanism.encode()), encode.string(_base64(first)))
    try:
        await connection.run(command, challenged=lambda _challenge: _answer(mechanism, _challenge))
    except CommandFailed as error:
        if error.is_code(NOT_NOW):
            raise ConnectError(error.text, error.code) from None
        raise AuthenticationFailed(error.text, error.code) from None
    connection.capabilities = parse_capabilities((await connection.run(encode.line(b"CAPABILITY"))).data)


def _answer(mechanism: Mechanism, _challenge: Data) -> bytes:
    """Answer a challenge: only a failure of OAuth brings one (RFC 7628 section 3.2.3)."""
    return encode.line(encode.string(_base64(sasl.answer_challenge(mechanism))))


def _base64(octets: bytes) -> bytes:
    """Encode as RFC 5804 section 2.1 has it: nothing is an empty string, not IMAP's `=`."""
    return base64.b64encode(octets)
