"""An SMTP server for tests: every accepted message is kept with its envelope; local recipients get theirs by LMTP.

    python -m tests.upstreams.smtpsink --port P --dir DIR [--lmtp HOST:PORT] [--password W] [--cert C --key K]

Each message is DIR/N.eml, its envelope DIR/N.json (written last, so that its appearance means all is there).
Recipients whose local part starts with one of these words are treated specially:

    reject  550 at RCPT     defer  451 at RCPT     late  554 after DATA

DIR/faults.json, if it is there, says what else goes wrong, read anew for each command:

    {"offers": ["FUTURERELEASE 86400 2030-01-01T00:00:00Z"],    EHLO lines in place of the usual ones
     "rcpt": {"reply": "451 4.3.0 later", "times": 2},          a reply in place of the real one, twice
     "end": {"cut": true}, "data": {"wait_s": 3.0}}             the connection cut; a delay, then as usual

DIR/reached gets a line for each. By stage: greeting ehlo starttls auth mail rcpt data body (an octet of the message has
come) end (all of it has, nothing is kept yet) kept (it is kept, no reply yet).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import smtplib
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

LINE_LIMIT = 1 << 20
SIZE_LIMIT_OCTETS = 50 << 20
TIMEOUT_S = 60.0
EXTENSIONS = ("PIPELINING", f"SIZE {SIZE_LIMIT_OCTETS}", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
FAULTS = "faults.json"
REACHED = "reached"  # the stages at which something has gone wrong, one a line
REFUSED_AT_RCPT = {"reject": "550 5.1.1 no such user", "defer": "451 4.3.0 try again later"}


@dataclass(slots=True)
class Sink:
    """What the server accepts and where it puts it."""

    directory: Path
    domain: str
    password: str | None = None
    lmtp: tuple[str, int] | None = None
    tls: ssl.SSLContext | None = None
    _serial: count[int] = field(default_factory=lambda: count(1))
    _used: Counter[tuple[str, str]] = field(default_factory=Counter)

    def faults(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.directory / FAULTS).read_text())
        except FileNotFoundError:
            return {}
        return found

    def fault(self, stage: str) -> dict[str, Any]:
        """What is to go wrong at this stage, this time."""
        faults = self.faults()
        found: dict[str, Any] = faults.get(stage, {})
        used = (stage, str(faults.get("id", "")))
        if not found or ("times" in found and self._used[used] >= found["times"]):
            return {}
        self._used[used] += 1
        return found

    def keep(self, envelope: dict[str, object], recipients: list[str], octets: bytes) -> str:
        """Store a message, hand it on to local recipients, and return the reply."""
        number = next(self._serial)
        path = self.directory / f"{number:06}"
        path.with_suffix(".eml").write_bytes(octets)
        written = path.with_suffix(".tmp")
        written.write_text(json.dumps(envelope, indent=1))
        written.rename(path.with_suffix(".json"))
        local = [recipient for recipient in recipients if self.lmtp and recipient.lower().endswith("@" + self.domain)]
        for recipient in local:  # one by one: LMTP replies for each, and smtplib reads one
            assert self.lmtp is not None
            with smtplib.LMTP(*self.lmtp, timeout=TIMEOUT_S) as lmtp:
                options = ["SMTPUTF8"] if lmtp.has_extn("smtputf8") else []
                lmtp.sendmail(str(envelope["sender"]), [recipient], octets, mail_options=options)
        return f"250 2.0.0 queued as {number}"


class Session:
    """One SMTP connection."""

    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink, self._reader, self._writer = sink, reader, writer
        self._login: str | None = None
        self._is_secure = False
        self._reset()
        self._verbs: dict[str, Callable[[str], Awaitable[str | None]]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
        }

    async def run(self) -> None:
        if (reply := await self._fault("greeting")) is not None:
            await self._say(reply)
            return
        await self._say(f"220 {self._sink.domain} ESMTP sink")
        while line := await self._reader.readline():
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if verb.upper() == "QUIT":
                await self._say("221 2.0.0 bye")
                break
            act = self._verbs.get(verb.upper())
            reply = await self._fault(verb.lower())
            if reply is None:
                reply = await act(rest) if act else "502 5.5.1 unknown command"
            if reply is not None:
                await self._say(reply)
        self._writer.close()

    async def _fault(self, stage: str) -> str | None:
        """Do what is to go wrong at this stage; return the reply that stands for the real one."""
        fault = self._sink.fault(stage)
        if fault:
            with (self._sink.directory / REACHED).open("a") as reached:
                reached.write(f"{stage}\n")
        await asyncio.sleep(fault.get("wait_s", 0))
        if fault.get("cut"):
            self._writer.transport.abort()
            raise ConnectionResetError
        reply: str | None = fault.get("reply")
        return reply

    async def _say(self, *lines: str) -> None:
        for number, line in enumerate(lines):
            mark = " " if number == len(lines) - 1 else "-"
            self._writer.write(f"{line[:3]}{mark}{line[4:]}\r\n".encode())
        await self._writer.drain()

    def _reset(self) -> None:
        self._sender: tuple[str, list[str]] | None = None
        self._recipients: list[tuple[str, list[str]]] = []

    async def _ehlo(self, _rest: str) -> None:
        offered = list(self._sink.faults().get("offers", EXTENSIONS))
        if self._sink.tls and not self._is_secure:
            offered.append("STARTTLS")
        if self._sink.password:
            offered.append(self._sink.faults().get("auth_line", "AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2"))
        await self._say(f"250 {self._sink.domain}", *("250 " + extension for extension in offered))

    async def _helo(self, _rest: str) -> str:
        return f"250 {self._sink.domain}"

    async def _starttls(self, _rest: str) -> str | None:
        if not self._sink.tls or self._is_secure:
            return "503 5.5.1 not now"
        await self._say("220 2.0.0 go ahead")
        await self._writer.start_tls(self._sink.tls)
        self._is_secure = True
        self._reset()
        return None

    async def _auth(self, rest: str) -> str:
        mechanism, _, initial = rest.partition(" ")
        try:
            if mechanism.upper() == "PLAIN":
                answer = base64.b64decode(initial) if initial else await self._ask(b"")
                _, login, password = answer.decode().split("\0")
            elif mechanism.upper() == "LOGIN":
                login = (base64.b64decode(initial) if initial else await self._ask(b"Username:")).decode()
                password = (await self._ask(b"Password:")).decode()
            elif mechanism.upper() in ("OAUTHBEARER", "XOAUTH2"):
                answer = base64.b64decode(initial) if initial else await self._ask(b"")
                login, password = bearer(answer.decode())
                if password != self._sink.password:
                    await self._ask(b'{"status":"invalid_token"}')
            else:
                return "504 5.5.4 no such mechanism"
        except ValueError:
            return "501 5.5.2 bad response"
        if password != self._sink.password:
            return "535 5.7.8 authentication failed"
        self._login = login
        return "235 2.7.0 authenticated"

    async def _ask(self, challenge: bytes) -> bytes:
        await self._say("334 " + base64.b64encode(challenge).decode())
        return base64.b64decode(await self._reader.readline())

    async def _mail(self, rest: str) -> str:
        parsed = address(rest, "FROM")
        if parsed is None:
            return "501 5.5.4 syntax: MAIL FROM:<address>"
        sizes = [parameter for parameter in parsed[1] if parameter.upper().startswith("SIZE=")]
        if sizes and int(sizes[0][5:]) > SIZE_LIMIT_OCTETS:
            return "552 5.3.4 message too big"
        self._reset()
        self._sender = parsed
        return "250 2.1.0 ok"

    async def _rcpt(self, rest: str) -> str:
        parsed = address(rest, "TO")
        if self._sender is None or parsed is None:
            return "503 5.5.1 bad sequence or syntax"
        for word, reply in REFUSED_AT_RCPT.items():
            if parsed[0].lower().startswith(word):
                return reply
        self._recipients.append(parsed)
        return "250 2.1.5 ok"

    async def _data(self, _rest: str) -> str:
        if self._sender is None or not self._recipients:
            return "503 5.5.1 no recipients"
        await self._say("354 end with .")
        octets = bytearray()
        if (reply := await self._fault("body")) is not None:
            return reply
        while (line := await self._reader.readline()) not in (b".\r\n", b""):
            octets += line[1:] if line.startswith(b".") else line
        if line == b"":
            raise ConnectionResetError  # cut before the dot: nothing was sent
        recipients = [recipient for recipient, _ in self._recipients]
        envelope: dict[str, object] = {
            "sender": self._sender[0],
            "sender_parameters": self._sender[1],
            "recipients": [{"address": who, "parameters": parameters} for who, parameters in self._recipients],
            "login": self._login,
            "tls": self._is_secure,
        }
        self._reset()
        if any(recipient.lower().startswith("late") for recipient in recipients):
            return "554 5.6.0 rejected after data"
        if (reply := await self._fault("end")) is not None:
            return reply
        try:
            answer = await asyncio.to_thread(self._sink.keep, envelope, recipients, bytes(octets))
            return await self._fault("kept") or answer
        except ConnectionError:
            raise
        except (OSError, smtplib.SMTPException) as error:
            return f"451 4.3.0 local delivery failed: {type(error).__name__}"

    async def _rset(self, _rest: str) -> str:
        self._reset()
        return "250 2.0.0 ok"

    async def _noop(self, _rest: str) -> str:
        return "250 2.0.0 ok"


def address(rest: str, word: str) -> tuple[str, list[str]] | None:
    """Parse `FROM:<address> PARAMETER…`."""
    found = re.fullmatch(rf"{word}:\s*<([^>]*)>\s*(.*)", rest, re.IGNORECASE)
    return (found[1], found[2].split()) if found else None


def bearer(message: str) -> tuple[str, str]:
    """Read the login and the token of OAUTHBEARER (RFC 7628) or XOAUTH2."""
    login = re.search(r"(?:user=|n,a=)([^\x01,]+)", message)
    token = re.search(r"auth=Bearer ([^\x01]+)", message)
    if login is None or token is None:
        raise ValueError("malformed")
    return login[1], token[1]


async def serve(sink: Sink, host: str, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Session(sink, reader, writer).run()
        except (ConnectionError, ssl.SSLError):
            writer.close()

    server = await asyncio.start_server(connected, host, port, limit=LINE_LIMIT)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--domain", default="mail.test", help="recipients here are local")
    parser.add_argument("--lmtp", metavar="HOST:PORT")
    parser.add_argument("--password", help="accepted for any login; AUTH stays optional")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    chosen = parser.parse_args()
    sink = Sink(chosen.dir, chosen.domain, chosen.password)
    if chosen.lmtp:
        host, _, port = chosen.lmtp.rpartition(":")
        sink.lmtp = host, int(port)
    if chosen.cert:
        sink.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        sink.tls.load_cert_chain(chosen.cert, chosen.key)
    asyncio.run(serve(sink, chosen.host, chosen.port))


if __name__ == "__main__":
    main()
