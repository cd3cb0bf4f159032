"""Benchmarks against a real Dovecot on this machine: `make bench`, or `python -m bench --help`.

    mailbox.py    seeded maildirs of 10,000 and 100,000 messages, kept in .cache/ between runs
    recording.py  what the gateway said to Dovecot: commands, round trips
    drain.py      the floor of an index: the same FETCHes, their bytes thrown away
    index.py      (a) first index: time, memory, longest stall of the event loop, against the floor
    listing.py    (b) a list view over keep-alive, against the yardsticks
    yardstick.py  an aiohttp server that answers the same octets, and the least that a list view can do
    resync.py     (c) one new message in a large mailbox: round trips
    watching.py   (f) many accounts watched while nothing happens: memory and CPU of each
    push_latency.py  (g) from another client's change to EventSource and WebSocket, against a bare IMAP client
    push_streams.py  (h) many event streams of one account: memory of each, and how soon the last is told
    mirroring.py  (i) what the mirror in Redis adds to a write, and the memory it takes
    gateway.py    the gateway as a child process, configured for a bench
    client.py     JMAP over one connection, timed
    table.py      the one table

Rules
1. The gateway is known from outside only: its command line, its HTTP, its metrics. (f) and (h) hold bare accounts.
2. Nothing is compared across runs: each number stands beside the floor or yardstick of the same run.
"""
