"""What went over the wire between the gateway and Dovecot, from Dovecot's own rawlogs.

A recorded line is `1795440552.372019 tag UID FETCH …`; .in files hold what the client sent, .out what it was answered.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.mailbox import LOGIN
from tests.upstreams.upstream import Upstream

COMMAND = re.compile(rb"(?P<tag>[A-Za-z0-9.]+) (?P<text>(?:UID )?[A-Z]+\b.*)")
DONE = re.compile(rb"(?P<tag>[A-Za-z0-9.]+) (?:OK|NO|BAD)\b")


@dataclass(frozen=True, slots=True, order=True)
class Sent:
    """One command as it arrived at the server."""

    at_s: float
    connection: str
    text: str


@dataclass(slots=True)
class Recording:
    """The commands, in the order of their arrival, and when each was done."""

    commands: list[Sent] = field(default_factory=list)
    events: list[tuple[float, int]] = field(default_factory=list)  # +1 sent, -1 done

    def fetches(self) -> list[str]:
        """The FETCHes that index the INBOX, to be sent again word for word."""
        return [sent.text for sent in self.commands if sent.text.startswith("UID FETCH")]

    def round_trips(self) -> int:
        """How often something was sent while nothing was awaited, over all connections."""
        waiting = trips = 0
        for _, step in sorted(self.events, key=lambda event: (event[0], -event[1])):
            trips += step > 0 and waiting == 0
            waiting += step
        return trips


@contextmanager
def recorded(server: Upstream) -> Iterator[Callable[..., Recording]]:
    """Record the connections that are opened meanwhile. Yields `read` for them: from a Unix time on, and so on."""
    directory = server.place.make(f"rawlog/{LOGIN}")
    try:
        yield lambda since_s, leaving_out=None: read(directory, since_s, leaving_out)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def read(directory: Path, since_s: float, leaving_out: str | None = None) -> Recording:
    """Return what was sent since then, but for commands in whose text `leaving_out` is found."""
    recording = Recording()
    for path in sorted(directory.glob("*.in")):
        tags: set[bytes] = set()
        for at_s, line in lines(path, since_s):
            found = COMMAND.fullmatch(line)
            text = found["text"].decode(errors="replace") if found else ""
            if found and not (leaving_out and re.search(leaving_out, text)):
                tags.add(found["tag"])
                recording.commands.append(Sent(at_s, path.stem, text))
                recording.events.append((at_s, 1))
        for at_s, line in lines(path.with_suffix(".out"), since_s):
            found = DONE.match(line)
            if found and found["tag"] in tags:
                recording.events.append((at_s, -1))
    recording.commands.sort()
    return recording


def lines(path: Path, since_s: float) -> Iterator[tuple[float, bytes]]:
    with path.open("rb") as recorded_lines:
        for line in recorded_lines:
            stamp, _, text = line.rstrip(b"\r\n").partition(b" ")
            try:
                at_s = float(stamp)
            except ValueError:
                continue
            if at_s >= since_s:
                yield at_s, text
