"""Named oddities of servers."""

from __future__ import annotations


class Quirks:
    """Which oddities this connection's server has shown."""
