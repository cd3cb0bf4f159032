"""A batch as an entry of the mirror's log: what is needed to apply it again, elsewhere, with the same result.

Rule 1: applying is a function of the index and the entry: the time, the next free keys and whether old tombstones are
swept stand in it, for the writer takes those from elsewhere.
Rule 2: what can be read from the upstream again and moves no state is left out: details and digests.
Rule 3: an entry of another format is `Foreign`: it is not guessed at.
"""

from __future__ import annotations

import zlib
from dataclasses import fields
from typing import Any, NamedTuple

import msgpack

from gateway.account.arrivals import Numbers
from gateway.account.records import Batch, FlagChange, MailboxDelta, MailboxFacts, Mark, NewMessage
from gateway.account.schema import SCHEMA

_FACTS = tuple(field.name for field in fields(MailboxFacts))
FORMAT = f"1.{SCHEMA}.{len(_FACTS)}"
COMPRESSED_FROM_OCTETS = 512  # a change of flags is smaller, and gains nothing
ZLIB_LEVEL = 1  # a snapshot follows, which is compressed better
_PLAIN, _ZLIB = b"p", b"z"


class Foreign(ValueError):
    """What was loaded was written by another version, or is damaged."""


class Entry(NamedTuple):
    """A batch that was applied, and what it was applied with."""

    batch: Batch
    seq: int  # of the account after it
    now_s: int
    sweeps: bool
    next_email: int  # internal keys that were free before it
    next_thread: int

    @property
    def numbers(self) -> Numbers:
        return Numbers(self.next_email, self.next_thread)


def pack_entry(entry: Entry) -> bytes:
    batch = entry.batch
    values = [
        FORMAT,
        *entry[1:],
        None if batch.mailboxes is None else [_facts_values(facts) for facts in batch.mailboxes],
        [_delta_values(delta) for delta in batch.deltas],
        batch.is_bulk,
    ]
    octets: bytes = msgpack.packb(values, unicode_errors="surrogatepass")
    if len(octets) < COMPRESSED_FROM_OCTETS:
        return _PLAIN + octets
    return _ZLIB + zlib.compress(octets, ZLIB_LEVEL)


def unpack_entry(octets: bytes) -> Entry:
    """Return the entry that `pack_entry` was given. Raise `Foreign`."""
    try:
        packed = zlib.decompress(octets[1:]) if octets[:1] == _ZLIB else octets[1:]
        format, seq, now_s, sweeps, next_email, next_thread, facts, deltas, is_bulk = msgpack.unpackb(
            packed, use_list=False, unicode_errors="surrogatepass", strict_map_key=False
        )
        if format != FORMAT:
            raise Foreign(f"an entry of format {format}")
        batch = Batch(
            mailboxes=None if facts is None else [_facts(values) for values in facts],
            deltas=[_delta(values) for values in deltas],
            is_bulk=is_bulk,
        )
    except (ValueError, TypeError, zlib.error, msgpack.exceptions.UnpackException) as error:
        raise Foreign("an entry that cannot be read") from error
    return Entry(batch, seq, now_s, sweeps, next_email, next_thread)


def _facts_values(facts: MailboxFacts) -> list[Any]:
    return [sorted(facts.rights) if name == "rights" else getattr(facts, name) for name in _FACTS]


def _facts(values: tuple[Any, ...]) -> MailboxFacts:
    named = dict(zip(_FACTS, values, strict=True))
    return MailboxFacts(**{**named, "rights": frozenset(named["rights"])})


def _delta_values(delta: MailboxDelta) -> list[Any]:
    mark = delta.mark
    return [
        delta.mailbox_id,
        [list(message) for message in delta.arrived],
        [list(change) for change in delta.flagged],
        [list(span) for span in delta.vanished],
        None if mark is None else [mark.uidvalidity, mark.uidnext, mark.highestmodseq, mark.exists, mark.is_indexed],
        delta.shelves,
        delta.clears_shelf,
    ]


def _delta(values: tuple[Any, ...]) -> MailboxDelta:
    mailbox_id, arrived, flagged, vanished, mark, shelves, clears_shelf = values
    return MailboxDelta(
        mailbox_id,
        [NewMessage(*message) for message in arrived],
        [FlagChange(*change) for change in flagged],
        [(low, high) for low, high in vanished],
        None if mark is None else Mark(*mark),
        shelves,
        clears_shelf,
    )
