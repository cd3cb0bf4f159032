"""What a server says unasked, as values for `Connection.on_unsolicited`.

A FETCH response nobody asked for is delivered as its `Message`; its uid is 0 when the server left UID out (RFC 3501
does not require it there).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.upstream.imap.mailbox import ListEntry, Range, StatusItems
from gateway.upstream.imap.message import Message


class Exists(NamedTuple):
    """The selected mailbox has so many messages now."""

    messages: int


class Expunged(NamedTuple):
    """The message with this sequence number is gone (never sent once QRESYNC is enabled)."""

    sequence_number: int


class Vanished(NamedTuple):
    """These uids are gone (RFC 7162)."""

    uids: Sequence[Range]


class StatusChanged(NamedTuple):
    """A mailbox that need not be selected changed (NOTIFY, RFC 5465)."""

    name: str
    items: StatusItems


class Listed(NamedTuple):
    """A mailbox was created, renamed, (un)subscribed or deleted (NOTIFY; \\nonexistent when it is gone)."""

    entry: ListEntry


class FlagsDefined(NamedTuple):
    """The flags that exist in the selected mailbox changed."""

    flags: tuple[str, ...]


class Notice(NamedTuple):
    """An untagged OK, NO or BAD: ALERT, NOTIFICATIONOVERFLOW, THROTTLED, … `kind` is "OK", "NO", "BAD" or "BYE"."""

    kind: str
    code: str | None
    text: str


Event = Exists | Expunged | Vanished | StatusChanged | Listed | FlagsDefined | Notice | Message
