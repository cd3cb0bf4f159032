"""From a Response to octets (RFC 8620 section 3.4)."""

from __future__ import annotations

import json

import pytest

from gateway.jmap.encode import encode, encode_response


def test_encode_response() -> None:
    """A Response is written as it is, compactly and in UTF-8."""
    response = {"methodResponses": [["Core/echo", {"a": "é"}, "c"]], "sessionState": "s"}
    assert encode_response(response) == '{"methodResponses":[["Core/echo",{"a":"é"},"c"]],"sessionState":"s"}'.encode()
    assert encode({"a": None}) == b'{"a":null}'


def test_surrogates() -> None:
    """A lone surrogate in mail costs one character and not the response."""
    response = {"methodResponses": [["Email/get", {"list": [{"subject": "a\udcffb"}]}, "c"]], "sessionState": "s"}
    assert json.loads(encode_response(response))["methodResponses"][0][1] == {"list": [{"subject": "a\ufffdb"}]}


def test_one_bad_response(caplog: pytest.LogCaptureFixture) -> None:
    """A response that is no JSON becomes serverFail, the others stand."""
    response = {
        "methodResponses": [["A/get", {"n": 1}, "a"], ["B/get", {"n": {1, 2}}, "b"], ["C/get", {"s": "\ud800"}, "c"]],
        "createdIds": {},
        "sessionState": "s",
    }
    written = json.loads(encode_response(response))
    (first, failed, last) = written["methodResponses"]
    assert first == ["A/get", {"n": 1}, "a"]
    assert (failed[0], failed[1]["type"], failed[2]) == ("error", "serverFail", "b")
    assert last == ["C/get", {"s": "\ufffd"}, "c"]
    assert (written["createdIds"], written["sessionState"]) == ({}, "s")
    assert [vars(record)["method"] for record in caplog.records] == ["B/get"]
