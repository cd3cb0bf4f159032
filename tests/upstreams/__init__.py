"""Real mail servers on loopback, for tests and benchmarks.

    place.py    a short directory, free ports, child processes of one running server
    certificates.py a throw-away authority and a server certificate
    upstream.py what a test sees of a server: ports, logins, ways to put mail in, a second client
    dovecot.py  Dovecot as Debian ships it, and cut down to UIDPLUS or to nothing but IMAP4rev1
    front.py    refuses what a cut-down Dovecot does not advertise
    cyrus.py    Cyrus 3.6            courier.py   Courier's imapd
    debian.py   which Debian packages they need, and whether those are here
    imapfront.py Courier's login, by ourselves
    sink.py     the SMTP sink, smtpsink.py, as a test sees it
    redis.py    Redis: one server, Redis Cluster
    seed/       synthetic mail
    fixtures.py the pytest fixtures over all of these

Rules
1. All state is under one temporary directory; every process ends with the test run, however that ends.
2. A server that cannot be started here is a visible skip, or a failure where UPSTREAMS=require says so.
3. No two tests share an account: ask for `fresh_login()`.
"""
