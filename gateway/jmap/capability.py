"""Capability URIs and the objects that stand behind them in the Session (RFC 8620 section 2, RFC 8621 section 1.3,
RFC 9404 section 3, RFC 9661 section 1.2).

Rule 1: what is advertised is what is enforced; a field of a capability's specification is never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.jmap.limits import Limits

CORE: Final = "urn:ietf:params:jmap:core"  # RFC 8620
MAIL: Final = "urn:ietf:params:jmap:mail"  # RFC 8621
SUBMISSION: Final = "urn:ietf:params:jmap:submission"  # RFC 8621
VACATION_RESPONSE: Final = "urn:ietf:params:jmap:vacationresponse"  # RFC 8621
WEBSOCKET: Final = "urn:ietf:params:jmap:websocket"  # RFC 8887
MDN: Final = "urn:ietf:params:jmap:mdn"  # RFC 9007
SMIME_VERIFY: Final = "urn:ietf:params:jmap:smimeverify"  # RFC 9219
BLOB: Final = "urn:ietf:params:jmap:blob"  # RFC 9404
QUOTA: Final = "urn:ietf:params:jmap:quota"  # RFC 9425
SIEVE: Final = "urn:ietf:params:jmap:sieve"  # RFC 9661
PRINCIPALS: Final = "urn:ietf:params:jmap:principals"  # RFC 9670
MAIL_SHARE: Final = "urn:ietf:params:jmap:mail:share"  # draft-ietf-jmap-mail-sharing-00
PRINCIPALS_OWNER: Final = "urn:ietf:params:jmap:principals:owner"  # RFC 9670
WEBPUSH_VAPID: Final = "urn:ietf:params:jmap:webpush-vapid"  # RFC 9749

COLLATIONS: Final = ("i;ascii-casemap", "i;octet", "i;unicode-casemap")  # RFC 4790, RFC 5051; what a sort really does

# RFC 8621 asks for at least 100. A mailbox of a Maildir server is a directory, and file systems stop at 255 octets.
MAX_SIZE_MAILBOX_NAME: Final = 255
# Of unencoded octets. Base64 adds a third: this becomes a message of 48 MB, about what large providers take.
MAX_SIZE_ATTACHMENTS: Final = 36_000_000
# Of one creation in a Blob/upload. RFC 9404 section 4.1 asks for at least 64; a document edited in a hundred places
# has two hundred.
MAX_DATA_SOURCES: Final = 256
# RFC 9661 section 1.2.1 asks for no less; the upstream has the last word about a name.
MAX_SIZE_SCRIPT_NAME: Final = 512
# What Pigeonhole takes by default, and what is read of a blob to make a script of it; the upstream may take less.
MAX_SIZE_SCRIPT: Final = 1 << 20
BLOB_DIGESTS: Final = ("sha-256", "sha")  # the preferred one first
BLOB_TYPE_NAMES: Final = ("Mailbox", "Thread", "Email")  # what Blob/lookup finds


def core_capability(limits: Limits) -> dict[str, Any]:
    """Return the object of `urn:ietf:params:jmap:core` in the Session's capabilities."""
    return {**limits.capability(), "collationAlgorithms": list(COLLATIONS)}


def blob_account_capability(limits: Limits) -> dict[str, Any]:
    """Return the object of `urn:ietf:params:jmap:blob` in an account's accountCapabilities (RFC 9404 section 3.1)."""
    return {
        "maxSizeBlobSet": limits.max_size_upload,
        "maxDataSources": MAX_DATA_SOURCES,
        "supportedTypeNames": list(BLOB_TYPE_NAMES),
        "supportedDigestAlgorithms": list(BLOB_DIGESTS),
    }


def submission_account_capability(max_delayed_send_s: int, extensions: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the object of `urn:ietf:params:jmap:submission` in an account's accountCapabilities (RFC 8621 section
    1.3.2).
    """
    return {"maxDelayedSend": max_delayed_send_s, "submissionExtensions": dict(extensions)}


def mail_account_capability(
    *,
    email_sort_options: Iterable[str],
    max_mailboxes_per_email: int | None = None,
    max_mailbox_depth: int | None = None,
    max_size_mailbox_name: int = MAX_SIZE_MAILBOX_NAME,
    max_size_attachments: int = MAX_SIZE_ATTACHMENTS,
    may_create_top_level_mailbox: bool = True,
) -> dict[str, Any]:
    """Return the object of `urn:ietf:params:jmap:mail` in an account's accountCapabilities (RFC 8621 section 1.3.1).

    The `email_sort_options` are `objects.email.EMAIL.sort_properties`.
    """
    if max_size_mailbox_name < 100:
        raise ValueError("maxSizeMailboxName must be at least 100 (RFC 8621 section 1.3.1)")
    return {
        "maxMailboxesPerEmail": max_mailboxes_per_email,
        "maxMailboxDepth": max_mailbox_depth,
        "maxSizeMailboxName": max_size_mailbox_name,
        "maxSizeAttachmentsPerEmail": max_size_attachments,
        "emailQuerySortOptions": sorted(email_sort_options),
        "mayCreateTopLevelMailbox": may_create_top_level_mailbox,
    }


def sieve_account_capability(
    *,
    extensions: Sequence[str],
    notification_methods: Sequence[str] | None,
    external_lists: Sequence[str] | None,
    max_redirects: int | None,
) -> dict[str, Any]:
    """Return the object of `urn:ietf:params:jmap:sieve` in an account's accountCapabilities (RFC 9661 section 1.2.1).

    How many scripts there may be, no ManageSieve server tells beforehand.
    """
    return {
        "maxSizeScriptName": MAX_SIZE_SCRIPT_NAME,
        "maxSizeScript": MAX_SIZE_SCRIPT,
        "maxNumberScripts": None,
        "maxNumberRedirects": max_redirects,
        "sieveExtensions": list(extensions),
        "notificationMethods": None if notification_methods is None else list(notification_methods),
        "externalLists": None if external_lists is None else list(external_lists),
    }
