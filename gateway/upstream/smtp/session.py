"""One SMTP session: connect, TLS, EHLO, AUTH, one message, QUIT (RFC 5321, RFC 3207, RFC 4954, RFC 6409).

Rule 1: TLS as for IMAP: with STARTTLS asked for, a server that offers none is not talked to any further, and what was
        said before TLS is forgotten.
Rule 2: until the final dot is written nothing has been sent, whatever happens. Once it is, only a reply tells; without
        one the answer is `Doubtful`.
Rule 3: `before_end` is awaited, with the replies to RCPT, when all but the final dot is out: whoever must remember that
        the message may have gone does so there, and whoever wants it back raises there.
Rule 4: a session that failed is closed, never used again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiosmtplib
from aiosmtplib.errors import SMTPException, SMTPResponseException

from gateway.upstream import sasl, tls
from gateway.upstream.sasl import Credentials, PasswordCredentials
from gateway.upstream.smtp.ehlo import Ehlo
from gateway.upstream.smtp.envelope import Envelope, encoded
from gateway.upstream.smtp.errors import Doubtful, LoginRefused, NotAccepted, SmtpError, Stage
from gateway.upstream.smtp.reply import Reply
from gateway.upstream.smtp.timeouts import Timeouts
from gateway.upstream.tls import Endpoint

# The credentials are wrong, too weak or expired (RFC 4954 section 6), or there is no way to bring them.
REFUSED = frozenset({530, 534, 535, 538})
WRITTEN_AHEAD_OCTETS = 256 * 1024  # in our own buffer; the kernel has one besides
MAX_INITIAL_OCTETS = 480  # RFC 4954 section 4: a command line has 512; an access token may be longer


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it goes out: CRLF line ends, no Bcc; dots are doubled by the session."""

    octets: Callable[[], AsyncIterator[bytes]]
    size_octets: int
    is_8bit: bool = False  # there are octets beyond ASCII in the body
    has_utf8_headers: bool = False


@dataclass(frozen=True, slots=True)
class Submitted:
    """The server has taken the message, for those recipients whose reply is good."""

    reply: Reply
    replies: dict[str, Reply]  # by address


class Session:
    """Made by `connected()`."""

    def __init__(self, client: aiosmtplib.SMTP, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self._client, self._endpoint, self._timeouts = client, endpoint, timeouts
        self._writer: asyncio.StreamWriter | None = None  # one that is forgotten closes its transport
        self.ehlo = Ehlo()

    async def greet(self) -> None:
        """Say EHLO, and secure the connection where that is asked for."""
        await self._say_ehlo()
        if self._endpoint.security != "starttls":
            return
        if not self.ehlo.offers("STARTTLS"):
            raise SmtpError("tls", "the server offers no STARTTLS")
        context = tls.client_context(self._endpoint)
        try:
            await self._client.starttls(
                tls_context=context, server_hostname=self._endpoint.host, timeout=self._timeouts.starttls_s
            )
        except SMTPResponseException as error:
            raise SmtpError("tls", "", Reply(error.code, error.message)) from None
        except (SMTPException, OSError) as error:
            raise SmtpError("tls", _told(error)) from error
        await self._say_ehlo()

    async def log_in(self, credentials: Credentials) -> None:
        """Prove who sends. A server that offers no AUTH at all knows its clients otherwise."""
        if not self.ehlo.offers("AUTH"):
            return
        offered = {f"AUTH={mechanism}" for mechanism in self.ehlo.mechanisms}
        if "LOGIN" not in self.ehlo.mechanisms:
            offered.add("LOGINDISABLED")
        try:
            mechanism = sasl.choose(credentials, offered)
        except sasl.NoMechanism as error:
            raise LoginRefused("login", str(error)) from None
        try:
            async with asyncio.timeout(self._timeouts.login_s):
                if mechanism == "LOGIN" and isinstance(credentials, PasswordCredentials):
                    reply = await self._auth_login(credentials)
                else:
                    reply = await self._auth(credentials, mechanism)
        except TimeoutError:
            raise SmtpError("login", f"no reply to AUTH within {self._timeouts.login_s:g} s") from None
        if reply.code in REFUSED:
            raise LoginRefused("login", "", reply)
        if reply.code != 235:
            raise SmtpError("login", "", reply)
        # What is offered may differ now: Dovecot's DSN and SIZE are those of the server that it relays to.
        await self._say_ehlo()

    async def submit(
        self, envelope: Envelope, message: Message, before_end: Callable[[dict[str, Reply]], Awaitable[None]]
    ) -> Submitted:
        """Send one message.

        Raise `SmtpError`: it was not sent; `Doubtful`: nobody knows; or what `before_end` raises: it was not sent.
        """
        await self._mail(envelope, message)
        replies: dict[str, Reply] = {}
        for recipient in envelope.recipients:
            words = encoded(recipient.parameters)
            replies[recipient.email] = await self._command(
                "rcpt", self._timeouts.rcpt_s, b"RCPT", b"TO:<%b>" % recipient.email.encode(), *words
            )
        if not any(reply.is_good for reply in replies.values()):
            raise NotAccepted(replies)
        reply = await self._command("data", self._timeouts.data_s, b"DATA")
        if reply.code != 354:
            raise SmtpError("data", "", reply)
        await self._write(message.octets())
        await before_end(replies)
        reply = await self._end(replies)
        if not reply.is_good:
            raise SmtpError("end", "", reply)
        return Submitted(reply, replies)

    async def _mail(self, envelope: Envelope, message: Message) -> None:
        words = encoded(envelope.sender.parameters)
        needs_utf8 = message.has_utf8_headers or not envelope.is_ascii
        if needs_utf8 and not self.ehlo.offers("SMTPUTF8"):
            raise SmtpError(
                "mail", "", Reply(553, "5.6.7 the server for sending takes no addresses or header beyond ASCII")
            )
        limit = self.ehlo.max_size_octets
        if limit is not None and message.size_octets > limit:
            raise SmtpError("mail", "", Reply(552, f"5.3.4 the message is larger than {limit} octets"))
        if needs_utf8:
            words.append(b"SMTPUTF8")
        if (message.is_8bit or needs_utf8) and self.ehlo.offers("8BITMIME"):
            words.append(b"BODY=8BITMIME")
        if self.ehlo.offers("SIZE"):
            words.append(b"SIZE=%d" % message.size_octets)
        sender = envelope.sender.email.encode()
        reply = await self._command("mail", self._timeouts.mail_s, b"MAIL", b"FROM:<%b>" % sender, *words)
        if not reply.is_good:
            raise SmtpError("mail", "", reply)

    async def _write(self, chunks: AsyncIterator[bytes]) -> None:
        """Write the message up to the line of the final dot."""
        protocol, transport = self._client.protocol, self._client.transport
        if protocol is None or transport is None:
            raise SmtpError("data", "the server closed the connection")
        loop = asyncio.get_running_loop()
        # It waits by the protocol's `_drain_helper`, which is there for that.
        writer = self._writer = asyncio.StreamWriter(transport, protocol, None, loop)  # type: ignore[arg-type]
        transport.set_write_buffer_limits(high=WRITTEN_AHEAD_OCTETS)  # type: ignore[attr-defined] # a WriteTransport
        tail = b"\r\n"  # what was written last: a dot after it begins a line
        try:
            async for chunk in chunks:
                if not chunk:
                    continue
                stuffed = (tail[-2:] + chunk).replace(b"\r\n.", b"\r\n..")[len(tail[-2:]) :]
                tail = (tail + chunk)[-2:]
                writer.write(stuffed)
                async with asyncio.timeout(self._timeouts.block_s):
                    await writer.drain()
            if tail != b"\r\n":
                writer.write(b"\r\n")
            # All of it has to be with the kernel: a dot behind a full buffer would be in doubt for nothing.
            transport.set_write_buffer_limits(high=1)  # type: ignore[attr-defined] # 0 makes TLS wait for ever
            async with asyncio.timeout(self._timeouts.block_s):
                await writer.drain()
        except TimeoutError:
            raise SmtpError("data", f"nothing of the message taken within {self._timeouts.block_s:g} s") from None
        except (ConnectionError, SMTPException) as error:
            raise SmtpError("data", _told(error)) from error

    async def _end(self, replies: dict[str, Reply]) -> Reply:
        protocol = self._client.protocol
        if protocol is None or not protocol.is_connected:
            raise SmtpError("data", "the server closed the connection before the message was complete")
        try:
            protocol.write(b".\r\n")
            response = await protocol.read_response(timeout=self._timeouts.end_s)
        except SMTPResponseException:
            raise Doubtful("the server's reply to the whole message cannot be read", replies) from None
        except (SMTPException, OSError) as error:
            raise Doubtful(_told(error), replies) from error
        if not 200 <= response.code < 600:
            raise Doubtful("the server's reply to the whole message cannot be read", replies)
        return Reply(response.code, response.message)

    async def _say_ehlo(self) -> None:
        try:
            address = self._client.get_transport_info("sockname")
        except SMTPException as error:
            raise SmtpError("connect", _told(error)) from error
        name = "localhost"
        if isinstance(address, tuple):  # RFC 5321 section 4.1.3: who has no name gives the address
            name = f"[IPv6:{address[0]}]" if ":" in address[0] else f"[{address[0]}]"
        reply = await self._command("connect", self._timeouts.ehlo_s, b"EHLO", name.partition("%")[0].encode())
        if not reply.is_good:
            raise SmtpError("connect", "", reply)
        self.ehlo = Ehlo.parse(reply.text)

    async def _auth(self, credentials: Credentials, mechanism: sasl.Mechanism) -> Reply:
        initial = sasl.initial_response(credentials, mechanism, host=self._endpoint.host, port=self._endpoint.port)
        response = sasl.to_base64(initial)
        if len(response) > MAX_INITIAL_OCTETS:
            reply = await self._command("login", None, b"AUTH", mechanism.encode())
            if reply.code == 334:
                reply = await self._command("login", None, response)
        else:
            reply = await self._command("login", None, b"AUTH", mechanism.encode(), response)
        if reply.code == 334:  # the server tells why not, and wants a last word
            answer = sasl.answer_challenge(mechanism)
            reply = await self._command("login", None, base64.b64encode(answer))
        return reply

    async def _auth_login(self, credentials: PasswordCredentials) -> Reply:
        reply = await self._command("login", None, b"AUTH", b"LOGIN")
        for secret in (credentials.login, credentials.password.reveal()):
            if reply.code != 334:
                break
            reply = await self._command("login", None, base64.b64encode(secret.encode()))
        return reply

    async def _command(self, stage: Stage, timeout_s: float | None, *words: bytes) -> Reply:
        """Run one command. No words of it are in an error: they may be a secret."""
        try:
            response = await self._client.execute_command(*words, timeout=timeout_s)
        except SMTPResponseException as error:
            raise SmtpError(stage, "the server's reply cannot be read") from error
        except (SMTPException, OSError) as error:
            raise SmtpError(stage, _told(error)) from error
        return Reply(response.code, response.message)


@asynccontextmanager
async def connected(endpoint: Endpoint, timeouts: Timeouts) -> AsyncIterator[Session]:
    """Connect, secure, say EHLO; QUIT at the end. Raise `SmtpError`."""
    client = aiosmtplib.SMTP(
        hostname=endpoint.host,
        port=endpoint.port,
        use_tls=endpoint.security == "tls",
        start_tls=False,
        tls_context=tls.client_context(endpoint) if endpoint.security == "tls" else None,
        timeout=timeouts.greeting_s,
    )
    try:
        await _connect(client, timeouts)
        session = Session(client, endpoint, timeouts)
        await session.greet()
        yield session
        with suppress(SMTPException, OSError):
            await client.quit(timeout=timeouts.quit_s)
    finally:
        if (transport := client.transport) is not None:
            transport.abort()  # type: ignore[attr-defined] # what is still unwritten must not go out
        client.close()


async def _connect(client: aiosmtplib.SMTP, timeouts: Timeouts) -> None:
    try:
        async with asyncio.timeout(timeouts.connect_s + timeouts.greeting_s):
            await client.connect()
    except TimeoutError:
        raise SmtpError("connect", "no connection in time") from None
    except SMTPResponseException as error:
        raise SmtpError("connect", "", Reply(error.code, error.message)) from None
    except (SMTPException, OSError) as error:
        raise SmtpError("connect", _told(error)) from error


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
