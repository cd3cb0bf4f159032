"""What a list view costs at the least, on this machine, in this run.

    /trivial   fixed octets from aiohttp: the price of HTTP
    /spike     a page from a covering index, 50 rows by id, unpacked and packed again: the price of the data besides

Started as `python -m bench.yardstick PORT OCTETS MESSAGES`; a child process, as the gateway is one.
"""

from __future__ import annotations

import sqlite3
import sys

import orjson
from aiohttp import web

HOST = "127.0.0.1"
PAGE = 50
SCHEMA = """
CREATE TABLE email (id INTEGER PRIMARY KEY, thread INTEGER, summary BLOB);
CREATE TABLE location (mailbox INTEGER, received INTEGER, email INTEGER, thread INTEGER, uid INTEGER);
CREATE INDEX page ON location (mailbox, received DESC, email, thread);
"""


def fill(messages: int) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.executescript(SCHEMA)
    emails = ((n, n // 2, orjson.dumps(summary(n))) for n in range(messages))
    database.executemany("INSERT INTO email VALUES (?, ?, ?)", emails)
    locations = ((1, 1_500_000_000 + n, n, n // 2, n) for n in range(messages))
    database.executemany("INSERT INTO location VALUES (?, ?, ?, ?, ?)", locations)
    return database


def summary(number: int) -> dict[str, object]:
    return {
        "id": f"M{number:026d}",
        "threadId": f"T{number // 2:026d}",
        "mailboxIds": {"P0000000000000000000000001": True},
        "keywords": {"$seen": True},
        "from": [{"name": "Some Body", "email": "some.body@example.com"}],
        "to": [{"name": "Test User", "email": "user@mail.test"}],
        "subject": f"Message {number} about the quarterly budget",
        "receivedAt": "2025-01-01T00:00:00Z",
        "size": 4000 + number,
        "preview": "word " * 45,
        "hasAttachment": False,
    }


def page(database: sqlite3.Connection) -> bytes:
    """Answer the newest page, one email of each thread, as the gateway must."""
    threads: set[int] = set()
    ids: list[int] = []
    newest = "SELECT email, thread FROM location WHERE mailbox = 1 ORDER BY received DESC"
    for email, thread in database.execute(newest):
        if thread not in threads:
            threads.add(thread)
            ids.append(email)
            if len(ids) == PAGE:
                break
    marks = ",".join("?" * len(ids))
    rows = dict(database.execute(f"SELECT id, summary FROM email WHERE id IN ({marks})", ids))
    return orjson.dumps({"list": [orjson.loads(rows[email]) for email in ids]})


def make_app(octets: int, messages: int) -> web.Application:
    database, fixed = fill(messages), b"x" * octets

    async def trivial(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=fixed, content_type="application/json")

    async def spike(request: web.Request) -> web.Response:
        orjson.loads(await request.read())
        return web.Response(body=page(database), content_type="application/json")

    app = web.Application()
    app.router.add_post("/trivial", trivial)
    app.router.add_post("/spike", spike)
    return app


if __name__ == "__main__":
    port, octets, messages = map(int, sys.argv[1:])
    web.run_app(make_app(octets, messages), host=HOST, port=port, access_log=None, print=None)
