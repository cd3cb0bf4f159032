"""NOOP (RFC 9051 section 6.1.2)."""

from gateway.upstream.imap.commands.command import Command


class Noop(Command[None]):
    """Let the server tell what it has been keeping back."""

    verb = "NOOP"
