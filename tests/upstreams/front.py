"""A front that refuses what is not advertised.

Dovecot's `imap_capability` changes only what it says, not what it obeys. A client that uses IDLE or MOVE without having
been offered it (RFC 3501 section 6.1.1) would pass every test before Dovecot and fail before a real plain server. This
proxy sits on the plain port of a cut-down Dovecot and answers BAD instead.

    python -m tests.upstreams.front --port P --to P2 --offers 'IMAP4rev1 UIDPLUS'

Rules
1. A refused command never reaches the server, its literals neither; everything else passes octet for octet.
2. Our BAD goes in between two whole responses of the server, never inside a literal.
3. After STARTTLS all is opaque and passes.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Mapping

HOST = "127.0.0.1"
LINE_LIMIT = 1 << 20
CHUNK_OCTETS = 1 << 16
LITERAL = re.compile(rb"\{(\d+)(\+?)\}\r?\n$")
QUOTED = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')

# Capability -> what needs it, in a command without its tag and with every quoted string emptied.
NEEDS: Mapping[str, str] = {
    "ACL": r"(GETACL|SETACL|DELETEACL|LISTRIGHTS|MYRIGHTS)\b",
    "BINARY": r".*\bBINARY(\.PEEK|\.SIZE)?\[|APPEND .*~\{",
    "COMPRESS=DEFLATE": r"COMPRESS\b",
    "CONDSTORE": r".*\b(CHANGEDSINCE|UNCHANGEDSINCE|MODSEQ|HIGHESTMODSEQ|CONDSTORE)\b",
    "ENABLE": r"ENABLE\b",
    "ESEARCH": r"(UID )?SEARCH RETURN\b",
    "ID": r"ID\b",
    "IDLE": r"IDLE\b",
    "LIST-EXTENDED": r"LIST .*\bRETURN\b|LIST \(",
    "METADATA": r"(GETMETADATA|SETMETADATA)\b",
    "MOVE": r"(UID )?MOVE\b",
    "MULTISEARCH": r"ESEARCH\b",
    "NAMESPACE": r"NAMESPACE\b",
    "NOTIFY": r"NOTIFY\b",
    "OBJECTID": r".*\b(EMAILID|THREADID|MAILBOXID)\b",
    "PREVIEW": r"(UID )?FETCH .*\b(PREVIEW|SNIPPET)\b",
    "QRESYNC": r".*\bQRESYNC\b|(UID )?FETCH .*\bVANISHED\b",
    "QUOTA": r"(GETQUOTA|GETQUOTAROOT|SETQUOTA)\b",
    "SASL-IR": r"AUTHENTICATE \S+ \S",
    "SAVEDATE": r".*\bSAVEDATE\b",
    "SORT": r"(UID )?SORT\b",
    "STATUS=SIZE": r"STATUS .*[( ]SIZE\b",
    "THREAD=REFERENCES": r"(UID )?THREAD\b",
    "UIDPLUS": r"UID EXPUNGE\b",
    "UNSELECT": r"UNSELECT\b",
    "WITHIN": r"(UID )?SEARCH .*\b(OLDER|YOUNGER)\b",
    "X-GUID": r"(UID )?(FETCH|STATUS) .*\bX-GUID\b",  # Dovecot's own; nothing announces it but its name
}
PATTERNS = {capability: re.compile(pattern.encode(), re.IGNORECASE) for capability, pattern in NEEDS.items()}


def unoffered(command: bytes, offers: frozenset[str]) -> str | None:
    """Name the capability that a command line (without its tag) needs and lacks."""
    bare = QUOTED.sub(b'""', command)
    literal = LITERAL.search(command)
    if literal and literal[2] and not offers & {"LITERAL+", "LITERAL-"}:
        return "LITERAL+"
    for capability, pattern in PATTERNS.items():
        if capability not in offers and pattern.match(bare):
            return capability
    return None


class Front:
    """One connection."""

    def __init__(self, offers: frozenset[str]) -> None:
        self._offers = offers
        self._whole = asyncio.Lock()  # held while a response of the server is being passed on
        self._opaque = False

    async def upward(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, answer: asyncio.StreamWriter
    ) -> None:
        """Pass commands on, or refuse them."""
        while line := await client.readline():
            tag, _, command = line.partition(b" ")
            lacks = None if self._opaque else unoffered(command.rstrip(b"\r\n") + b"\r\n", self._offers)
            if lacks is None:
                self._opaque = self._opaque or command.strip().upper() == b"STARTTLS"
                await self._pass(line, client, server)
                continue
            while literal := LITERAL.search(line):
                if not literal[2]:
                    break  # the client waits for a continuation that it will not get
                await client.readexactly(int(literal[1]))
                line = await client.readline()
            async with self._whole:
                answer.write(tag + f" BAD [CLIENTBUG] {lacks} is not offered here\r\n".encode())
                await answer.drain()

    async def _pass(self, line: bytes, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """Pass one whole command, literals and all."""
        server.write(line)
        while not self._opaque and (literal := LITERAL.search(line)):
            await copy(client, server, int(literal[1]))
            line = await client.readline()
            server.write(line)
        await server.drain()

    async def downward(self, server: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """Pass responses on, each whole."""
        while line := await server.readline():
            async with self._whole:
                answer.write(line)
                # The text of a status response may end in {5}: only data is followed by literals.
                while not self._opaque and line.startswith(b"* ") and (literal := LITERAL.search(line)):
                    await copy(server, answer, int(literal[1]))
                    line = await server.readline()
                    answer.write(line)
                    line = b"* " + line
                await answer.drain()


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, octets: int) -> None:
    while octets:
        chunk = await source.read(min(octets, CHUNK_OCTETS))
        if not chunk:
            raise ConnectionError("closed in a literal")
        octets -= len(chunk)
        target.write(chunk)
        await target.drain()


async def serve(port: int, behind: int, offers: frozenset[str]) -> None:
    async def connected(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        server, upward = await asyncio.open_connection(HOST, behind, limit=LINE_LIMIT)
        front = Front(offers)
        ways = [
            asyncio.create_task(front.upward(client, upward, answer)),
            asyncio.create_task(front.downward(server, answer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            answer.close()
            upward.close()

    listener = await asyncio.start_server(connected, HOST, port, limit=LINE_LIMIT, backlog=128)
    await listener.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--offers", required=True)
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.port, chosen.to, frozenset(chosen.offers.upper().split())))
