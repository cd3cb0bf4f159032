"""CAPABILITY (RFC 9051 section 6.1.1). The protocol itself keeps what it says."""

from gateway.upstream.imap.commands.command import Command


class Capability(Command[None]):
    """Ask what the server can do."""

    verb = "CAPABILITY"
