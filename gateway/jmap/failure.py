"""An exception that is no answer, told to the client and to the log (RFC 8620 section 3.6.2).

Rule 1: of one that nobody expected (`serverFail`) the client learns an incident id and nothing else. The log learns the
exception's type and the places in the code it passed, not its message: that may quote mail.
Rule 2: what is away for now (`Unavailable`) is `serverUnavailable`: no fault of the code, and worth another try.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import PurePath

from gateway.jmap.errors import MethodError
from gateway.unavailable import Unavailable

LOG = logging.getLogger("gateway.jmap")

MAX_FRAMES = 12  # the innermost of a trace: enough to find the fault, even in a recursion


def failure_of(method: str, fault: BaseException) -> MethodError:
    """Log a fault, an unexpected one under a new incident id, and return the error to answer with."""
    if isinstance(fault, Unavailable):
        LOG.warning("method put off", extra={"method": method, "reason": str(fault)})
        return MethodError("serverUnavailable", "Something that is needed for this does not answer now.")
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
