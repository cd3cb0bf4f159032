"""What can become of a submission other than that it was taken.

Rule 1: every `SmtpError` but `Doubtful` says that nothing was sent, to nobody.
Rule 2: `str(error)` is fit for a log and for the sender: the server's own words, cut, and never a secret.
"""

from __future__ import annotations

from typing import Literal

from gateway.upstream.smtp.reply import MAX_CHARACTERS, Reply

Stage = Literal["connect", "tls", "login", "mail", "rcpt", "data", "end"]


class SmtpError(Exception):
    """The message was not sent. With a permanent reply it will not be by trying again."""

    def __init__(self, stage: Stage, text: str, reply: Reply | None = None) -> None:
        self.stage, self.reply = stage, reply
        self.text = reply.line if reply is not None else text[:MAX_CHARACTERS]
        super().__init__(self.text)

    @property
    def is_permanent(self) -> bool:
        return self.reply is not None and self.reply.is_permanent


class LoginRefused(SmtpError):
    """The server does not take the credentials: other ones may do."""


class NotAccepted(SmtpError):
    """The server took none of the recipients; `replies` says why, by address."""

    def __init__(self, replies: dict[str, Reply]) -> None:
        self.replies = replies
        worst = min(replies.values(), key=lambda reply: reply.code)  # 4yz before 5yz: a later try may do
        super().__init__("rcpt", "", worst)


class Doubtful(SmtpError):
    """All of the message went out and no reply came back: it may have been sent. It must not be sent again."""

    def __init__(self, text: str, replies: dict[str, Reply]) -> None:
        self.replies = replies  # of the recipients
        super().__init__("end", text)
