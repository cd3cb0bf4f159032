"""The StateChange object (RFC 8620 section 7.1), and the lines of an event stream (section 7.3). Pure.

Line ends are LF. A ping has no id, so that it does not set one.
"""

from __future__ import annotations

from gateway.jmap.encode import encode
from gateway.push.bus import Changed


def state_change(changed: Changed, push_state: str | None = None) -> bytes:
    """Return a StateChange as JSON; `push_state` is WebSocket's (RFC 8887 section 4.3.5.1)."""
    value: dict[str, object] = {"@type": "StateChange", "changed": changed}
    if push_state is not None:
        value["pushState"] = push_state
    return encode(value)


def state_event(changed: Changed, event_id: str) -> bytes:
    return b"event: state\nid: %b\ndata: %b\n\n" % (event_id.encode(), state_change(changed))


def ping_event(interval_s: int) -> bytes:
    return b'event: ping\ndata: {"interval":%d}\n\n' % interval_s


def opening(event_id: str, retry_ms: int) -> bytes:
    """Return what a stream begins with: it tells no event, and gives a client that loses it at once an id to name."""
    return b": open\nretry: %d\nid: %b\n\n" % (retry_ms, event_id.encode())
