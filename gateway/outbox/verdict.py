"""What an attempt to send means for a submission: each recipient's status, and what is to be done next. Pure.

Rule 1: a permanent refusal is final. One for now is tried again until the time is up, and then final as well.
Rule 2: what was sent, or may have been, is never tried again for the same recipient.
Rule 3: refused credentials and a server that does not want to talk to us are no verdict on the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.upstream.smtp import Doubtful, LoginRefused, NotAccepted, Reply, SmtpError, Submitted

Status = dict[str, Any]  # a DeliveryStatus (RFC 8621 section 7)

BACKOFF_S = (30, 60, 120, 300, 600, 900, 1800, 3600)  # then every hour
LOGIN_BACKOFF_S = 900  # the same wrong password again and again locks accounts
LIFETIME_S = 2 * 86_400  # a sender should hear within two days that a message did not go

WAITING = "250 2.0.0 waiting to be sent"
DOUBTFUL = "451 4.4.2 the connection was lost when all was sent: the message may have arrived, and is not sent again"
CANCELED = "554 5.7.0 taken back by the sender"
GONE = "554 5.6.0 the message to send is not there any more"
LATE = "554 5.4.7 given up"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`statuses` are of the recipients that the attempt was for; `left` of these have to be tried again."""

    statuses: Mapping[str, Status]
    left: tuple[str, ...]
    has_left: bool  # the message went to somebody, or may have gone: it cannot be taken back
    waits_for_login: bool = False


def status(line: str, delivered: str, displayed: str = "unknown") -> Status:
    return {"smtpReply": line, "delivered": delivered, "displayed": displayed}


def waiting(recipients: tuple[str, ...]) -> dict[str, Status]:
    """Return the statuses before the first attempt."""
    return {recipient: status(WAITING, "queued") for recipient in recipients}


def taken(submitted: Submitted, recipients: tuple[str, ...], *, is_late: bool) -> Verdict:
    """Judge an attempt after which the server has the message."""
    statuses = {one: _of_reply(submitted.replies[one], "unknown", is_late=is_late) for one in recipients}
    return _verdict(statuses, has_left=True)


def doubtful(lines: Mapping[str, str], recipients: tuple[str, ...], *, is_late: bool) -> Verdict:
    """Judge an attempt that ended between the final dot and a reply; `lines` are the replies to RCPT."""
    statuses: dict[str, Status] = {}
    for one in recipients:
        code = int(lines[one][:3]) if lines.get(one, "")[:3].isdigit() else 250
        reply = Reply(code, lines.get(one, "")[4:])
        statuses[one] = status(DOUBTFUL, "unknown") if reply.is_good else _of_reply(reply, "", is_late=is_late)
    return _verdict(statuses, has_left=True)


def failed(error: SmtpError, recipients: tuple[str, ...], *, is_late: bool) -> Verdict:
    """Judge an attempt after which nobody has the message."""
    if isinstance(error, Doubtful):
        return doubtful({one: reply.line for one, reply in error.replies.items()}, recipients, is_late=is_late)
    if isinstance(error, NotAccepted):
        statuses = {one: _of_reply(error.replies[one], "", is_late=is_late) for one in recipients}
        return _verdict(statuses, has_left=False)
    is_final = error.is_permanent and error.stage not in ("connect", "tls", "login")
    line = error.reply.line if error.reply is not None else f"451 4.4.1 {error.text}"
    one_status = status(line, "no") if is_final else _later(line, is_late=is_late)
    return _verdict(
        {one: dict(one_status) for one in recipients}, has_left=False, waits_for_login=isinstance(error, LoginRefused)
    )


def is_refusal(error: SmtpError, verdict: Verdict) -> bool:
    """Tell whether the sender, who is waiting, had better hear of it as an error: trying again would not help."""
    return not verdict.has_left and (isinstance(error, LoginRefused) or not verdict.left)


def lost(line: str, recipients: tuple[str, ...]) -> Verdict:
    """Judge a message that can never be sent."""
    return _verdict({one: status(line, "no") for one in recipients}, has_left=False)


def pause_s(attempts: int, *, waits_for_login: bool) -> float:
    """Return how long to wait after so many attempts."""
    wait_s = BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1] if attempts else 0
    return max(wait_s, LOGIN_BACKOFF_S) if waits_for_login else wait_s


def _of_reply(reply: Reply, delivered: str, *, is_late: bool) -> Status:
    if reply.is_good:
        return status(reply.line, delivered)
    return status(reply.line, "no") if reply.is_permanent else _later(reply.line, is_late=is_late)


def _later(line: str, *, is_late: bool) -> Status:
    return status(f"{LATE}: {line}", "no") if is_late else status(line, "queued")


def _verdict(statuses: Mapping[str, Status], *, has_left: bool, waits_for_login: bool = False) -> Verdict:
    left = tuple(one for one, its in statuses.items() if its["delivered"] == "queued")
    return Verdict(statuses, left, has_left, waits_for_login)
