"""Which FETCH responses answer a command about messages; shared by FETCH and STORE. No I/O.

Rule 1: a response answers only a command that named its uid; a set with `*` also takes what no other command claims,
    for `n:*` names the last message even when n is past it (RFC 9051 section 9, seq-range).
Rule 2: a response with nothing but flags answers only a command that asked for nothing but flags: servers send those
    unasked too.
Rule 3: two commands whose answers look alike never fly together. The tagged OK does not part them: Dovecot answers
    pipelined FETCHes one after another and completes them together.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, TypeVar

from gateway.upstream.imap import uidset
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.mailbox import Range
from gateway.upstream.imap.message import Has, Message

T = TypeVar("T")

_VOLATILE = int(Has.UID | Has.FLAGS | Has.MODSEQ)  # what a server also sends unasked
_UID = int(Has.UID)


class MessageCommand(Command[T]):
    """A command that names uids."""

    takes_messages = True
    section: str | None = None  # it waits for this section of the message and nothing else

    def __init__(self, uids: str, *, only_flags: bool) -> None:
        self._uids = uids
        self._only_flags = only_flags
        try:
            self._ranges = uidset.parse(uids.replace("*", str(uidset.MAX_UID)))
        except ValueError:  # "$" (SEARCHRES): any uid may be meant
            self._ranges = [(1, uidset.MAX_UID)]
        self._last = self._ranges[0] if self._ranges else (1, 0)  # the range of the last answer: most likely the next's
        self.takes_strays = "*" in uids

    def covers(self, message: Message) -> bool:
        has = message.has
        if not has & _UID or (not has & ~_VOLATILE) is not self._only_flags:
            return False
        return self.names(message.uid)

    def names(self, uid: int) -> bool:
        """Tell whether the uid is one of those that the command asked about."""
        if self._last[0] <= uid <= self._last[1]:
            return True
        at = bisect_right(self._ranges, (uid, uidset.MAX_UID)) - 1
        if at < 0 or self._ranges[at][1] < uid:
            return False
        self._last = self._ranges[at]
        return True

    def takes_stray(self, message: Message) -> bool:
        return self.takes_strays and (not message.has & ~_VOLATILE) is self._only_flags and bool(message.has & _UID)

    def conflicts(self, other: Command[Any]) -> bool:
        if not isinstance(other, MessageCommand):
            return super().conflicts(other)
        if self._only_flags is not other._only_flags:
            return False
        if self.section is not None and other.section is not None and self.section != other.section:
            return False
        return self.takes_strays or other.takes_strays or _overlap(self._ranges, other._ranges)


def _overlap(left: list[Range], right: list[Range]) -> bool:
    at = 0
    for first, last in left:
        while at < len(right) and right[at][1] < first:
            at += 1
        if at < len(right) and right[at][0] <= last:
            return True
    return False
