"""Oddities of servers that are met and survived: each with a name, the server, and its words.

A quirk is seen where the odd octets are; `Quirks.see` counts it once per connection and tells the observer. What
somebody can act on is asked by name: `"status-without-items" in connection.quirks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

KNOWN: Final[dict[str, str]] = {
    # Courier 5.0 answers STATUS of an item it does not know with OK:
    #   * STATUS "INBOX.probe" ()
    "status-without-items": "STATUS left out what was asked for, and said OK",
    # Courier 5.0: a1 LIST "" "*" RETURN (SPECIAL-USE) -> NO Error in IMAP command received by server.
    "no-list-return": "LIST … RETURN was refused although it was offered",
    # Courier 5.0: a1 UID FETCH 1 (UID X-GUID) -> NO Error in IMAP command received by server.
    "no-for-syntax": "NO where BAD is meant",
    # Courier 5.0 with nothing to enable:  * ENABLED
    "enabled-nothing": "ENABLE was answered, with nothing enabled",
    # Courier 5.0's SELECT tells UIDVALIDITY and no UIDNEXT.
    "no-uidnext": "SELECT told no UIDNEXT",
    #   * NAMESPACE (("" NIL)) NIL NIL
    "flat-namespace": "NAMESPACE with a NIL delimiter: there is no hierarchy",
    # Courier 5.0, where  #shared.bob  is the INBOX of bob:
    #   * NAMESPACE (("INBOX." ".")) NIL (("#shared." ".")("shared." "."))
    "users-among-shared": "NAMESPACE told other users' mailboxes as shared ones",
    # RFC 3501 allows  * 2 FETCH (FLAGS (\Seen))  unasked; Courier and Exchange do it.
    "fetch-without-uid": "a FETCH response without its UID",
    # Gmail, Exchange: a mailbox named  A&B  as raw octets, not  A&-B.
    "odd-mailbox-name": "a mailbox name that is no modified UTF-7",
    # Cyrus 3.6 after a non-synchronizing literal it refused:  * BAD Invalid tag
    "untagged-bad": "an untagged BAD",
    "malformed-response": "a response that could not be read; it was skipped",
    "stray-tag": "a tagged response that no command waits for",
    "stray-continuation": "a continuation request that no command waits for",
}


class Quirks:
    """Which oddities this connection's server has shown."""

    __slots__ = ("_on_seen", "_seen")

    def __init__(self, on_seen: Callable[[str], None] | None = None) -> None:
        self._seen: set[str] = set()
        self._on_seen = on_seen

    def see(self, name: str) -> None:
        """Note a quirk; `name` is a key of KNOWN."""
        if name not in KNOWN:
            raise KeyError(name)
        if name not in self._seen:
            self._seen.add(name)
            if self._on_seen is not None:
                self._on_seen(name)

    def __contains__(self, name: str) -> bool:
        return name in self._seen

    def __repr__(self) -> str:
        return f"Quirks({', '.join(sorted(self._seen))})"
