"""The SMTP sink as a test sees it: what it was sent, envelopes and octets."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.ports import HOST
from tests.upstreams.certificates import make_certificates
from tests.upstreams.place import Place
from tests.upstreams.smtpsink import FAULTS, REACHED
from tests.upstreams.upstream import DOMAIN, PASSWORD

WAIT_S = 10.0
_serial = itertools.count(1)
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Kept:
    """One accepted message."""

    envelope: dict[str, Any]  # sender, sender_parameters, recipients, login, tls
    octets: bytes

    @property
    def recipients(self) -> list[str]:
        return [str(recipient["address"]) for recipient in self.envelope["recipients"]]


@dataclass(frozen=True, slots=True)
class SmtpSink:
    """A running sink. AUTH takes any login with PASSWORD; STARTTLS is offered."""

    port: int
    directory: Path
    ca_file: Path
    host: str = HOST

    @contextmanager
    def faulty(self, **stages: Any) -> Iterator[None]:
        """Let things go wrong meanwhile, as `smtpsink` describes."""
        path = self.directory / FAULTS
        (self.directory / REACHED).unlink(missing_ok=True)
        written = path.with_suffix(".new")
        written.write_text(json.dumps({"id": str(next(_serial)), **stages}))
        written.rename(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def reached(self) -> list[str]:
        """The stages at which something has gone wrong, since `faulty` began last."""
        path = self.directory / REACHED
        return path.read_text().split() if path.exists() else []

    def to(self, address: str, count: int = 0) -> list[Kept]:
        """What was accepted for one recipient."""
        end = time.monotonic() + WAIT_S
        while len(found := [one for one in self.kept() if address in one.recipients]) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(found)} messages for {address} arrived instead of {count}")
            time.sleep(0.02)
        return found

    def kept(self, count: int = 0) -> list[Kept]:
        """Everything accepted so far; wait until there are `count`."""
        end = time.monotonic() + WAIT_S
        while len(paths := sorted(self.directory.glob("[0-9]*.json"))) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(paths)} messages arrived instead of {count}")
            time.sleep(0.02)
        return [Kept(json.loads(path.read_text()), path.with_suffix(".eml").read_bytes()) for path in paths]


def start(place: Place, *, lmtp_port: int | None = None) -> SmtpSink:
    """Start a sink on the place's port `smtp`. Mail for DOMAIN goes on by LMTP, if there is where to.

    In the place of a Dovecot it is that Dovecot's submission relay.
    """
    tls = make_certificates(place.make("sink-tls"), domain=DOMAIN)
    directory, port = place.make("sink"), place.port("smtp")
    argv: list[str | Path] = [sys.executable, "-m", "tests.upstreams.smtpsink", "--port", str(port), "--dir", directory]
    argv += ["--password", PASSWORD, "--cert", tls.certificate, "--key", tls.key, "--domain", DOMAIN]
    if lmtp_port is not None:
        argv += ["--lmtp", f"{HOST}:{lmtp_port}"]
    place.spawn("sink", argv, {"PYTHONPATH": str(REPOSITORY)})
    place.wait_for_ports("smtp")
    return SmtpSink(port, directory, tls.ca)
