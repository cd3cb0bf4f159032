"""Every key in Redis: what is kept under it, and in which slot of a Redis Cluster.

Rule 1: a key is made here and nowhere else, and begins with the version of the layout.
Rule 2: all keys of an account carry the hash tag `{account id}`, so that one script can change them together. What is
        of the gateway as a whole is in a few slots of its own.
Rule 3: an account's keys are user state, which stays until it is taken away, or derived, which expires.
"""

from __future__ import annotations

VERSION = "jmap1"

NODES = f"{VERSION}:{{nodes}}:alive"  # sorted set: id of a node -> until when it is there, ms
NODE_URLS = f"{VERSION}:{{nodes}}:urls"  # hash: id of a node -> URL
NODE_ACCOUNTS = f"{VERSION}:{{nodes}}:accounts"  # hash: id of a node -> how many it owns, if it takes any
RANDOM_KEYS = f"{VERSION}:{{keys}}:random"  # hash: name -> 32 octets
FACTS = f"{VERSION}:{{facts}}:facts"  # hash: name -> what was learnt of a server


def names(kind: str) -> str:
    """Hash: account that may have something of a kind -> mark of its last writing."""
    return f"{VERSION}:{{names}}:{kind}"


def _of(account_id: str, name: str) -> str:
    return f"{VERSION}:{{{account_id}}}:{name}"


def lease(account_id: str) -> str:
    """Hash: node, url, token."""
    return _of(account_id, "lease")


def signals(account_id: str) -> str:
    """The channel of what is published of an account."""
    return _of(account_id, "signals")


# ---------------------------------------------------------------- user state


def push(account_id: str) -> str:
    """Hash: id of a push subscription -> record."""
    return _of(account_id, "push")


def push_positions(account_id: str) -> str:
    """Hash: id of a push subscription -> how far it has been told."""
    return _of(account_id, "push-positions")


def sealed(account_id: str) -> str:
    """Hash: field -> what is sealed."""
    return _of(account_id, "sealed")


def sort_orders(account_id: str) -> str:
    """Hash: path of a mailbox -> number."""
    return _of(account_id, "sort-orders")


def record_states(account_id: str) -> str:
    """Hash: "seq", and of each type "seq mark"."""
    return _of(account_id, "record-states")


def records(account_id: str, type: str) -> str:
    """Hash: id -> octets."""
    return _of(account_id, f"records:{type}")


def record_journal(account_id: str, type: str) -> str:
    """Hash: id -> "changed created first gone" of records and tombstones."""
    return _of(account_id, f"record-journal:{type}")


def record_writes(account_id: str, type: str) -> str:
    """Sorted set: "seq mark time" by seq."""
    return _of(account_id, f"record-writes:{type}")


def record_tombstones(account_id: str, type: str) -> str:
    """Sorted set: id by the seq it was destroyed with."""
    return _of(account_id, f"record-tombstones:{type}")


def uploads(account_id: str) -> str:
    """Hash: digest -> record of an upload."""
    return _of(account_id, "uploads")


def upload(account_id: str, digest: str) -> str:
    """The octets of an upload. They expire by themselves."""
    return _of(account_id, f"upload:{digest}")


def incoming(account_id: str, name: str) -> str:
    """The octets of an upload that is not complete. They expire by themselves."""
    return _of(account_id, f"incoming:{name}")


def outgoing(account_id: str, id: str) -> str:
    """The octets of a message that waits to be sent. They go when it was sent, or expire."""
    return _of(account_id, f"outgoing:{id}")


# ---------------------------------------------------------------- derived


def proofs(account_id: str) -> str:
    """Sorted set: keyed hash of a login that the upstream has taken -> until when it is believed, ms."""
    return _of(account_id, "proofs")


def mirror_head(account_id: str) -> str:
    """Hash: how far the mirror goes, and what its snapshot is of."""
    return _of(account_id, "mirror")


def mirror_log(account_id: str) -> str:
    """Stream: entries, by their step."""
    return _of(account_id, "mirror-log")


def mirror_snapshot(account_id: str) -> str:
    """List: the parts of the snapshot."""
    return _of(account_id, "mirror-snapshot")


def mirror_snapshot_new(account_id: str, token: int) -> str:
    """List: the parts of the snapshot that is being written."""
    return _of(account_id, f"mirror-snapshot-new:{token}")
