"""What an attempt to send means."""

from __future__ import annotations

import pytest

from gateway.outbox import verdict
from gateway.outbox.job import Job
from gateway.upstream.smtp import BadAddress, Doubtful, LoginRefused, NotAccepted, Reply, SmtpError, Submitted

GOOD, LATER, NEVER = Reply(250, "2.1.5 ok"), Reply(451, "4.3.0 later"), Reply(550, "5.1.1 nobody")
REPLIES = {"a": GOOD, "b": LATER, "c": NEVER}
ALL = ("a", "b", "c")


def delivered(found: verdict.Verdict) -> dict[str, str]:
    return {one: its["delivered"] for one, its in found.statuses.items()}


def test_taken_for_some() -> None:
    """Whoever it went to is done; whoever was refused for now is left."""
    found = verdict.taken(Submitted(GOOD, REPLIES), ALL, is_late=False)
    assert delivered(found) == {"a": "unknown", "b": "queued", "c": "no"}
    assert (found.left, found.has_left) == (("b",), True)


def test_the_last_attempt_leaves_nobody() -> None:
    found = verdict.taken(Submitted(GOOD, REPLIES), ALL, is_late=True)
    assert delivered(found)["b"] == "no"
    assert found.statuses["b"]["smtpReply"] == f"{verdict.LATE}: 451 4.3.0 later"
    assert found.left == ()


def test_doubt_is_final_for_whom_it_may_have_gone_to() -> None:
    found = verdict.failed(Doubtful("cut", REPLIES), ALL, is_late=False)
    assert delivered(found) == {"a": "unknown", "b": "queued", "c": "no"}
    assert found.statuses["a"]["smtpReply"] == verdict.DOUBTFUL
    assert (found.left, found.has_left) == (("b",), True)
    again = verdict.doubtful({one: reply.line for one, reply in REPLIES.items()}, ALL, is_late=False)
    assert again == found


@pytest.mark.parametrize("stage", ["mail", "data", "end"])
def test_a_permanent_reply_is_final(stage: str) -> None:
    found = verdict.failed(SmtpError(stage, "", NEVER), ALL, is_late=False)  # type: ignore[arg-type] # a Stage
    assert set(delivered(found).values()) == {"no"}
    assert (found.left, found.has_left) == ((), False)


@pytest.mark.parametrize(
    "error", [SmtpError("connect", "", NEVER), SmtpError("tls", "no"), LoginRefused("login", "", NEVER)]
)
def test_what_is_no_verdict_on_the_message(error: SmtpError) -> None:
    """A server that does not talk to us may tomorrow; a login may come back."""
    found = verdict.failed(error, ALL, is_late=False)
    assert found.left == ALL
    assert found.waits_for_login is isinstance(error, LoginRefused)
    assert verdict.is_refusal(error, found) is isinstance(error, LoginRefused)
    late = verdict.failed(error, ALL, is_late=True)
    assert late.left == ()


def test_nobody_taken() -> None:
    found = verdict.failed(NotAccepted({"a": NEVER, "b": LATER}), ("a", "b"), is_late=False)
    assert (found.left, found.has_left) == (("b",), False)
    assert not verdict.is_refusal(NotAccepted({"a": NEVER, "b": LATER}), found)


def test_pauses_grow_and_end_at_an_hour() -> None:
    pauses = [verdict.pause_s(attempts, waits_for_login=False) for attempts in range(1, 30)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (30, 3600)
    assert verdict.pause_s(1, waits_for_login=True) == 900


def test_statuses_have_the_form_of_the_rfc() -> None:
    """A synthetic reply has a code, an enhanced code and words."""
    for line in (verdict.WAITING, verdict.DOUBTFUL, verdict.CANCELED, verdict.GONE, verdict.LATE):
        code, enhanced, words = line.split(" ", 2)
        assert code.isdigit()
        assert len(code) == 3
        assert enhanced.count(".") == 2
        assert enhanced[0] == code[0]
        assert words
    error = verdict.failed(SmtpError("connect", "refused"), ("a",), is_late=False)
    assert error.statuses["a"]["smtpReply"] == "451 4.4.1 refused"


def job() -> Job:
    recipients = tuple({"email": one, "parameters": None} for one in ("a@x", "b@x"))
    return Job(
        email_id="M1", sender={"email": "me@x", "parameters": {"RET": "HDRS"}}, recipients=recipients, release_s=1000,
        next_s=1000, size_octets=1, is_8bit=False, has_utf8_headers=False, intent={"a@x": "250 ok"},
    )  # fmt: skip


def test_a_job_comes_back_from_the_store() -> None:
    assert Job.read(job().record()) == job()


def test_what_is_left_of_a_job() -> None:
    """The recipients that are left, one attempt more, and no intent."""
    statuses = {"a@x": verdict.status("250 ok", "unknown"), "b@x": verdict.status("451 no", "queued")}
    left = job().after(verdict.Verdict(statuses, ("b@x",), True), 2000)
    assert left is not None
    assert (left.addresses, left.attempts, left.next_s, left.intent) == (("b@x",), 1, 2030, None)
    assert job().after(verdict.Verdict({}, (), True), 2000) is None


def test_a_hold_is_told_to_the_server() -> None:
    held = Job.read({**job().record(), "hold_until": "2030-01-01T00:00:00Z"})
    assert held.envelope().sender.parameters == {"RET": "HDRS", "HOLDUNTIL": "2030-01-01T00:00:00Z"}
    with pytest.raises(BadAddress):
        Job.read({**job().record(), "sender": {"email": "a\nb", "parameters": None}}).envelope()
