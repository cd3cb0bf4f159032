"""What crosses the border of the account index: batches going in, rows coming out. Values only.

Ids are JMAP ids. A mailbox's `uid`s are the upstream's; they never reach a client. Times are whole seconds since 1970
(UTC), sizes octets. A location is one (mailbox, uid); an Email is at one or many (DESIGN: location is many to one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.message.part import Part
from gateway.message.summary import Summary

# ---------------------------------------------------------------- into the index


@dataclass(frozen=True, slots=True)
class MailboxFacts:
    """One mailbox as the upstream lists it, already in JMAP's terms (RFC 8621 section 2)."""

    id: str
    path: str  # the upstream's own full name, decoded to Unicode; unique in the account
    name: str  # the last level, as JMAP shows it
    parent_id: str | None
    role: str | None
    is_subscribed: bool = True
    sort_order: int = 0
    rights: frozenset[str] = frozenset()  # names of MailboxRights that are true
    is_selectable: bool = True
    # Whom it is shared with, by the upstream's name, and the rights (names of MailboxRights); empty where not known.
    shares: tuple[tuple[str, tuple[str, ...]], ...] = ()
    # Counts by the upstream's own word, shown until the mailbox is indexed; None where not told.
    total_emails: int | None = None
    unread_emails: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a mailbox has been read: what the next resync starts from (RFC 7162). 0: not known."""

    uidvalidity: int
    uidnext: int = 0
    highestmodseq: int = 0
    exists: int = 0
    is_indexed: bool = False  # its first indexing is complete


class NewMessage(NamedTuple):
    """One location that was not in the index."""

    uid: int
    flags: tuple[str, ...]  # IMAP flags as sent
    modseq: int  # 0: not known
    received_at_s: int  # INTERNALDATE
    size_octets: int
    email_id: str
    # The Thread as the upstream tells it (THREADID, X-GM-THRID); with `links`, the one that the email would found
    # (`threads.thread_key`); None: the index reads the header.
    thread_id: str | None
    header: bytes  # the raw header fields that a Summary is made of; a wider block will do
    links: Sequence[int] | None = None  # of `threads.thread_key`, where it is made already


class FlagChange(NamedTuple):
    """All flags of one location, as they are now."""

    uid: int
    flags: tuple[str, ...]
    modseq: int


@dataclass(frozen=True, slots=True)
class MailboxDelta:
    """What one sweep found in one mailbox."""

    mailbox_id: str
    arrived: Sequence[NewMessage] = ()
    flagged: Sequence[FlagChange] = ()  # an unknown uid is ignored: it arrives in a later sweep
    vanished: Sequence[tuple[int, int]] = ()  # inclusive ranges of uids
    mark: Mark | None = None  # replaces the old one
    # A new UIDVALIDITY. Before `arrived`: the present locations go to the shelf (their uids are void, the emails stay
    # visible). `clears_shelf`, after `arrived`: what is still on the shelf vanishes. May be different batches.
    shelves: bool = False
    clears_shelf: bool = False


@dataclass(frozen=True, slots=True)
class EmailDetail:
    """What a list view wants beyond the header: read from the upstream later, in bulk, and kept."""

    email_id: str
    preview: str
    structure: Part
    has_attachment: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """One step of the account's history: it takes the next `seq` and is seen whole or not at all.

    Additions of all mailboxes are applied first, then flags, then removals, so that a move is an update.
    """

    mailboxes: Sequence[MailboxFacts] | None = None  # the whole tree as it is now; None: unchanged
    deltas: Sequence[MailboxDelta] = ()
    details: Sequence[EmailDetail] = ()  # no client-visible change: takes no seq on its own
    digests: Sequence[int] = ()  # internal keys of emails to digest (`digest`): nothing that a client can see
    is_bulk: bool = False  # a window of a first indexing: counts are brought up to date by the last, non-bulk batch


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch changed, for push: the new state of each type it touched."""

    seq: int
    states: Mapping[str, str] = field(default_factory=dict)  # "Email" -> "<epoch>-<seq>"


# ---------------------------------------------------------------- out of the index


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """A mailbox with its maintained counts and its sync mark."""

    facts: MailboxFacts
    total_emails: int
    unread_emails: int
    total_threads: int
    unread_threads: int
    mark: Mark | None


class Location(NamedTuple):
    mailbox_id: str
    uid: int  # negative: on the shelf, cannot be fetched


@dataclass(frozen=True, slots=True)
class EmailRow:
    """An Email without its body. `preview`, `structure`, `has_attachment` are None until details are loaded."""

    id: str
    thread_id: str
    mailbox_ids: tuple[str, ...]
    keywords: tuple[str, ...]  # JMAP keywords, sorted
    size_octets: int
    received_at_s: int
    summary: Summary
    preview: str | None
    has_attachment: bool | None
    structure: Part | None  # loaded only when asked for


class EmailMarks(NamedTuple):
    """What of an Email can change, and when it came."""

    id: str
    mailbox_ids: tuple[str, ...]
    keywords: tuple[str, ...]  # JMAP keywords, sorted
    received_at_s: int


@dataclass(frozen=True, slots=True)
class Changes:
    """The answer to /changes (RFC 8620 section 5.2)."""

    old_state: str
    new_state: str
    has_more: bool
    created: Sequence[str]
    updated: Sequence[str]
    destroyed: Sequence[str]
    updated_properties: Sequence[str] | None = None  # Mailbox only (RFC 8621 section 2.2)


@dataclass(frozen=True, slots=True)
class TextCriterion:
    """A leaf of a filter that only the upstream's text search can decide."""

    kind: str  # "text" | "body" | "header"
    words: tuple[str, ...]  # each must occur; a phrase is one word
    header: str | None = None  # kind "header": the field's name; empty words: the field exists


@dataclass(frozen=True, slots=True)
class Need:
    """What a request must find up to date; the rest may wait its turn."""

    tree: bool = True  # the mailboxes and, where known, their counts
    known: bool = False  # plus: every mailbox that is indexed already is resynced
    mailbox_ids: frozenset[str] = frozenset()  # plus: these are indexed
    everything: bool = False  # plus: all mailboxes are indexed
