"""What a Redis is set to: whether it keeps what it acknowledges, and does not throw away what it was given.

Rule 1: it is only told of. Redis is its owner's, and `CONFIG SET` would be gone with the next start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.store.api import StoreError
from gateway.store.redis_link import RedisLink

MIN_VERSION = (6, 2)  # XTRIM MINID


class Settings(NamedTuple):
    """Of one server, as far as it tells; None: it does not."""

    version: str | None
    is_appending: bool | None
    fsync: str | None
    policy: str | None


async def read_settings(link: RedisLink) -> Sequence[Settings]:
    """Return the settings of every master. Raise `StoreError`."""
    infos = await link.each_server("INFO")
    try:
        configs = await link.each_server("CONFIG", "GET", "appendfsync")
    except StoreError:  # many a hosted Redis has no CONFIG
        configs = [{}] * len(infos)
    return [_settings(info, config) for info, config in zip(infos, configs, strict=True)]


def warnings_of(settings: Settings) -> list[str]:
    """Return what is unwise, and what to do. Pure."""
    found = []
    if settings.version is not None and _numbers(settings.version) < MIN_VERSION:
        found.append(f"it is version {settings.version}, and 6.2 is the oldest that works")
    if settings.is_appending is None:
        found.append("it does not tell whether appendonly is on; without it a restart loses what clients were promised")
    elif not settings.is_appending:
        found.append(
            "appendonly is off: a restart loses what clients were promised (mail that waits, identities, push); write "
            '"appendonly yes" in its redis.conf'
        )
    elif settings.fsync == "no":
        found.append('appendfsync is "no": a crash of its machine loses half a minute; write "appendfsync everysec"')
    if settings.policy is None:
        found.append("it does not tell its maxmemory-policy; any but noeviction throws away what clients were promised")
    elif settings.policy != "noeviction":
        found.append(
            f"maxmemory-policy is {settings.policy}: once its memory is full, what clients were promised goes; "
            'write "maxmemory-policy noeviction"'
        )
    return found


def _settings(info: Mapping[Any, Any], config: Mapping[Any, Any] | Sequence[Any]) -> Settings:
    known = {_text(key): _text(value) for key, value in info.items()}
    pairs = config.items() if isinstance(config, Mapping) else zip(config[::2], config[1::2], strict=True)
    set_to = {_text(key): _text(value) for key, value in pairs}
    appending = known.get("aof_enabled")
    return Settings(
        known.get("redis_version"),
        None if appending is None else appending == "1",
        set_to.get("appendfsync"),
        known.get("maxmemory_policy"),
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
