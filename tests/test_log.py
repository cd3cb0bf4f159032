"""The log: one line an event, and nothing in it that is nobody's business."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.log import JsonFormatter, LogfmtFormatter, configure
from gateway.secret import Secret


def line(
    event: str = "mailbox indexed", error: BaseException | None = None, json_lines: bool = False, **fields: object
) -> str:
    record = logging.LogRecord("gateway.sync", logging.INFO, "f.py", 1, event, (), None)
    record.created = 0.25
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    vars(record).update(fields)
    return (JsonFormatter() if json_lines else LogfmtFormatter()).format(record)


def test_logfmt() -> None:
    assert line(account="a1", messages=1200, seconds=0.5, ok=True, none=None, path='A B="c\\d"') == (
        'time=1970-01-01T00:00:00.250Z level=info event="mailbox indexed" logger=gateway.sync '
        'account=a1 messages=1200 seconds=0.5 ok=true none=null path="A B=\\"c\\\\d\\""'
    )


def test_json() -> None:
    told = json.loads(line(json_lines=True, messages=3, path="ä"))
    assert told == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "event": "mailbox indexed",
        "logger": "gateway.sync",
        "messages": 3,
        "path": "ä",
    }


@pytest.mark.parametrize("json_lines", [False, True])
def test_one_event_is_one_line(json_lines: bool) -> None:
    """No value can begin a new line, forge a field or steer a terminal."""
    text = line(json_lines=json_lines, path='a\nlevel=error\r\x1b[2J\u2028"b', size="x" * 10_000)
    assert "\n" not in text
    assert "\r" not in text
    assert "\x1b" not in text
    assert "\u2028" not in text
    assert len(text) < 1000


@pytest.mark.parametrize("json_lines", [False, True])
@pytest.mark.parametrize("name", ["password", "imap_password", "token", "Authorization", "subject", "body", "api_key"])
def test_hidden_by_name(json_lines: bool, name: str) -> None:
    """A field that is named after a credential or mail content is not printed, whatever it holds."""
    fields: dict[str, Any] = {name: "hunter2"}
    assert "hunter2" not in line(json_lines=json_lines, **fields)


@pytest.mark.parametrize("json_lines", [False, True])
def test_secrets_do_not_print(json_lines: bool) -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in line(json_lines=json_lines, value=secret, values=[secret], mapping={"a": secret})


def test_an_exception_is_told_without_its_text() -> None:
    """Where it was raised, and its type; the text of a foreign one may hold mail."""
    try:
        raise ValueError("Dear Ann, the password is hunter2")
    except ValueError as error:
        text = line("request failed", error)
    assert "hunter2" not in text
    assert "error=ValueError" in text
    assert "test_log.py:" in text


def test_the_systems_errors_are_told() -> None:
    assert "Connection refused" in line("connection failed", ConnectionRefusedError(111, "Connection refused"))


@pytest.fixture
def untouched() -> Iterator[None]:
    """Put the root logger back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("gateway").setLevel(logging.NOTSET)
    logging.captureWarnings(False)


@pytest.mark.usefixtures("untouched")
def test_configure() -> None:
    """Our events from the level on, libraries only when they warn."""
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    logging.getLogger("gateway.web").info("started", extra={"port": 8080})
    logging.getLogger("gateway.web").debug("noise")
    logging.getLogger("asyncio").info("noise")
    assert stream.getvalue().count("\n") == 1
    assert "port=8080" in stream.getvalue()
