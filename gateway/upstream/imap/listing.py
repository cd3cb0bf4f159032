"""The mailboxes of a login with their counters, in as few round trips as the server allows.

Rule 1: only what the capabilities offer is sent: a server may refuse a whole LIST for one item it does not know.
Rule 2: a mailbox that refuses STATUS costs itself, not the list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.upstream.imap.commands.list import ListMailboxes
from gateway.upstream.imap.errors import CommandFailed
from gateway.upstream.imap.mailbox import ListEntry

if TYPE_CHECKING:
    from gateway.upstream.imap.connection import Connection

MAX_STATUS_AT_ONCE = 256  # tasks that wait for STATUS where there is no LIST-STATUS

_RETURNS: Final = {
    "SPECIAL-USE": "SPECIAL-USE",
    "SUBSCRIBED": "LIST-EXTENDED",
    "CHILDREN": "LIST-EXTENDED",
    "MYRIGHTS": "LIST-MYRIGHTS",
}
# STATUS items that are sent only where this is offered; all others always.
_STATUS_ITEMS: Final = {
    "HIGHESTMODSEQ": "CONDSTORE",
    "MAILBOXID": "OBJECTID",
    "SIZE": "STATUS=SIZE",
    "X-GUID": "X-GUID",
}


async def list_mailboxes(
    connection: Connection, reference: str, pattern: str, *, returns: Sequence[str], status: Sequence[str]
) -> list[ListEntry]:
    """See `Connection.list_mailboxes`."""
    offered = connection.capabilities
    is_rev2 = "IMAP4REV2" in offered
    is_extended = (is_rev2 or "LIST-EXTENDED" in offered) and "no-list-return" not in connection.quirks
    options = [name for name in returns if is_extended and (_RETURNS.get(name) in offered or is_rev2)]
    items = status_items(connection, status)
    is_status_told = is_extended and (is_rev2 or "LIST-STATUS" in offered)
    if items and is_status_told:
        options.append(f"STATUS ({' '.join(items)})")
    try:
        entries = await connection.run(ListMailboxes(reference, pattern, options=options))
    except CommandFailed:
        if not options:
            raise
        connection.quirks.see("no-list-return")
        return await list_mailboxes(connection, reference, pattern, returns=returns, status=status)
    if "SUBSCRIBED" in returns and "SUBSCRIBED" not in options:
        subscribed = await connection.run(ListMailboxes(reference, pattern, subscribed=True))
        names = {entry.name for entry in subscribed if "\\noselect" not in entry.attributes}
        for entry in entries:
            if entry.name in names:
                entry.attributes |= {"\\subscribed"}
    if items and not is_status_told:
        await _add_status(connection, entries, items)
    return entries


def status_items(connection: Connection, items: Sequence[str]) -> list[str]:
    """Return those STATUS items that the server offers."""
    offered = connection.capabilities | {""}
    if connection.offers_guid:
        offered |= {"X-GUID"}
    if "IMAP4REV2" in offered:
        offered |= {"STATUS=SIZE"}
    return [item for item in items if _STATUS_ITEMS.get(item, "") in offered]


async def _add_status(connection: Connection, entries: Sequence[ListEntry], items: Sequence[str]) -> None:
    async def ask(entry: ListEntry) -> None:
        try:
            entry.status = await connection.status(entry.name, items)
        except CommandFailed:
            entry.status = None

    selectable = [entry for entry in entries if entry.is_selectable]
    for start in range(0, len(selectable), MAX_STATUS_AT_ONCE):
        results = await asyncio.gather(
            *(ask(entry) for entry in selectable[start : start + MAX_STATUS_AT_ONCE]), return_exceptions=True
        )
        for error in results:
            if isinstance(error, BaseException):
                raise error  # the connection's own end, not an ExceptionGroup of it
