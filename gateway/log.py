"""The log: one line per event, with fields, as logfmt or JSON.

    log = logging.getLogger("gateway.sync")
    log.info("mailbox indexed", extra={"account": account.id, "messages": 1200, "seconds": 0.8})

Rule 1: the event is a constant text; what varies is a field (`extra`). A `Secret` never prints.
Rule 2: fields whose name tells of a credential or of mail content are never printed, whatever they hold.
Rule 3: one event is one line: line ends and control characters are escaped, long values cut.
Rule 4: an exception is told by its type and where it was raised; its text only where it is one of ours or the system's,
        for others may hold what they stumbled over.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import IO, Any

MAX_VALUE_CHARS = 500  # of one field: enough for any identifier or error, too little for a message
MAX_FRAMES = 12  # of a traceback, innermost
# Whole words of a field's name, split at "_".
HIDDEN = frozenset(
    {"password", "passwd", "secret", "token", "authorization", "cookie", "credential", "credentials", "ticket", "key"}
    | {"subject", "body", "preview", "text", "header", "headers", "snippet", "content"}
)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OUR_ERRORS = ("gateway.", "builtins.ConnectionRefusedError", "builtins.TimeoutError", "socket.")


def configure(level: str, format: str, stream: IO[str] | None = None) -> None:
    """Send every log to one stream (standard error) in the format "logfmt" or "json"."""
    target = logging.StreamHandler(stream or sys.stderr)
    target.setFormatter(JsonFormatter() if format == "json" else LogfmtFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(target)
    root.setLevel(logging.WARNING)  # libraries
    logging.getLogger("gateway").setLevel(level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.ERROR)  # would print URLs, and with them file names
    logging.captureWarnings(True)


class LogfmtFormatter(logging.Formatter):
    """`time=… level=info event="mailbox indexed" logger=gateway.sync messages=1200`."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(dict(_fields(record)), ensure_ascii=False, default=_plain)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    yield "time", when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield "level", record.levelname.lower()
    yield "event", _plain(record.getMessage())
    yield "logger", record.name
    for name, value in vars(record).items():
        if name not in _STANDARD:
            yield name, "…" if HIDDEN.intersection(name.lower().split("_")) else _plain(value)
    if record.exc_info and record.exc_info[1] is not None:
        yield from _told(record.exc_info[1])


def _told(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Tell an exception without its text, which may hold data."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    yield "error", name.removeprefix("builtins.")
    if name.startswith(_OUR_ERRORS) or isinstance(error, OSError):
        yield "detail", _plain(str(error))
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    yield "trace", " < ".join(f"{_short(f.filename)}:{f.lineno}:{f.name}" for f in reversed(frames))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield "cause", type(cause).__qualname__


def _short(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def _plain(value: Any) -> Any:
    """Return a number, a truth value or None as it is, anything else as text without control characters."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    if len(text) > MAX_VALUE_CHARS:
        text = text[:MAX_VALUE_CHARS] + "…"
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _quoted(value: Any) -> str:
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
