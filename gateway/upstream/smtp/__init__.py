"""SMTP submission (RFC 6409) on aiosmtplib: one message per connection, and a truthful word on what became of it."""

from gateway.upstream.smtp.ehlo import Ehlo
from gateway.upstream.smtp.envelope import Address, BadAddress, Envelope
from gateway.upstream.smtp.errors import Doubtful, LoginRefused, NotAccepted, SmtpError, Stage
from gateway.upstream.smtp.reply import Reply
from gateway.upstream.smtp.server import Message, SmtpServer, Submitted
from gateway.upstream.smtp.timeouts import Timeouts

__all__ = [
    "Address",
    "BadAddress",
    "Doubtful",
    "Ehlo",
    "Envelope",
    "LoginRefused",
    "Message",
    "NotAccepted",
    "Reply",
    "SmtpError",
    "SmtpServer",
    "Stage",
    "Submitted",
    "Timeouts",
]
