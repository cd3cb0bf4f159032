"""An exception that nobody expected, told to the client and to the log (RFC 8620 section 3.6.2, `serverFail`).

Rule 1: the client learns an incident id and nothing else. The log learns the exception's type and the places in the
code it passed, not its message: that may quote mail.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import PurePath

from gateway.jmap.errors import MethodError

LOG = logging.getLogger("gateway.jmap")

MAX_FRAMES = 12  # the innermost of a trace: enough to find the fault, even in a recursion


def server_fail(method: str, fault: BaseException) -> MethodError:
    """Log a fault under a new incident id and return the error that names it."""
    incident = secrets.token_hex(6)
    fields = {
        "incident": incident,
        "method": method,
        "exception": type(fault).__name__,
        "at": ",".join(_places(fault)),
    }
    LOG.error("method failed", extra=fields)
    return MethodError("serverFail", f"An unexpected error occurred. The server's log has it as incident {incident}.")


def _places(fault: BaseException) -> list[str]:
    frames = traceback.extract_tb(fault.__traceback__)[-MAX_FRAMES:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames]
