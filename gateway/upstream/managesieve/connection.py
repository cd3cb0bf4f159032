"""One ManageSieve connection as callers see it: the commands of RFC 5804 section 2 as methods.

Rule 1: calls may overlap: their commands are sent at once, and answered in order.
Rule 2: `CommandFailed` costs the command, every other error the connection; so does a cancelled call, for nobody would
    know which answer is whose business.
Rule 3: where the server is older than the RFC and lacks RENAMESCRIPT or CHECKSCRIPT, other commands do their work; at
    no moment is a script in one place less than it was, or the active one off.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from typing import NamedTuple

from gateway.upstream.managesieve import encode, login
from gateway.upstream.managesieve.capabilities import Capabilities, parse_capabilities
from gateway.upstream.managesieve.errors import (
    CommandFailed,
    Disconnected,
    ManageSieveError,
    NameRefused,
    ProtocolViolation,
    Timeout,
)
from gateway.upstream.managesieve.protocol import Challenged, Done, Protocol, Reply
from gateway.upstream.managesieve.timeouts import Timeouts
from gateway.upstream.managesieve.wire import Wire
from gateway.upstream.sasl import Credentials
from gateway.upstream.tls import Endpoint


class Listed(NamedTuple):
    """One script of LISTSCRIPTS. Octets of its name that are not UTF-8 are lone surrogates."""

    name: str
    is_active: bool


class Connection:
    """A connection. Every method raises `ManageSieveError`, or Unnameable for a name that no script can have."""

    def __init__(self, *, timeouts: Timeouts | None = None) -> None:
        """Use `open`."""
        self.timeouts = timeouts or Timeouts()
        self.capabilities = Capabilities()
        self._protocol = Protocol()
        self.wire = Wire(self._protocol, self._lost)
        self._ended: ManageSieveError | None = None

    @classmethod
    async def open(
        cls, endpoint: Endpoint, credentials: Credentials | None, *, timeouts: Timeouts | None = None
    ) -> Connection:
        """Connect, put TLS under it, log in (without credentials: only look at what is told to everybody).

        Raises ConnectError, AuthenticationFailed, or another ManageSieveError.
        """
        connection = cls(timeouts=timeouts)
        try:
            await login.connect(connection, endpoint)
            if credentials is not None:
                async with asyncio.timeout(connection.timeouts.login_s):
                    await login.log_in(connection, endpoint, credentials)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError) and not isinstance(error, ManageSieveError):
                raise Timeout(f"not logged in within {connection.timeouts.login_s:g} s") from None
            raise
        return connection

    @property
    def is_closed(self) -> bool:
        """Tell whether the connection is over."""
        return self._ended is not None

    # ------------------------------------------------------------ commands in general

    async def run(self, command: bytes, *, challenged: Challenged | None = None) -> Reply:
        """Send a command and return its response; raise CommandFailed for NO."""
        if self._ended is not None:
            raise Disconnected(f"the connection ended: {self._ended}", self._ended.code)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._protocol.submit(command, _into(future), challenged=challenged)
        self.wire.flush()
        try:
            async with asyncio.timeout(self.timeouts.answer_s):
                reply = await future
        except TimeoutError as error:
            if isinstance(error, ManageSieveError):
                raise
            silence = Timeout(f"no answer within {self.timeouts.answer_s:g} s")
            self.wire.fail(silence)
            raise silence from None
        except asyncio.CancelledError:
            self.close()
            raise
        if reply.status.kind != "OK":
            raise CommandFailed(reply.status.text, reply.status.code)
        return reply

    def await_greeting(self) -> asyncio.Future[Reply]:
        """Return what becomes the greeting."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._protocol.await_greeting(_into(future))
        return future

    async def start_tls(self, context: ssl.SSLContext, host: str) -> asyncio.Future[Reply]:
        """Begin TLS; return what becomes the greeting under it."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await self.wire.start_tls(context, host, _into(future), timeout_s=self.timeouts.starttls_s)
        return future

    # ------------------------------------------------------------ reading

    async def capability(self) -> Capabilities:
        """Ask what the server offers, and keep it."""
        self.capabilities = parse_capabilities((await self.run(encode.line(b"CAPABILITY"))).data)
        return self.capabilities

    async def list_scripts(self) -> list[Listed]:
        """Return the login's scripts, in the server's order."""
        listed: list[Listed] = []
        for line in (await self.run(encode.line(b"LISTSCRIPTS"))).data:
            if line[0].kind != "string":
                raise ProtocolViolation("a list of scripts that cannot be read")
            marks = {token.octets.upper() for token in line[1:] if token.kind == "atom"}
            listed.append(Listed(line[0].text, b"ACTIVE" in marks))
        return listed

    async def get_script(self, name: str) -> bytes:
        """Return a script's octets."""
        data = (await self.run(encode.line(b"GETSCRIPT", encode.name(name)))).data
        if len(data) != 1 or len(data[0]) != 1 or data[0][0].kind != "string":
            raise ProtocolViolation("a script that cannot be read")
        return data[0][0].octets

    async def have_space(self, name: str, size_octets: int) -> None:
        """Raise CommandFailed (QUOTA) when a script of this size would not be taken."""
        await self.run(encode.line(b"HAVESPACE", encode.name(name), b"%d" % size_octets))

    async def noop(self) -> None:
        """Prove that the server is there. A NO proves it as well."""
        with contextlib.suppress(CommandFailed):
            await self.run(encode.line(b"NOOP"))

    # ------------------------------------------------------------ writing

    async def put_script(self, name: str, content: bytes) -> str:
        """Store a script, replacing one of that name; return the server's warnings. A bad one changes nothing.

        Its name and size are shown first, for Cyrus 3.6 reads the octets of a script whose name it refuses as commands.
        """
        try:
            await self.have_space(name, len(content))
        except CommandFailed as error:
            raise error if error.code else NameRefused(error.text) from None
        try:
            status = (await self.run(encode.line(b"PUTSCRIPT", encode.name(name), encode.literal(content)))).status
        except CommandFailed:
            self.close()  # whether the server has read the script to its end is not known
            raise
        return status.text if status.code == "WARNINGS" else ""

    async def check_script(self, content: bytes) -> str:
        """Have a script checked; return the server's warnings. Raise CommandFailed with what is wrong with it."""
        if self.capabilities.has_version:
            status = (await self.run(encode.line(b"CHECKSCRIPT", encode.literal(content)))).status
            return status.text if status.code == "WARNINGS" else ""
        name = _passing_name()
        try:
            return await self.put_script(name, content)
        finally:
            if not self.is_closed:
                with contextlib.suppress(CommandFailed):  # a script that was refused is not there
                    await self.delete_script(name)

    async def set_active(self, name: str | None) -> None:
        """Make a script the active one, in one step; None: make none active."""
        await self.run(encode.line(b"SETACTIVE", b'""' if name is None else encode.name(name)))

    async def delete_script(self, name: str) -> None:
        """Delete a script that is not active."""
        await self.run(encode.line(b"DELETESCRIPT", encode.name(name)))

    async def rename_script(self, name: str, new_name: str) -> None:
        """Rename a script; an active one stays active."""
        if self.capabilities.has_version:
            await self.run(encode.line(b"RENAMESCRIPT", encode.name(name), encode.name(new_name)))
            return
        listed = {one.name: one for one in await self.list_scripts()}
        if name not in listed:
            raise CommandFailed("there is no such script", "NONEXISTENT")
        if new_name in listed:
            raise CommandFailed("there is such a script already", "ALREADYEXISTS")
        await self.put_script(new_name, await self.get_script(name))
        if listed[name].is_active:
            await self.set_active(new_name)
        await self.delete_script(name)

    # ------------------------------------------------------------ leaving

    async def logout(self) -> None:
        """Say LOGOUT, wait briefly for the answer, close."""
        try:
            async with asyncio.timeout(self.timeouts.logout_s):
                await self.run(encode.line(b"LOGOUT"))
        except (ManageSieveError, TimeoutError):
            pass  # it was to end anyway
        finally:
            self.close()

    def close(self) -> None:
        """Close at once; whatever is in flight fails with Disconnected."""
        self.wire.fail(Disconnected("closed"))

    def _lost(self, error: ManageSieveError) -> None:
        self._ended = error


def _passing_name() -> str:
    return f"check-{secrets.token_hex(8)}"


def _into(future: asyncio.Future[Reply]) -> Done:
    def done(outcome: Reply | ManageSieveError) -> None:
        if future.done():
            return
        if isinstance(outcome, ManageSieveError):
            future.set_exception(outcome)
            future.exception()  # looked at: nobody may be waiting any more
        else:
            future.set_result(outcome)

    return done
