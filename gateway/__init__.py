"""A JMAP server whose mail lives on somebody else's IMAP server.

A client speaks JMAP (RFC 8620, RFC 8621 and companions) to the gateway; the gateway speaks IMAP, SMTP submission and
ManageSieve to the upstream, which stays the only home of mail.

    client ──HTTPS──▶ web ─▶ jmap ─▶ methods ─▶ account (index, journal) ─▶ store
                                        │              ▲
                                        ▼              │ batches
                                      sync ────────────┘
                                        │
                                        ▼
                           upstream: imap · smtp · managesieve ──▶ the provider's servers

jmap      the protocol: types, errors, requests, references, the Session; no I/O
message   RFC 5322 and MIME <-> Email; pure functions
upstream  IMAP, SMTP and ManageSieve clients; know nothing of JMAP
account   the index of one account: what is known of the upstream's mail, and the journal behind /changes
sync      keeps the index equal to the upstream; the only part that speaks both languages
methods   the JMAP methods, derived from declared data types
outbox    mail that is to be sent, until the provider has it or will not take it
push      events to clients
store     user state: what no upstream can give back
auth      who the caller is
web       HTTP endpoints
server    puts the parts together; the only module that knows all of them
"""

__version__ = "0.1.0"
