"""Synthetic mail is the same for the same seed, and as many as asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.upstreams.seed.bodies import SHAPES, Bodies
from tests.upstreams.seed.mailbox import Mailboxes
from tests.upstreams.seed.maildir import utf7, write_maildir
from tests.upstreams.seed.malformed import MALFORMED


def test_the_same_seed_gives_the_same_messages() -> None:
    """Two runs agree octet for octet; another seed differs."""
    first, again = (list(Mailboxes(count=50).messages()) for _ in range(2))
    assert first == again
    assert first != list(Mailboxes(count=50, seed=2).messages())


def test_every_shape_and_every_breakage_can_be_made() -> None:
    """Each table entry yields a message that ends its header."""
    bodies = Bodies(1)
    head = bodies.headers("subject", None, ["<a@example.com>"], 1_700_000_000)
    for shape in SHAPES:
        assert b"\r\n\r\n" in shape(bodies)
    for name, break_it in MALFORMED.items():
        assert break_it(bodies, head), name


def test_a_maildir_holds_as_many_files_as_messages(tmp_path: Path) -> None:
    """Nothing is lost to equal names, and mailbox names are in modified UTF-7."""
    write_maildir(tmp_path, Mailboxes(count=300).messages())
    counts = Counter(path.parent.parent.name for path in tmp_path.rglob("cur/*"))
    assert counts.total() == 300
    assert utf7("日本語/会議") == "&ZeVnLIqe-/&TxqLcA-"
    assert utf7("a & b") == "a &- b"
