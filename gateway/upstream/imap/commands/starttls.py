"""STARTTLS (RFC 9051 section 6.2.1). After its OK not one more octet in clear is believed."""

from gateway.upstream.imap.commands.command import Command


class StartTls(Command[None]):
    """Ask for TLS on this connection."""

    verb = "STARTTLS"
    alone = True
