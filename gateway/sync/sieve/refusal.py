"""From a ManageSieve NO (RFC 5804 section 1.3) to a SetError (RFC 9661 section 2.4, RFC 8620 section 5.3). Pure.

Rule 1: what a server says of a script is told to its owner, line numbers and all; what it says else is not.
"""

from __future__ import annotations

import re

from gateway.jmap.errors import MethodError, SetError
from gateway.upstream.managesieve import AuthenticationFailed, CommandFailed, ManageSieveError, NameRefused

MAX_DESCRIPTION = 1000  # characters of a server's text

# Pigeonhole keeps a script in files whose names are the script's and up to 32 octets more. A file's name has 255, and
# past that it says:  NO (TRYLATER) "Internal error occurred. …"
LONG_NAME_OCTETS = 220

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def refusal(error: CommandFailed) -> SetError:
    """Return why a command about a script was refused."""
    if isinstance(error, NameRefused):
        return SetError("invalidProperties", "name is not one that the mail server takes", properties=["name"])
    if error.is_code("QUOTA/MAXSIZE"):
        return SetError("tooLarge", "the script is larger than the mail server takes")
    if error.is_code("QUOTA"):
        return SetError("overQuota", f"the mail server takes no more scripts, or octets of them ({error.code})")
    if error.is_code("ACTIVE"):
        return SetError("sieveIsActive")
    if error.is_code("NONEXISTENT"):
        return SetError("notFound")
    if error.code is not None:
        return SetError("serverFail", f"the mail server refused this ({error.code[:40]})")
    return SetError("forbidden", "the mail server refused this")


def is_of_long_name(error: CommandFailed, name: str) -> bool:
    """Tell whether it is for the length of the name that the script was refused."""
    return error.is_code("TRYLATER") and len(name.encode()) > LONG_NAME_OCTETS


def invalid_sieve(error: CommandFailed) -> SetError:
    """Return why a script was refused: the server's words, in one line."""
    if error.is_code("QUOTA") or error.is_code("TRYLATER"):
        return refusal(error)
    told = _CONTROL.sub(" ", error.text).strip()[:MAX_DESCRIPTION]
    return SetError("invalidSieve", told or "the mail server does not accept this script")


def as_method_error(error: ManageSieveError) -> MethodError:
    """Translate an upstream fault; the description holds neither the server's text nor a credential."""
    code = f" ({error.code[:40]})" if error.code else ""
    if isinstance(error, AuthenticationFailed):
        return MethodError("serverUnavailable", "the Sieve server does not accept this login at present")
    if isinstance(error, CommandFailed):
        return MethodError("serverFail", f"the Sieve server refused a command{code}")
    return MethodError("serverUnavailable", f"the Sieve server cannot be reached at present{code}")
