"""A ManageSieve client (RFC 5804): the scripts that filter a login's mail, kept on the mail server.

The layers, each usable without the next: `scanner` finds where a line ends, `lexer` cuts it into tokens, `response`
gives it meaning, `protocol` matches it with the command in flight (all without I/O), `connection` moves the octets,
`keeper` keeps one connection of a login open for as long as it is used. This package knows nothing of JMAP.
"""

from gateway.upstream.managesieve.capabilities import Capabilities
from gateway.upstream.managesieve.connection import Connection, Listed
from gateway.upstream.managesieve.encode import Unnameable
from gateway.upstream.managesieve.errors import (
    AuthenticationFailed,
    CommandFailed,
    ConnectError,
    Disconnected,
    ManageSieveError,
    NameRefused,
    ProtocolViolation,
    ServerBye,
    Timeout,
)
from gateway.upstream.managesieve.keeper import Keeper
from gateway.upstream.managesieve.timeouts import Timeouts

__all__ = [
    "AuthenticationFailed",
    "Capabilities",
    "CommandFailed",
    "ConnectError",
    "Connection",
    "Disconnected",
    "Keeper",
    "Listed",
    "ManageSieveError",
    "NameRefused",
    "ProtocolViolation",
    "ServerBye",
    "Timeout",
    "Timeouts",
    "Unnameable",
]
