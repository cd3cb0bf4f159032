"""Seeded maildirs, kept between runs, and a Dovecot that serves one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.upstreams import dovecot
from tests.upstreams.place import Place
from tests.upstreams.seed.mailbox import Mailboxes
from tests.upstreams.seed.maildir import write_maildir
from tests.upstreams.upstream import Upstream

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "bench"
LOGIN = "bench"
ATTACHMENT_SCALE = 0.2  # smaller attachments than life: the disk is not what is measured
FORMAT = 1  # of the seeded maildirs; another number makes new ones


@contextmanager
def served(count: int) -> Iterator[Upstream]:
    """Run Dovecot with `count` messages in the INBOX of LOGIN. What changes in the mailbox is not kept."""
    place = Place("bench")
    try:
        home = place.make(f"home/{LOGIN}")
        place.give(home.parent)
        source = seeded(count)
        # Hard links: quick, and whatever Dovecot renames or removes, the kept files stay.
        copied = subprocess.run(["cp", "-al", source, home / "Maildir"], capture_output=True).returncode == 0
        if not copied:
            shutil.rmtree(home / "Maildir", ignore_errors=True)
            subprocess.run(["cp", "-a", source, home / "Maildir"], check=True)
        for path in (home / "Maildir").iterdir():  # the few that Dovecot writes in place
            if path.is_file():
                octets = path.read_bytes()
                path.unlink()
                path.write_bytes(octets)
                place.give(path)
        yield dovecot.start(place, rawlog=True)
    finally:
        place.close()


def seeded(count: int) -> Path:
    """Return a maildir of `count` messages, made unless it is there."""
    target = CACHE / f"maildir-{FORMAT}-{count}{'' if os.geteuid() else '-root'}"
    if not target.exists():
        print(f"seeding {count:,} messages …", flush=True)
        making = target.with_name(target.name + ".part")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        place = Place("seed")
        owner = place.owner if place.root else None
        place.close()
        mailboxes = Mailboxes(count=count, only_inbox=True, attachment_scale=ATTACHMENT_SCALE)
        write_maildir(making, mailboxes.messages(), owner)
        making.rename(target)
    return target


def maildir(server: Upstream) -> Path:
    assert server.maildir is not None
    return Path(server.maildir.replace("USER", LOGIN))


def wipe_indexes(server: Upstream) -> None:
    """Make Dovecot forget its indexes and caches, not its UIDs: the next reader pays for a cold mailbox."""
    for path in maildir(server).glob("dovecot.index*"):
        path.unlink()


def number_messages(server: Upstream) -> int:
    """Let Dovecot give every message its UID once, which no later reader then pays for. Return how many there are."""
    with server.selected(LOGIN) as client:
        exists = client.untagged_responses["EXISTS"][0]
    assert isinstance(exists, bytes)
    return int(exists)
