"""python -m tests.upstreams.seed DIR [-n N] [--seed S] [--only-inbox]: write a maildir of synthetic mail."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.upstreams.seed.mailbox import Mailboxes
from tests.upstreams.seed.maildir import write_maildir

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("dir", type=Path)
parser.add_argument("-n", type=int, default=1000)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--only-inbox", action="store_true")
chosen = parser.parse_args()
write_maildir(chosen.dir, Mailboxes(count=chosen.n, seed=chosen.seed, only_inbox=chosen.only_inbox).messages())
