"""What a sender hears whose message was refused for good while it was waiting (RFC 8621 section 7.5). Pure."""

from __future__ import annotations

from gateway.account.submitting import Offers, Prepared
from gateway.jmap.errors import SetError
from gateway.upstream.smtp import LoginRefused, NotAccepted, SmtpError

TOO_LARGE = frozenset({"5.3.4", "5.2.3"})  # RFC 3463: too big for the system, for the mailbox
NO_UTF8 = frozenset({"5.6.7", "5.6.9"})  # RFC 6531 section 3.5


def refusal(error: SmtpError, prepared: Prepared, offers: Offers) -> SetError:
    """Return the SetError. The description is the server's own reply."""
    if isinstance(error, NotAccepted):
        refused = [address for address, reply in error.replies.items() if not reply.is_good]
        return SetError("invalidRecipients", error.text, invalidRecipients=refused)
    if isinstance(error, LoginRefused):
        return SetError("forbiddenToSend", f"the server for sending refuses the login: {error.text}")
    reply = error.reply
    enhanced = reply.enhanced if reply is not None else None
    if reply is not None and (enhanced in TOO_LARGE or (reply.code == 552 and enhanced is None)):
        # The server may refuse less than it says it takes: the limit is below this message in any case.
        limit = min(offers.max_size_octets or prepared.size_octets - 1, max(0, prepared.size_octets - 1))
        return SetError("tooLarge", error.text, maxSize=limit)
    if enhanced in NO_UTF8:
        return SetError("invalidEmail", error.text, properties=["headers"])
    if error.stage == "mail":
        return SetError("forbiddenMailFrom", error.text)
    return SetError("forbiddenToSend", error.text)
