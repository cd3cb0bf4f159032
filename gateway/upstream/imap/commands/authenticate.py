"""AUTHENTICATE (RFC 9051 section 6.2.2) with an initial response where SASL-IR allows it (RFC 4959)."""

from gateway.upstream import sasl
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.sasl import Credentials, Mechanism


class Authenticate(Command[None]):
    """Log in by a SASL mechanism of two messages at most."""

    verb = "AUTHENTICATE"
    alone = True

    def __init__(self, credentials: Credentials, mechanism: Mechanism, *, host: str, port: int, at_once: bool) -> None:
        self._mechanism = mechanism
        self._initial = sasl.to_base64(sasl.initial_response(credentials, mechanism, host=host, port=port))
        self._at_once = at_once
        self._told = at_once

    def line(self, dialect: Dialect) -> Line:
        line = Line(dialect, f"AUTHENTICATE {self._mechanism}")
        return line.raw(b" " + self._initial) if self._at_once else line

    def on_continuation(self, text: bytes) -> bytes:
        if not self._told:
            self._told = True
            return self._initial + b"\r\n"
        answer = sasl.answer_challenge(self._mechanism)
        return (sasl.to_base64(answer) if answer else b"") + b"\r\n"
