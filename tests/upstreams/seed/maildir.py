"""Seeded messages as a Maildir++ tree, written straight to disk: far faster than any protocol."""

from __future__ import annotations

import base64
import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path

from tests.upstreams.seed.mailbox import KEYWORDS, SeedMessage

LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S"} | {
    keyword: chr(ord("a") + number) for number, keyword in enumerate(KEYWORDS)
}


def write_maildir(root: Path, messages: Iterable[SeedMessage], owner: pwd.struct_passwd | None = None) -> None:
    """Write messages, those that arrived first with the lowest UIDs: Dovecot numbers files by name.

    The file names carry S= and W= (sizes), as files that Dovecot writes do.
    """
    made: dict[str, Path] = {}
    for number, message in enumerate(messages):
        if message.mailbox not in made:
            made[message.mailbox] = _make_mailbox(root, message.mailbox)
        octets = message.octets.replace(b"\r\n", b"\n")
        wire_size = len(octets) + octets.count(b"\n")
        letters = "".join(sorted(LETTERS[flag] for flag in message.flags))
        name = f"{message.when_s}.M{number}P1.seed,S={len(octets)},W={wire_size}:2,{letters}"
        path = made[message.mailbox] / "cur" / name
        path.write_bytes(octets)
        os.utime(path, (message.when_s, message.when_s))
    names = sorted(utf7(mailbox.replace("/", ".")) for mailbox in made if mailbox != "INBOX")
    if names:
        (root / "subscriptions").write_text("V\t2\n\n" + "".join(name.replace(".", "\t") + "\n" for name in names))
    if owner is not None:
        for directory, _, files in os.walk(root):
            for name in (".", *files):
                os.chown(os.path.join(directory, name), owner.pw_uid, owner.pw_gid)


def _make_mailbox(root: Path, mailbox: str) -> Path:
    path = root if mailbox == "INBOX" else root / ("." + utf7(mailbox.replace("/", ".")))
    for sub in ("cur", "new", "tmp"):
        (path / sub).mkdir(parents=True, exist_ok=True)
    if path != root:
        (path / "maildirfolder").touch()
    keywords = "".join(f"{number} {keyword}\n" for number, keyword in enumerate(KEYWORDS))
    (path / "dovecot-keywords").write_text(keywords)
    return path


def utf7(name: str) -> str:
    """Modified UTF-7 (RFC 3501 section 5.1.3), written apart from the gateway's own on purpose."""

    def encode(found: re.Match[str]) -> str:
        return "&" + base64.b64encode(found[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"

    return re.sub(r"[^ -~]+", encode, name.replace("&", "&-"))
