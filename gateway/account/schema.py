"""The tables of an account's index (SQLite). Everything in them can be read again from the upstream.

Rule 1: internal keys (`num`) are integers; a JMAP id stands in one unique column and nowhere else.
Rule 2: the columns of a page of a list (mailbox, received, email, thread, keywords) are one clustered table, so that
a page is one walk without look-ups.
Rule 3: a change of this text is a new SCHEMA: an index of another schema is dropped and built again.
"""

from __future__ import annotations

from typing import Final

SCHEMA: Final = 3

# `flagset` and `keywordset` hold each distinct combination once (a few hundred in a real account): a filter on a
# keyword becomes `keywords IN (…)`. `location` is what the upstream has, `member` what a client sees: an email that
# is visible in a mailbox. `email` is narrow, for scans; what a list view shows of it stands in `content`.
# `header` holds the raw header of each email that is not digested (`digest`): it has no `words` and no summary yet.
# `first_seq` is the created_seq of the first life of an id that was destroyed and came back.
TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE flagset (
  num INTEGER PRIMARY KEY, flags TEXT NOT NULL UNIQUE, keywords INTEGER NOT NULL, is_deleted INTEGER NOT NULL);
CREATE TABLE keywordset (num INTEGER PRIMARY KEY, keywords TEXT NOT NULL UNIQUE, is_unread INTEGER NOT NULL);
CREATE TABLE mailbox (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, name TEXT NOT NULL, parent_id TEXT, role TEXT,
  is_subscribed INTEGER NOT NULL, sort_order INTEGER NOT NULL, rights TEXT NOT NULL, is_selectable INTEGER NOT NULL,
  shares TEXT NOT NULL,
  upstream_total INTEGER, upstream_unread INTEGER,
  total_emails INTEGER NOT NULL DEFAULT 0, unread_emails INTEGER NOT NULL DEFAULT 0,
  total_threads INTEGER NOT NULL DEFAULT 0, unread_threads INTEGER NOT NULL DEFAULT 0,
  is_stale INTEGER NOT NULL DEFAULT 0,
  uidvalidity INTEGER, uidnext INTEGER, highestmodseq INTEGER, exists_count INTEGER,
  is_indexed INTEGER NOT NULL DEFAULT 0,
  created_seq INTEGER NOT NULL, updated_seq INTEGER NOT NULL, first_seq INTEGER NOT NULL,
  facts_seq INTEGER NOT NULL);
CREATE TABLE email (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, thread INTEGER NOT NULL, received INTEGER NOT NULL,
  size INTEGER NOT NULL, keywords INTEGER NOT NULL, is_visible INTEGER NOT NULL, sent INTEGER, has_attachment INTEGER,
  created_seq INTEGER NOT NULL, updated_seq INTEGER NOT NULL, first_seq INTEGER NOT NULL);
CREATE INDEX email_received ON email(received, num, thread, keywords) WHERE is_visible;
CREATE INDEX email_updated ON email(updated_seq) WHERE is_visible;
CREATE INDEX email_bare ON email(received) WHERE is_visible AND has_attachment IS NULL;
CREATE TABLE header (email INTEGER PRIMARY KEY, block BLOB NOT NULL);
CREATE TABLE content (email INTEGER PRIMARY KEY, summary TEXT, preview TEXT);
CREATE TABLE structure (email INTEGER PRIMARY KEY, structure TEXT NOT NULL);
CREATE TABLE words (
  email INTEGER PRIMARY KEY, "from" TEXT, "to" TEXT, cc TEXT, bcc TEXT, subject TEXT,
  from_sort TEXT, from_key TEXT, to_sort TEXT, to_key TEXT, subject_sort TEXT, subject_key TEXT);
CREATE TABLE location (
  mailbox INTEGER, uid INTEGER, email INTEGER NOT NULL, flags INTEGER NOT NULL, modseq INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE INDEX location_email ON location(email, flags);
CREATE TABLE member (
  mailbox INTEGER, received INTEGER, email INTEGER, thread INTEGER NOT NULL, keywords INTEGER NOT NULL,
  PRIMARY KEY (mailbox, received, email)) WITHOUT ROWID;
CREATE INDEX member_thread ON member(thread, email, keywords);
CREATE TABLE thread (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, is_visible INTEGER NOT NULL,
  created_seq INTEGER NOT NULL, updated_seq INTEGER NOT NULL, first_seq INTEGER NOT NULL);
CREATE INDEX thread_updated ON thread(updated_seq) WHERE is_visible;
CREATE TABLE link (hash INTEGER PRIMARY KEY, thread INTEGER NOT NULL);
CREATE TABLE tombstone (
  type TEXT, seq INTEGER, num INTEGER, id TEXT NOT NULL, thread INTEGER, first_seq INTEGER NOT NULL,
  destroyed_at_s INTEGER NOT NULL, PRIMARY KEY (type, seq, num)) WITHOUT ROWID;
CREATE INDEX tombstone_id ON tombstone(type, id);
"""

# What a batch works with, in memory, emptied before each.
# touched: emails whose locations the batch may change. old, new: their visible (email, mailbox) before and after.
# now: what they are after it. changed: those a client sees changed, kind "c"reated, "u"pdated, "d"estroyed.
# involved: threads whose contribution to the counts may change. tally: the differences of the counts.
SCRATCH: Final = """
CREATE TEMP TABLE touched (email INTEGER PRIMARY KEY);
CREATE TEMP TABLE old (email INTEGER, mailbox INTEGER, PRIMARY KEY (email, mailbox)) WITHOUT ROWID;
CREATE TEMP TABLE new (email INTEGER, mailbox INTEGER, PRIMARY KEY (email, mailbox)) WITHOUT ROWID;
CREATE TEMP TABLE now (
  email INTEGER PRIMARY KEY, locations INTEGER, is_visible INTEGER, keywords INTEGER, highest INTEGER, sets TEXT);
CREATE TEMP TABLE changed (email INTEGER PRIMARY KEY, thread INTEGER, kind TEXT);
CREATE TEMP TABLE involved (thread INTEGER PRIMARY KEY);
CREATE TEMP TABLE tally (
  mailbox INTEGER, total_emails INTEGER, unread_emails INTEGER, total_threads INTEGER, unread_threads INTEGER);
"""
SCRATCH_TABLES: Final = ("touched", "old", "new", "now", "changed", "involved", "tally")
