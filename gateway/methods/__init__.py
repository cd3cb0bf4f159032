"""The JMAP methods: what every type has by RFC 8620 section 5 is derived, what RFC 8621 adds stands in its own module.

Rule 1: methods see accounts and messages, never IMAP.
"""

from __future__ import annotations

from functools import partial

from gateway.jmap.capability import BLOB, CORE
from gateway.jmap.method import Registry
from gateway.jmap.objects.email import EMAIL
from gateway.jmap.objects.search_snippet import SEARCH_SNIPPET
from gateway.methods import (
    blob_copy,
    blob_get,
    blob_lookup,
    blob_upload,
    core,
    email,
    email_import,
    email_parse,
    email_query,
    email_set,
    email_submission_set,
    identity,
    mailbox,
    mailbox_set,
    mdn_send,
    principal,
    quota,
    search_snippet,
    sieve_script,
    standard,
    standard_copy,
    standard_set,
    thread,
    vacation_response,
)


def register(registry: Registry) -> None:
    """Add every method to the registry."""
    core.register(registry)
    mailbox.register(registry)
    mailbox_set.register(registry)
    thread.register(registry)
    changes = partial(standard.changes, email.EmailSource())
    registry.add("Email/get", EMAIL.capability, email.get)
    registry.add("Email/changes", EMAIL.capability, changes)
    registry.add("Email/query", EMAIL.capability, email_query.query)
    registry.add("Email/queryChanges", EMAIL.capability, email_query.query_changes)
    emails = email_set.EmailSetSource()
    registry.add("Email/set", EMAIL.capability, partial(standard_set.set_records, emails))
    registry.add("Email/copy", EMAIL.capability, partial(standard_copy.copy_records, emails))
    registry.add("Email/import", EMAIL.capability, email_import.import_emails)
    registry.add("Email/parse", EMAIL.capability, email_parse.parse)
    registry.add("SearchSnippet/get", SEARCH_SNIPPET.capability, search_snippet.get)
    quota.register(registry)
    mdn_send.register(registry)
    principal.register(registry)
    identity.register(registry)
    email_submission_set.register(registry)
    registry.add("Blob/copy", CORE, blob_copy.copy)
    registry.add("Blob/upload", BLOB, blob_upload.upload)
    registry.add("Blob/get", BLOB, blob_get.get)
    registry.add("Blob/lookup", BLOB, blob_lookup.lookup)
    sieve_script.register(registry)
    vacation_response.register(registry)
