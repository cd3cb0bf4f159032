"""An IMAP client: RFC 3501 and RFC 9051 with CONDSTORE, QRESYNC, ESEARCH, LIST-STATUS, NOTIFY and what else there is.

The layers, each usable without the next: `scanner` finds where a response ends, `lexer` cuts it into tokens,
`response` gives it meaning, `protocol` matches it with the command in flight (all without I/O), `connection` moves the
octets, `pool` keeps the connections of a login within a budget. This package knows nothing of JMAP.
"""

from gateway.upstream.imap.connection import Connection, Sink, Uids
from gateway.upstream.imap.errors import (
    AuthenticationFailed,
    CommandBad,
    CommandFailed,
    CommandNo,
    ConnectError,
    Disconnected,
    ImapError,
    ProtocolViolation,
    SectionMissing,
    ServerBye,
    Timeout,
)
from gateway.upstream.imap.events import (
    Event,
    Exists,
    Expunged,
    FlagsDefined,
    Listed,
    Notice,
    StatusChanged,
    Vanished,
)
from gateway.upstream.imap.mailbox import ListEntry, Namespace, Namespaces, Range, Selected, StatusItems
from gateway.upstream.imap.message import Has, Message
from gateway.upstream.imap.pool import HostGate, Pool
from gateway.upstream.imap.quirks import Quirks
from gateway.upstream.imap.response import parse_message
from gateway.upstream.imap.structure import Structure
from gateway.upstream.imap.timeouts import Observer, Timeouts
from gateway.upstream.sasl import Credentials, OAuthCredentials, PasswordCredentials
from gateway.upstream.tls import Endpoint

__all__ = [
    "AuthenticationFailed",
    "CommandBad",
    "CommandFailed",
    "CommandNo",
    "ConnectError",
    "Connection",
    "Credentials",
    "Disconnected",
    "Endpoint",
    "Event",
    "Exists",
    "Expunged",
    "FlagsDefined",
    "Has",
    "HostGate",
    "ImapError",
    "ListEntry",
    "Listed",
    "Message",
    "Namespace",
    "Namespaces",
    "Notice",
    "OAuthCredentials",
    "Observer",
    "PasswordCredentials",
    "Pool",
    "ProtocolViolation",
    "Quirks",
    "Range",
    "SectionMissing",
    "Selected",
    "ServerBye",
    "Sink",
    "StatusChanged",
    "StatusItems",
    "Structure",
    "Timeout",
    "Timeouts",
    "Uids",
    "Vanished",
    "parse_message",
]
