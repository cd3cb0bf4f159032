"""The counts of a Mailbox (RFC 8621 section 2), kept up to date by differences.

Rule 1: what a batch may change is the contribution of the Threads involved. It is computed before and after the
batch, and the difference goes to the mailbox rows.
Rule 2: unreadThreads is the number of unread Threads a user would see: a Thread with an email in the Mailbox and an
unread email anywhere, except that emails only in the trash count for the trash alone and others never count there.
"""

from __future__ import annotations

import sqlite3

# {involved} joins the threads to look at; ? is the trash mailbox (or -1).
_CONTRIBUTION = """
WITH item AS MATERIALIZED (
  SELECT m.thread, m.email, m.mailbox, k.is_unread FROM {involved} JOIN keywordset k ON k.num = m.keywords),
unread AS MATERIALIZED (
  SELECT thread, max(elsewhere) AS elsewhere, max(in_trash) AS in_trash FROM (
    SELECT thread, email, max(mailbox <> :trash) AS elsewhere, max(mailbox = :trash) AS in_trash
    FROM item WHERE is_unread GROUP BY thread, email) GROUP BY thread),
shown AS (SELECT mailbox, thread, count(*) AS emails, sum(is_unread) AS unread FROM item GROUP BY mailbox, thread)
SELECT shown.mailbox AS mailbox, sum(shown.emails) AS total_emails, sum(shown.unread) AS unread_emails,
  count(*) AS total_threads,
  sum(CASE WHEN shown.mailbox = :trash THEN coalesce(unread.in_trash, 0) ELSE coalesce(unread.elsewhere, 0) END)
    AS unread_threads
FROM shown LEFT JOIN unread ON unread.thread = shown.thread GROUP BY shown.mailbox
"""
_OF_INVOLVED = _CONTRIBUTION.format(involved="temp.involved i CROSS JOIN member m ON m.thread = i.thread")
_OF_ALL = _CONTRIBUTION.format(involved="member m")
_COLUMNS = ("total_emails", "unread_emails", "total_threads", "unread_threads")


def tally(connection: sqlite3.Connection, trash: int, sign: int) -> None:
    """Note the contribution of the involved threads, as what is taken away (-1) or comes (+1)."""
    columns = ", ".join(f"{sign} * {column}" for column in _COLUMNS)
    connection.execute(f"INSERT INTO temp.tally SELECT mailbox, {columns} FROM ({_OF_INVOLVED})", {"trash": trash})


def settle(connection: sqlite3.Connection) -> None:
    """Add the noted differences to the mailbox rows."""
    differs = " OR ".join(f"sum({column}) <> 0" for column in _COLUMNS)
    sums = ", ".join(f"sum({column}) AS {column}" for column in _COLUMNS)
    sets = ", ".join(f"{column} = mailbox.{column} + d.{column}" for column in _COLUMNS)
    connection.execute(
        f"UPDATE mailbox SET {sets} FROM"
        f" (SELECT mailbox, {sums} FROM temp.tally GROUP BY mailbox HAVING {differs}) d"
        " WHERE mailbox.num = d.mailbox"
    )


def recount(connection: sqlite3.Connection, trash: int) -> None:
    """Count everything anew."""
    connection.execute("DELETE FROM temp.tally")
    columns = ", ".join(_COLUMNS)
    negative = ", ".join(f"-{column}" for column in _COLUMNS)
    connection.execute(f"INSERT INTO temp.tally SELECT num, {negative} FROM mailbox")
    connection.execute(f"INSERT INTO temp.tally SELECT mailbox, {columns} FROM ({_OF_ALL})", {"trash": trash})
    settle(connection)
