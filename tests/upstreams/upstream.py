"""What a test sees of a running mail server."""

from __future__ import annotations

import imaplib
import itertools
import os
import smtplib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from demo.ports import HOST
from tests.upstreams.place import Place

PASSWORD = "secret"
DOMAIN = "mail.test"
USERS = ("alice", "bob", "carol")
SPECIAL_USE = ("Drafts", "Sent", "Trash", "Junk", "Archive")
TIMEOUT_S = 20.0


def _nothing(_login: str) -> None:
    """Most servers take a login as it comes."""


@dataclass(slots=True)
class Upstream:
    """A mail server on loopback. Its accounts all have the same password."""

    kind: str
    place: Place
    ca_file: Path | None
    separator: str = "/"
    prefix: str = ""  # of the personal namespace
    users: tuple[str, ...] = USERS
    password: str = PASSWORD
    host: str = HOST
    master: tuple[str, str] | None = None  # login form with USER in it, and the password
    maildir: str | None = None  # path with USER in it, where mail can be planted
    prepare: Callable[[str], None] = _nothing  # makes the account of a login
    _serial: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def ports(self) -> dict[str, int]:
        """Ports by name: imap, imaps, lmtp, smtp (the sink), sieve, submission, submissions as offered."""
        return self.place.ports

    @property
    def imap_url(self) -> str:
        """For `[upstreams.NAME] imap` with `tls = "none"`, or STARTTLS where offered."""
        return f"imap://{self.host}:{self.ports['imap']}"

    @property
    def imaps_url(self) -> str:
        """For `[upstreams.NAME] imap` with `ca_file`. The certificate is for localhost and 127.0.0.1."""
        return f"imaps://localhost:{self.ports['imaps']}"

    def fresh_login(self) -> str:
        """A login whose account nobody else has used and which holds no mail."""
        login = f"fresh{os.getpid()}x{next(self._serial)}"
        self.prepare(login)
        return login

    def imap(self, login: str) -> imaplib.IMAP4:
        """A second client: a raw connection, logged in. Use it in a `with`."""
        connection = imaplib.IMAP4(self.host, self.ports["imap"], TIMEOUT_S)
        connection.login(login, self.password)
        return connection

    def selected(self, login: str, mailbox: str = "INBOX") -> AbstractContextManager[imaplib.IMAP4]:
        """The same, with a mailbox selected for writing."""
        connection = self.imap(login)
        expect_ok(connection.select(quoted(mailbox)))
        return connection

    def append(
        self, login: str, *messages: bytes, mailbox: str = "INBOX", flags: str = "", at_s: float | None = None
    ) -> None:
        """APPEND messages, octet for octet. `flags` as in `\\Seen $Junk`; INTERNALDATE `at_s` or now."""
        with self.imap(login) as connection:
            for message in messages:
                stamp = imaplib.Time2Internaldate(time.time() if at_s is None else at_s)
                name = quoted(mailbox)
                answer = connection.append(name, f"({flags})", stamp, message)
                if answer[0] == "NO" and b"TRYCREATE" in answer[1][0]:
                    expect_ok(connection.create(name))
                    answer = connection.append(name, f"({flags})", stamp, message)
                expect_ok(answer)

    def deliver(self, login: str, message: bytes, mailbox: str = "INBOX") -> None:
        """Deliver as an MTA does: by LMTP, which adds header fields; by APPEND where it is not for the INBOX."""
        if mailbox != "INBOX" or "lmtp" not in self.ports:
            self.append(login, message, mailbox=mailbox)
            return
        with smtplib.LMTP(self.host, self.ports["lmtp"], timeout=TIMEOUT_S) as lmtp:
            refused = lmtp.sendmail("sender@example.com", [f"{login}@{DOMAIN}"], message)
            assert not refused, refused

    def plant(self, login: str, message: bytes, name: str) -> None:
        """Put a file into the maildir's INBOX: mail that no APPEND would take (NULs, bare CR)."""
        assert self.maildir is not None, f"{self.kind} keeps no maildir"
        with self.imap(login) as connection:
            expect_ok(connection.select("INBOX"))  # the server makes the maildir
        path = Path(self.maildir.replace("USER", login)) / "tmp" / name
        path.write_bytes(message)
        self.place.give(path)
        path.rename(path.parent.parent / "new" / name)


def quoted(mailbox: str) -> str:
    """A mailbox name as imaplib wants it: the wire form (modified UTF-7), quoted."""
    return '"' + mailbox.replace("\\", "\\\\").replace('"', '\\"') + '"'


def expect_ok(answer: tuple[str, object]) -> None:
    if answer[0] != "OK":
        raise AssertionError(f"the server refused: {answer!r}")
