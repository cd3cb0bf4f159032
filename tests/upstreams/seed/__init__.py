"""Synthetic mail: the same messages for the same seed, as realistic as is cheap to make.

words.py      people, prose, subjects, encoded header fields
bodies.py     entities of every common shape: plain, alternative, attachments, forwarded, signed, invitations …
malformed.py  a table of ways in which real mail is broken
mailbox.py    threads over a span of days, with flags
maildir.py    writing them as a maildir: `python -m tests.upstreams.seed DIR -n 10000`
"""
