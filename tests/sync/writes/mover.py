"""A gateway to be killed: it indexes an account, says so, and moves all of one mailbox to another.

python -m tests.sync.writes.mover HOST PORT LOGIN PASSWORD INDEX FROM TO
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.account.account import Account
from gateway.account.backend import EmailChange
from gateway.account.records import Need
from gateway.secret import Secret
from gateway.sync.imap_backend import ImapBackend
from gateway.upstream.imap import Endpoint, PasswordCredentials, Pool
from tests.fakes.uploads import NoUploads


async def main(host: str, port: str, login: str, password: str, index: str, from_box: str, to_box: str) -> None:
    credentials = PasswordCredentials(login, Secret(password))

    async def current() -> PasswordCredentials:
        return credentials

    def backend(account: Account) -> ImapBackend:
        return ImapBackend(account, Pool(Endpoint(host, int(port), "none"), current), max_staleness_s=0)

    account = Account(id="A1", name=login, login=login, path=Path(index), make_backend=backend, uploads=NoUploads())
    await account.open()
    await account.fresh(Need(known=True, everything=True))
    with account.snapshot() as snapshot:
        boxes = {row.facts.path: row.facts.id for row in snapshot.mailboxes()}
        source, target = boxes[from_box], boxes[to_box]
        ids = [row.id for row in snapshot.emails(snapshot.email_ids(10_000)).values() if source in row.mailbox_ids]
    print("moving", flush=True)
    await account.backend.change_emails(
        [
            EmailChange(email_id=id, add_mailboxes=frozenset({target}), remove_mailboxes=frozenset({source}))
            for id in ids
        ]
    )
    await account.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
