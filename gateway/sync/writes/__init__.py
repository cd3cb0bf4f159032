"""What clients change in mail, carried out over IMAP (RFC 8621 section 4.6; RFC 9051 section 6.4).

    changing.py   change_emails: plan, carry out, look up after a break, go on, undo
    standing.py   where Emails are, by the index         steps.py      the commands a change needs (pure)
    round.py      many steps, in few commands            outcome.py    what the commands told, as one batch
    flags.py      keywords to flags                      storing.py, moving.py, expunging.py   the verbs, by tier
    lookup.py     what is really there                   refusals.py   a NO as a SetError
    appending.py  append_email                           running.py    a write outlives the request that asked for it

Rule 1: a write and a sweep exclude one another (`Link.turn`).
Rule 2: an Email is changed whole or not at all: what a refusal leaves half done is undone, and what a broken
connection leaves half done is looked up and carried on with.
Rule 3: a message leaves a mailbox only after the upstream has said OK to its copy.
Rule 4: a first indexing may run meanwhile. It reads only uids that the index does not know when it begins, and a write
touches only uids that the index knows or that the write itself made, so they meet in the latter alone: a copy made and
removed within one window of the indexing may be shown until the next sweep, which starts from the mod-sequence (or
the scan) of before both and takes it away. No change is lost, for that sweep reads everything since then.
"""
