"""A scripted IMAP server with one small INBOX, for what no real server does when it is asked to."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field

from tests.upstream.imap.scripted import Peer

BASIC = b"IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN ENABLE CONDSTORE QRESYNC LIST-EXTENDED LIST-STATUS UNSELECT"
NOTIFYING = BASIC + b" NOTIFY IDLE"
IDLING = BASIC + b" IDLE"

_HEADER = b"Subject: %d\r\nMessage-ID: <%d@example.com>\r\n\r\n"


@dataclass
class SmallServer:
    """Serve `script` to `serve()`. A test changes the INBOX with `deliver` and tells of it, or not."""

    capabilities: bytes = NOTIFYING
    messages: int = 2
    modseq: int = 10
    changed_at: dict[int, int] = field(default_factory=dict)  # uid -> modseq
    verbs: Counter[str] = field(default_factory=Counter)
    answers: dict[str, list[bytes]] = field(default_factory=dict)  # verb -> tagged answers, used up in order
    deaf_to_done: bool = False
    listening: asyncio.Queue[Peer] = field(default_factory=asyncio.Queue)  # connections that NOTIFY or IDLE

    def deliver(self) -> bytes:
        """Add a message; return the STATUS that tells of it."""
        self.messages += 1
        self.modseq += 1
        self.changed_at[self.messages] = self.modseq
        return b"* STATUS INBOX (" + self._status() + b")\r\n"

    def _status(self) -> bytes:
        return b"MESSAGES %d UIDNEXT %d UIDVALIDITY 1 UNSEEN 1 HIGHESTMODSEQ %d" % (
            self.messages,
            self.messages + 1,
            self.modseq,
        )

    async def script(self, peer: Peer) -> None:
        """Answer until the client goes."""
        await peer.greet(self.capabilities)
        while True:
            tag, _, command = (await peer.line()).partition(b" ")
            verb = command.removeprefix(b"UID ").partition(b" ")[0].decode()
            self.verbs[verb] += 1
            if self.answers.get(verb):
                peer.send(tag + b" " + self.answers[verb].pop(0) + b"\r\n")
                continue
            if verb == "IDLE":
                peer.send(b"+ idling\r\n")
                self.listening.put_nowait(peer)
                assert await peer.line() == b"DONE"
                if self.deaf_to_done:
                    await peer.reader.read()
                    return
            peer.send(self._untagged(verb, command) + tag + b" OK done\r\n")
            if verb == "NOTIFY":
                self.listening.put_nowait(peer)

    def _untagged(self, verb: str, command: bytes) -> bytes:
        match verb:
            case "ENABLE":
                return b"* ENABLED QRESYNC\r\n"
            case "LIST":
                return b'* LIST () "/" INBOX\r\n* STATUS INBOX (' + self._status() + b")\r\n"
            case "STATUS":
                return b"* STATUS INBOX (" + self._status() + b")\r\n"
            case "EXAMINE":
                return (
                    b"* %d EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT %d] x\r\n* OK [HIGHESTMODSEQ %d] x\r\n"
                    % (
                        self.messages,
                        self.messages + 1,
                        self.modseq,
                    )
                )
            case "SEARCH":
                return b"* SEARCH " + b" ".join(b"%d" % uid for uid in range(1, self.messages + 1)) + b"\r\n"
            case "FETCH":
                return self._fetched(command)
        return b""

    def _fetched(self, command: bytes) -> bytes:
        """Answer a FETCH of flags or of headers; other items are not known."""
        found = re.match(rb"UID FETCH (\d+)(?::(\d+|\*))? ", command)
        assert found, command
        first = int(found[1])
        last = self.messages if found[2] == b"*" else int(found[2] or first)
        since = re.search(rb"CHANGEDSINCE (\d+)", command)
        out = []
        for uid in range(first, min(last, self.messages) + 1):
            modseq = self.changed_at.get(uid, 1)
            if since is not None and modseq <= int(since[1]):
                continue
            items = b"UID %d FLAGS () MODSEQ (%d)" % (uid, modseq)
            if (fields := re.search(rb"BODY\.PEEK(\[HEADER\.FIELDS \([^)]*\)\])", command)) is not None:
                header = _HEADER % (uid, uid)
                items += b' INTERNALDATE "01-Jan-2024 00:00:00 +0000" RFC822.SIZE 99 BODY%s {%d}\r\n%s' % (
                    fields[1],
                    len(header),
                    header,
                )
            out.append(b"* %d FETCH (%s)\r\n" % (uid, items))
        return b"".join(out)
