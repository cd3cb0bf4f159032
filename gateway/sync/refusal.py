"""From an IMAP NO about a mailbox (RFC 5530) to a SetError (RFC 8620 section 5.3). Pure.

Rule 1: a NO without a code says little: for a name it is taken to be about the name, for the rest about permission.
Rule 2: a description names the response code and never the server's text.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.jmap.errors import SetError
from gateway.upstream.imap import CommandFailed, ImapError

_FORBIDDEN = {"NOPERM", "AUTHORIZATIONFAILED", "PRIVACYREQUIRED"}
_OVER_QUOTA = {"OVERQUOTA", "LIMIT"}
_FAILED = {"SERVERBUG", "UNAVAILABLE", "INUSE", "CORRUPTION", "CONTACTADMIN", "CLIENTBUG", "EXPIRED", "THROTTLED"}


# Dovecot 2.3 keeps a mailbox in a directory of its path, which may have 255 octets. Of a RENAME to a longer one:
#   NO [SERVERBUG] Internal error occurred.
LONG_PATH_OCTETS = 200


def refusal(error: ImapError, *, properties: Sequence[str] = (), path: str = "") -> SetError:
    """Return why a write was refused. `properties`: what the command was about, if it was about values; `path`: the
    name that a mailbox was to have.
    """
    code = error.code or ""
    if not isinstance(error, CommandFailed):
        return SetError("serverFail", "the connection to the mail server broke; nothing was changed")
    told = f" ({code})" if code else ""
    if code in _FORBIDDEN:
        return SetError("forbidden", f"the mail server does not permit this{told}")
    if code in _OVER_QUOTA:
        return SetError("overQuota", f"the mail server has reached a limit{told}")
    if code == "HASCHILDREN":
        return SetError("mailboxHasChild")
    if code == "NONEXISTENT" and not properties:
        return SetError("notFound")
    if code == "SERVERBUG" and len(path.encode()) > LONG_PATH_OCTETS:
        return SetError("invalidProperties", "the mail server takes no name of that length", properties=properties)
    if code in _FAILED:
        return SetError("serverFail", f"the mail server could not do this at present{told}")
    if code == "ALREADYEXISTS":
        return SetError("invalidProperties", "there is such a mailbox already", properties=properties)
    if properties:
        return SetError("invalidProperties", f"the mail server refused this{told}", properties=properties)
    return SetError("forbidden", f"the mail server refused this{told}")
