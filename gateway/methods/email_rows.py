"""Rows of the index for given Email ids, completed: looked for wherever they may be, details and structure loaded.

Rule 1: state and rows are of one snapshot, the last one taken.
Rule 2: what is there costs one look; only what is missing costs an await.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.account.account import Account
from gateway.account.records import EmailRow
from gateway.methods.reach import EVERYTHING, is_complete


async def load_rows(
    account: Account, ids: Sequence[str], *, details: bool = False, structure: bool = False
) -> tuple[str, dict[str, EmailRow]]:
    """Return the state of Email and the rows that exist. `details`: preview and hasAttachment are known."""
    state, rows, is_lost = _look(account, ids, structure)
    if is_lost:
        # It may be in a mailbox that nobody has asked for yet.
        await account.fresh(EVERYTHING)
        state, rows, _is_lost = _look(account, ids, structure)
    if details or structure:
        lacking = [id for id, row in rows.items() if row.preview is None or (structure and row.structure is None)]
        if lacking:
            await account.backend.load_details(lacking)
            state, rows, _is_lost = _look(account, ids, structure)
    return state, rows


def _look(account: Account, ids: Sequence[str], structure: bool) -> tuple[str, dict[str, EmailRow], bool]:
    with account.snapshot() as snapshot:
        rows = snapshot.emails(ids, with_structure=structure) if ids else {}
        is_lost = len(rows) < len(ids) and not is_complete(snapshot)
        return snapshot.state("Email"), rows, is_lost


async def every_id(account: Account, at_most: int) -> list[str]:
    """Return the ids of all Emails, or any `at_most` + 1 of them."""
    await account.fresh(EVERYTHING)
    with account.snapshot() as snapshot:
        return snapshot.email_ids(at_most + 1)
