"""Courier's imapd on loopback, behind our own login front (no TLS, no LMTP).

No CONDSTORE, MOVE, ESEARCH, LIST-STATUS or SPECIAL-USE; mailboxes are under `INBOX.`. Its STATUS answers unknown items
with OK and nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.upstreams.debian import CACHE, library_path
from tests.upstreams.place import Place
from tests.upstreams.upstream import PASSWORD, SPECIAL_USE, USERS, Upstream

CAPABILITY = (
    "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE ACL ACL2=UNION"
)
SHARED_INDEX = "shared-index"
REPOSITORY = Path(__file__).resolve().parents[2]


def start(place: Place, *, shares: bool = False) -> Upstream:
    """Start the front; each connection becomes a real imapd. With `shares` an ACL shows a mailbox under `#shared.`."""
    home, port = place.make("home"), place.port("imap")
    front: list[str | Path] = [sys.executable, "-m", "tests.upstreams.imapfront", "--port", str(port), "--home", home]
    settings = ["--password", PASSWORD, "--capability", CAPABILITY, "--user", place.owner.pw_name]
    if shares:
        settings += ["--shared-index", str(place.write(SHARED_INDEX, ""))]
    environment = {
        "LD_LIBRARY_PATH": library_path("courier"),
        "PYTHONPATH": str(REPOSITORY),
        "GAM_CLIENT_ID": str(port),
    }
    _start_monitor(place, str(port))
    place.spawn("courier", [*front, *settings, "--", CACHE / "courier/usr/bin/imapd", "Maildir"], environment)
    for login in USERS:
        make_account(place, login)
    place.wait_for_ports("imap")
    return Upstream(
        kind="courier",
        place=place,
        ca_file=None,
        separator=".",
        prefix="INBOX.",
        maildir=f"{place.dir}/home/USER/Maildir",
        prepare=lambda login: make_account(place, login),
    )


def _start_monitor(place: Place, client_id: str) -> None:
    """Start the file monitor that imapd asks at each login and SELECT, and by which it waits for another's lock.

    Without it imapd takes 1.2 s for each, and spins for two minutes when two of them want the same mailbox.
    """
    owner = place.owner
    become = (
        ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"] if os.geteuid() == 0 else []
    )
    place.spawn("gamin", [*become, CACHE / "courier/usr/libexec/gam_server", "--notimeout", client_id])


def make_account(place: Place, login: str) -> None:
    """Make an empty maildir with the usual mailboxes, subscribed, and name it where shares are looked up."""
    root = place.make(f"home/{login}/Maildir")
    place.give(root.parent)
    for name in ("", *(f".{name}" for name in SPECIAL_USE)):
        mailbox = place.make(f"home/{login}/Maildir/{name}")
        for sub in ("cur", "new", "tmp"):
            place.make(f"home/{login}/Maildir/{name}/{sub}")
        if name:
            (mailbox / "maildirfolder").touch()
            place.give(mailbox / "maildirfolder")
    subscribed = root / "courierimapsubscribed"
    subscribed.write_text("".join(f"{name}\n" for name in ("INBOX", *(f"INBOX.{name}" for name in SPECIAL_USE))))
    place.give(subscribed)
    index = place.dir / SHARED_INDEX
    if index.exists():
        row = (login, place.owner.pw_uid, place.owner.pw_gid, root.parent, "Maildir")
        with index.open("a") as lines:
            lines.write("\t".join(map(str, row)) + "\n")
