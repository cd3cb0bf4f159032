"""LOGIN (RFC 9051 section 6.2.3)."""

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.sasl import PasswordCredentials


class Login(Command[None]):
    """Log in with a password, where AUTHENTICATE PLAIN is not offered."""

    verb = "LOGIN"
    alone = True

    def __init__(self, credentials: PasswordCredentials) -> None:
        self._credentials = credentials

    def line(self, dialect: Dialect) -> Line:
        return (
            Line(dialect, "LOGIN ")
            .string(self._credentials.login)
            .raw(" ")
            .string(self._credentials.password.reveal(), quoted=True)
        )
