"""What is told of a Redis that does not keep what it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import OK, main
from gateway.config.redis_url import check_redis_url
from gateway.store.redis_link import RedisLink
from gateway.store.redis_settings import Settings, read_settings, warnings_of
from tests.upstreams.redis import Cluster, RedisServer

GOOD = Settings("7.0.15", True, "everysec", "noeviction")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (GOOD, []),
        (GOOD._replace(fsync=None), []),
        (GOOD._replace(fsync="always"), []),
        (GOOD._replace(is_appending=False), ["appendonly yes"]),
        (GOOD._replace(policy="volatile-lru"), ["maxmemory-policy noeviction"]),
        (GOOD._replace(fsync="no"), ["appendfsync everysec"]),
        (GOOD._replace(version="6.0.16"), ["6.2"]),
        (Settings("5.0", False, "no", "allkeys-lru"), ["6.2", "appendonly yes", "noeviction"]),
        (Settings(None, None, None, None), ["does not tell whether appendonly", "does not tell its maxmemory-policy"]),
    ],
)
def test_warnings(settings: Settings, words: list[str]) -> None:
    found = warnings_of(settings)
    assert len(found) == len(words)
    for warning, word in zip(found, words, strict=True):
        assert word in warning


async def read(url: str) -> list[Settings]:
    link = RedisLink(check_redis_url(url))
    try:
        return list(await read_settings(link))
    finally:
        await link.close()


async def test_each_master_is_asked(redis_cluster: Cluster) -> None:
    assert [settings._replace(version=None) for settings in await read(redis_cluster.url)] == [
        Settings(None, False, "everysec", "noeviction")
    ] * 3


async def test_a_redis_without_config_tells_most(own_redis: RedisServer) -> None:
    """As many a hosted one is."""
    own_redis.cli("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-config")
    (settings,) = await read(own_redis.url.replace("redis://", "redis://app:pw@"))
    assert settings._replace(version=None) == Settings(None, True, None, "noeviction")
    assert warnings_of(settings) == []


def check(tmp_path: Path, url: str) -> int:
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[store]\nredis_url = "{url}"\n[auth]\nvault_keys = "1 {"A" * 43}="\n'
        '[upstreams.main]\nimap = "imaps://imap.example.com"\n'
    )
    return main(["check-config", str(path)])


def test_check_config_tells(own_redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is right is not spoken of; what is wrong, or cannot be asked, is, without the password."""
    assert check(tmp_path, own_redis.url) == OK
    assert "warning" not in capsys.readouterr().out
    own_redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    own_redis.cli("CONFIG", "SET", "appendonly", "no")
    assert check(tmp_path, own_redis.url) == OK
    told = capsys.readouterr().out
    assert "appendonly yes" in told
    assert "maxmemory-policy noeviction" in told
    own_redis.cli("CONFIG", "SET", "requirepass", "hunter2")
    for url in (own_redis.url, own_redis.url.replace("redis://", "redis://:hunter3@"), "redis://:hunter3@127.0.0.1:1"):
        assert check(tmp_path, url) == OK
        told = capsys.readouterr().out
        assert "is not known" in told
        assert "hunter" not in told
