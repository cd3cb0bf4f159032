"""What is still to be done for one submission, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gateway.account.submitting import Prepared
from gateway.account.user_records import Record
from gateway.outbox.verdict import LIFETIME_S, Verdict, pause_s
from gateway.upstream.smtp import Address, Envelope

JAMMED_S = 300.0  # after a fault of our own


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`intent`: the final dot may have been written; the replies to RCPT until then, by address. Times since 1970."""

    email_id: str
    sender: Mapping[str, Any]  # {"email", "parameters"}, as an envelope of RFC 8621 section 7 has them
    recipients: tuple[Mapping[str, Any], ...]  # those that are left
    release_s: float
    next_s: float
    size_octets: int
    is_8bit: bool
    has_utf8_headers: bool
    attempts: int = 0
    waits_for_login: bool = False
    hold_until: str | None = None  # the server is asked to hold the message until then (RFC 4865)
    intent: Mapping[str, str] | None = field(default=None)

    @classmethod
    def of(
        cls, prepared: Prepared, email_id: str, envelope: Mapping[str, Any], *, release_s: float, next_s: float
    ) -> Job:
        return cls(
            email_id=email_id,
            sender=envelope["mailFrom"],
            recipients=tuple(envelope["rcptTo"]),
            release_s=release_s,
            next_s=next_s,
            size_octets=prepared.size_octets,
            is_8bit=prepared.is_8bit,
            has_utf8_headers=prepared.has_utf8_headers,
        )

    @classmethod
    def read(cls, record: Record) -> Job:
        return cls(**{**record, "recipients": tuple(record["recipients"])})

    def record(self) -> Record:
        return asdict(self)

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(recipient["email"] for recipient in self.recipients)

    def is_late(self, now_s: float) -> bool:
        """Tell whether this attempt is the last."""
        return now_s >= self.release_s + LIFETIME_S

    def envelope(self) -> Envelope:
        """Return what MAIL and RCPT are to say. Raise `BadAddress`."""
        parameters = dict(self.sender["parameters"] or {})
        if self.hold_until is not None:
            parameters["HOLDUNTIL"] = self.hold_until
        return Envelope(
            Address(self.sender["email"], parameters),
            tuple(Address(one["email"], one["parameters"] or {}) for one in self.recipients),
        )

    def after(self, verdict: Verdict, now_s: float) -> Job | None:
        """Return what is left after an attempt; None: nothing."""
        if not verdict.left:
            return None
        attempts = self.attempts + 1
        return replace(
            self,
            recipients=tuple(one for one in self.recipients if one["email"] in verdict.left),
            attempts=attempts,
            next_s=now_s + pause_s(attempts, waits_for_login=verdict.waits_for_login),
            waits_for_login=verdict.waits_for_login,
            intent=None,
        )
