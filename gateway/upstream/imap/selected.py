"""How responses change what is known of the selected mailbox (RFC 9051 section 7.1, RFC 7162 section 3). Pure."""

from __future__ import annotations

from gateway.upstream.imap import uidset
from gateway.upstream.imap.lexer import Malformed, lex_value, number_of, text_of
from gateway.upstream.imap.mailbox import Selected
from gateway.upstream.imap.response import Data, Status, parse_flags, parse_vanished


def apply_data(selected: Selected, data: Data) -> bool:
    """Take a data response into account; return whether it was about the selected mailbox."""
    if data.kind == "EXISTS":
        selected.exists = data.number
    elif data.kind == "EXPUNGE":
        selected.exists = max(0, selected.exists - 1)
    elif data.kind == "VANISHED":
        earlier, uids = parse_vanished(data)
        if not earlier:
            selected.exists = max(0, selected.exists - uidset.count(uids))
    elif data.kind == "FLAGS":
        selected.flags = parse_flags(data.values()[0])
    else:
        return data.kind == "RECENT"
    return True


def apply_code(selected: Selected, status: Status) -> bool:
    """Take a response code into account; return whether it was about the selected mailbox."""
    code, arguments = status.code, status.arguments
    if code == "UIDVALIDITY":
        selected.uidvalidity = number_of(arguments)
    elif code == "UIDNEXT":
        selected.uidnext = number_of(arguments)
    elif code == "HIGHESTMODSEQ":
        selected.highestmodseq = number_of(arguments) or 0
    elif code == "NOMODSEQ":
        selected.highestmodseq = 0
    elif code == "PERMANENTFLAGS":
        selected.permanent_flags = _flags(arguments)
    elif code == "READ-ONLY":
        selected.read_only = True
    elif code == "READ-WRITE":
        selected.read_only = False
    elif code == "MAILBOXID":
        selected.mailbox_id = arguments.strip(b"()").decode("latin-1") or None
    elif code == "MYRIGHTS":
        selected.my_rights = text_of(arguments.strip(b'"'))
    else:
        return code == "UNSEEN"
    return True


def _flags(arguments: bytes) -> tuple[str, ...] | None:
    try:
        value, _ = lex_value(arguments)
    except Malformed:
        return None
    return parse_flags(value)
