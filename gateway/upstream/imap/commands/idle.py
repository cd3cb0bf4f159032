"""IDLE (RFC 2177): the server talks until we say DONE."""

from gateway.upstream.imap.commands.command import Command

_DONE = b"DONE\r\n"


class Idle(Command[None]):
    """Wait for news. `interrupt` may come before the server's `+`; DONE then follows it."""

    verb = "IDLE"
    alone = True

    def __init__(self) -> None:
        self._is_idling = False
        self._is_done = False
        self._wants_done = False

    def on_continuation(self, text: bytes) -> bytes | None:
        self._is_idling = True
        self.is_listening = True
        return self.interrupt() if self._wants_done else None

    def interrupt(self) -> bytes | None:
        self._wants_done = True
        if not self._is_idling or self._is_done:
            return None
        self._is_done = True
        self.is_listening = False
        return _DONE
