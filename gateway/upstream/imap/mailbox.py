"""What is known of mailboxes: a line of LIST, and the state of the selected one. Values, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.upstream.imap.message import Message

Range = tuple[int, int]  # inclusive
StatusItems = dict[str, int | str]  # "MESSAGES" -> 14; "MAILBOXID", "X-GUID" -> text; an item not told is absent


@dataclass(slots=True)
class ListEntry:
    """One mailbox of a LIST answer (RFC 9051 section 7.3.1)."""

    name: str  # Unicode, the full path; "INBOX" always in capitals
    delimiter: str | None
    attributes: frozenset[str]  # lower case with the backslash: "\\noselect", "\\sent", "\\subscribed"
    status: StatusItems | None = None  # where STATUS was asked for and given (RFC 5819)
    rights: str | None = None  # where MYRIGHTS was asked for and given (RFC 8440)
    old_name: str | None = None  # OLDNAME: it was renamed from this (RFC 5465 section 5.2)

    @property
    def is_selectable(self) -> bool:
        """False for a name that only has children, or that is subscribed to but gone."""
        return not self.attributes & {"\\noselect", "\\nonexistent"}


@dataclass(slots=True)
class Selected:
    """The selected mailbox, kept current by every response that follows (EXISTS, EXPUNGE, VANISHED, FLAGS, codes)."""

    name: str
    read_only: bool = True
    exists: int = 0
    uidvalidity: int | None = None  # None: the server did not say
    uidnext: int | None = None  # None: the server did not say (Courier)
    highestmodseq: int = 0  # 0: NOMODSEQ, or not said
    flags: tuple[str, ...] = ()
    permanent_flags: tuple[str, ...] | None = None  # None: not said, which means all flags are (RFC 3501 7.1)
    mailbox_id: str | None = None  # OBJECTID
    my_rights: str | None = None  # Courier says it in a response code
    # What SELECT (QRESYNC …) told: nothing later is added here.
    vanished: list[Range] = field(default_factory=list)
    fetched: list[Message] = field(default_factory=list)

    def can_store(self, flag: str) -> bool:
        """Tell whether a flag or keyword would be kept (PERMANENTFLAGS, RFC 9051 section 7.1)."""
        if self.permanent_flags is None or (not flag.startswith("\\") and "\\*" in self.permanent_flags):
            return True
        return flag.lower() in {known.lower() for known in self.permanent_flags}


class Namespace(NamedTuple):
    """One prefix of NAMESPACE (RFC 2342)."""

    prefix: str
    delimiter: str | None


@dataclass(frozen=True, slots=True)
class Namespaces:
    """All three kinds; empty where the server has none or does not say."""

    personal: Sequence[Namespace] = ()
    others: Sequence[Namespace] = ()
    shared: Sequence[Namespace] = ()
