"""A command that the upstream refused, as the SetError of the Email concerned (RFC 5530; RFC 8620, 5.3). Pure."""

from __future__ import annotations

from gateway.jmap.errors import SetError
from gateway.upstream.imap import CommandFailed

UNTOLD = "the mail server has done this, and it could not be written down here; it is shown as soon as it can be"
UNKNOWN = "the connection to the mail server broke, and it could not be found out what became of this"
UNDONE = "the connection to the mail server broke before this was done"

_FORBIDDEN = {"NOPERM", "PRIVACYREQUIRED", "AUTHORIZATIONFAILED", "READ-ONLY"}
_NO_MAILBOX = {"TRYCREATE", "NONEXISTENT"}
_TOO_LARGE = {"LIMIT", "TOOBIG"}  # of an APPEND


def refusal(error: CommandFailed, *, verb: str, has_keywords: bool = False) -> SetError:
    """Return what a NO or BAD to `verb` (STORE, COPY, MOVE, APPEND, EXPUNGE, SELECT) means for an Email.

    `has_keywords`: an APPEND named flags of the user's.
    """
    code = error.code or ""
    if code == "OVERQUOTA" or (not code and "quota" in error.text.lower()):  # Courier 5.0: NO You exceeded your quota
        return SetError("overQuota")
    if code in _FORBIDDEN:
        return SetError("forbidden", f"the mail server does not allow this ({code})")
    if code in _NO_MAILBOX:
        return SetError("invalidProperties", "there is no such mailbox", properties=["mailboxIds"])
    if verb == "APPEND" and (code in _TOO_LARGE or (not code and "too large" in error.text.lower())):
        return SetError("tooLarge")
    if verb == "STORE" and code == "LIMIT":
        return SetError("tooManyKeywords")
    # Dovecot 2.3, of a keyword of more than 50 octets:  NO [CANNOT] Keyword length too long
    if code == "CANNOT" and (verb == "STORE" or (verb == "APPEND" and has_keywords)):
        return SetError("invalidProperties", "the mail server takes no such keywords", properties=["keywords"])
    if code == "CANNOT":
        return SetError("forbidden", f"the mail server can never do this: {verb} was refused")
    return SetError("serverFail", f"the mail server refused {verb}{f' ({code})' if code else ''}")


def not_kept(keywords: list[str]) -> SetError:
    """Return the error for keywords that a mailbox does not keep."""
    return SetError(
        "invalidProperties",
        f"a mailbox of this Email does not keep these keywords: {', '.join(keywords)}",
        properties=["keywords"],
    )
