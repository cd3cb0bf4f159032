"""Threads over a span of days, spread over mailboxes, with flags."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass

from tests.upstreams.seed.bodies import SHAPES, Bodies
from tests.upstreams.seed.malformed import MALFORMED

# Share of the messages, of 100.
SHARES = {
    "INBOX": 40,
    "Archive": 12,
    "Archive/2022": 6,
    "Archive/2023": 6,
    "Archive/2024": 6,
    "Sent": 8,
    "Drafts": 1,
    "Trash": 2,
    "Junk": 2,
    "Lists/dev": 6,
    "Lists/announce": 1,
    "Lists/users": 3,
    "Lists/ops": 1,
    "Projekte/Müller & Söhne": 2,
    "日本語/会議": 1,
    "Work/A/B/C/D": 1,
    "Receipts": 2,
}
KEYWORDS = ("$Forwarded", "$Junk", "$Important", "work", "todo")
REPLIES = ("Re: ", "Re: ", "RE: ", "AW: ", "Fwd: ")
UNTIL_S = calendar.timegm((2025, 1, 1, 0, 0, 0))
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class SeedMessage:
    """One message and how it lies in the account."""

    when_s: int
    mailbox: str
    flags: tuple[str, ...]
    octets: bytes


@dataclass(slots=True, kw_only=True)
class Mailboxes:
    """`count` messages; the same ones for the same arguments."""

    count: int
    seed: int = 1
    only_inbox: bool = False
    malformed: float = 0.03  # share
    attachment_scale: float = 1.0
    days: int = 1500

    def messages(self) -> Iterator[SeedMessage]:
        """Yield thread by thread, each message some while after the last."""
        bodies = Bodies(self.seed, attachment_scale=self.attachment_scale)
        draw, left = bodies.random, self.count
        start_s = UNTIL_S - self.days * DAY_S
        while left:
            size = min(left, 1 if draw.random() < 0.55 else 2 + int(draw.expovariate(0.3)))
            left -= size
            home = "INBOX" if self.only_inbox else draw.choices(list(SHARES), list(SHARES.values()))[0]
            subject, references = bodies.subject(), list[str]()
            when_s = start_s + int((UNTIL_S - start_s) * draw.random())
            for number in range(size):
                is_answer = number > 0 and home == "INBOX" and not self.only_inbox and draw.random() < 0.2
                mailbox = "Sent" if is_answer else home
                domain = draw.choice(["example.com", "mail.test"])
                message_id = f"<{draw.getrandbits(64):x}.{bodies.serial}@{domain}>"
                title = draw.choice(REPLIES) + subject if number else subject
                head = bodies.headers(title, message_id, references, when_s, mailbox)
                yield SeedMessage(when_s, mailbox, self._flags(bodies, mailbox), self._whole(bodies, head))
                references = [*references, message_id]
                when_s = min(when_s + int(draw.expovariate(1 / 14_400)), UNTIL_S)

    def _whole(self, bodies: Bodies, head: bytes) -> bytes:
        draw = bodies.random
        if draw.random() < self.malformed:
            return MALFORMED[draw.choice(list(MALFORMED))](bodies, head)
        shape = draw.choices(list(SHAPES), list(SHAPES.values()))[0]
        return head + shape(bodies)

    def _flags(self, bodies: Bodies, mailbox: str) -> tuple[str, ...]:
        draw = bodies.random
        flags = ["\\Seen"] if mailbox in ("Sent", "Drafts") or draw.random() < 0.85 else []
        flags += ["\\Draft"] if mailbox == "Drafts" else []
        flags += ["\\Answered"] if draw.random() < 0.15 else []
        flags += ["\\Flagged"] if draw.random() < 0.04 else []
        flags += [keyword for keyword in KEYWORDS if draw.random() < 0.03]
        return tuple(flags)
