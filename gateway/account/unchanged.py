"""Whether what a client knew at a state is still so, for `ifInState` (RFC 8620 section 5.3).

A first indexing goes on while the client already works: what it finds was in the store all along, but it is new to the
index, so it moves the states that /changes has to start from. A client that signs in, gets a list and changes an email
would be refused for no change of anybody's.

Rule 1: a state holds until something that was known then has changed or gone, or until mail was delivered since.
Rule 2: in doubt it does not hold: an email of which a first indexing finds a second place has changed.
"""

from __future__ import annotations

from gateway.account.journal import StateType
from gateway.account.snapshot import Snapshot
from gateway.jmap.errors import MethodError

_KNOWN_EMAIL = "SELECT 1 FROM email WHERE is_visible AND updated_seq > :seq AND created_seq <= :seq"
_GONE_EMAIL = "SELECT 1 FROM tombstone WHERE type = 'Email' AND seq > :seq AND first_seq <= :seq"
_MAILBOX = "SELECT 1 FROM mailbox WHERE facts_seq > :seq"
_GONE_MAILBOX = "SELECT 1 FROM tombstone WHERE type = 'Mailbox' AND seq > :seq"
_EMAILS = f"SELECT EXISTS ({_KNOWN_EMAIL}) OR EXISTS ({_GONE_EMAIL})"
_MAILBOXES = f"SELECT EXISTS ({_MAILBOX}) OR EXISTS ({_GONE_MAILBOX})"


def holds(snapshot: Snapshot, type: StateType, state: str) -> bool:
    """Tell whether a state is the present one, but for what a first indexing has found since."""
    journal = snapshot.journal
    try:
        position = journal.parse(type, state)
    except MethodError:
        return False
    if not position.is_whole or journal.seqs["EmailDelivery"] > position.seq:
        return False
    texts = [_EMAILS, _MAILBOXES] if type == "Mailbox" else [_EMAILS]
    return not any(snapshot.connection.execute(text, {"seq": position.seq}).fetchone()[0] for text in texts)
