"""Uploads through the running gateway: durable when acknowledged, there after a restart (RFC 8620 section 6)."""

from __future__ import annotations

import hashlib
import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.gateway import Client, Gateway, serving
from tests.upstreams.upstream import Upstream

pytestmark = pytest.mark.upstream


def test_uploads_outlive_a_restart(dovecot: Upstream, tmp_path: Path) -> None:
    """The blob of an upload and of a Blob/upload is there when the gateway has been stopped and started."""
    with serving(dovecot, tmp_path) as gateway:
        client = gateway.client()
        uploaded = client.upload(b"kept", "text/plain")
        sources = {"b": {"data": [{"blobId": uploaded["blobId"]}, {"data:asText": "!"}]}}
        made = client.call("Blob/upload", create=sources)["created"]["b"]
    with serving(dovecot, tmp_path) as gateway:
        client = Client(gateway, client.login)
        assert client.account_id == uploaded["accountId"]
        assert client.download(uploaded["blobId"]).octets == b"kept"
        assert client.download(made["id"]).octets == b"kept!"


def test_too_large(client: Client) -> None:
    """One octet more than maxSizeUpload is refused with a problem document that names the limit."""
    core = client.session["capabilities"]["urn:ietf:params:jmap:core"]
    maximum = core["maxSizeUpload"]
    octets = bytes(maximum)
    assert client.upload(octets)["size"] == maximum
    url = client.session["uploadUrl"].replace("{accountId}", client.account_id)
    connection = http.client.HTTPSConnection(client.gateway.host, context=client.gateway.tls, timeout=30)
    connection.putrequest("POST", url.removeprefix(client.gateway.url))
    connection.putheader("Authorization", client.gateway.authorization(client.login))
    connection.putheader("Content-Length", str(maximum + 1))
    connection.endheaders()  # the length alone is enough: not an octet needs to be sent
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert b"maxSizeUpload" in answer.read()
    connection.close()
    account = client.session["accounts"][client.account_id]["accountCapabilities"]
    assert account["urn:ietf:params:jmap:blob"]["maxSizeBlobSet"] == maximum


def test_too_many_at_once(client: Client) -> None:
    """Uploads past maxConcurrentUpload are refused as such, and those under way come through."""
    core = client.session["capabilities"]["urn:ietf:params:jmap:core"]
    allowed = core["maxConcurrentUpload"]
    path = client.session["uploadUrl"].replace("{accountId}", client.account_id).removeprefix(client.gateway.url)
    started, go_on = threading.Barrier(allowed + 1, timeout=30), threading.Event()

    def upload(octet: int) -> int:
        connection = http.client.HTTPSConnection(client.gateway.host, context=client.gateway.tls, timeout=30)
        connection.putrequest("POST", path)
        connection.putheader("Authorization", client.gateway.authorization(client.login))
        connection.putheader("Content-Length", "2")
        connection.endheaders(bytes([octet]))
        started.wait()
        go_on.wait(30)
        connection.send(b"x")
        status = connection.getresponse().status
        connection.close()
        return status

    with ThreadPoolExecutor(allowed) as threads:
        uploads = [threads.submit(upload, octet) for octet in range(allowed)]
        started.wait()
        statuses = []
        for _ in range(50):  # until all of them have arrived
            answer = client.gateway.http(client.gateway.url + path, login=client.login, data=b"one more", type="a/b")
            statuses.append(answer.status)
            if answer.status == 400:
                break
        go_on.set()
        assert [one.result() for one in uploads] == [201] * allowed
    assert statuses[-1] == 400
    assert answer.json()["limit"] == "maxConcurrentUpload"
    assert answer.json()["type"] == "urn:ietf:params:jmap:error:limit"


def test_a_blob_is_named_by_its_octets(gateway: Gateway) -> None:
    """The same octets give the same id in every account, and each account sees only its own."""
    one, other = gateway.client(), gateway.client()
    octets = b"the same octets"
    first = one.upload(octets)
    assert first["blobId"] == f"u_{hashlib.sha256(octets).hexdigest()}"
    assert other.download(first["blobId"]).status == 404
    assert other.upload(octets)["blobId"] == first["blobId"]
    assert other.download(first["blobId"]).octets == octets
