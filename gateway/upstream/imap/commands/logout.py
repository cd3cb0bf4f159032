"""LOGOUT (RFC 9051 section 6.1.3)."""

from gateway.upstream.imap.commands.command import Command


class Logout(Command[None]):
    """Say good-bye; the BYE that answers is no failure."""

    verb = "LOGOUT"
    alone = True
