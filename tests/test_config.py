"""The configuration: the contract with whoever writes one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.config import Address, Config, ConfigError, Listen, load
from gateway.secret import Secret

ROOT = Path(__file__).parent.parent
MAIN = '[upstreams.main]\nimap = "imaps://imap.example.com"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return path


def loaded(tmp_path: Path, text: str, **environ: str) -> Config:
    return load(write(tmp_path, text), environ)


def faults(tmp_path: Path, text: str, **environ: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, **environ)
    return {fault.key: f"{fault.what}; {fault.fix}" for fault in caught.value.faults}


def test_shipped_files_agree() -> None:
    """The complete file shows the defaults: it means the same as the minimal one."""
    complete, minimal = (load(ROOT / "config" / name, {}) for name in ("gateway.toml", "minimal.toml"))
    assert complete == minimal
    assert not complete.warnings


def test_complete_file_names_every_key() -> None:
    """No setting is left out of config/gateway.toml."""
    from dataclasses import fields

    from gateway.config.sections import SECTIONS, Upstream

    text = (ROOT / "config" / "gateway.toml").read_text()
    for section in (*SECTIONS.values(), Upstream):
        for key in fields(section):
            if "check" in key.metadata:
                assert f"{key.name} = " in text or f"{key.name}_file = " in text, key.name


def test_defaults(tmp_path: Path) -> None:
    """The numbers of the issue are the defaults."""
    config = loaded(tmp_path, MAIN)
    assert config.http.listen == Listen("127.0.0.1", 8080)
    assert config.http.public_url == "http://127.0.0.1:8080"
    assert config.limits.core() == {
        "max_size_upload": 50_000_000,
        "max_size_request": 10_000_000,
        "max_concurrent_requests": 16,
        "max_concurrent_upload": 8,
        "max_calls_in_request": 64,
        "max_objects_in_get": 1000,
        "max_objects_in_set": 1000,
    }
    main = config.upstreams["main"]
    assert main.domains == ("*",)
    assert main.imap == Address("imap.example.com", 993, "tls")
    assert main.max_staleness_s == 5.0


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Every fault is told in one go, with its key and the fix."""
    text = """
strict_usng = true
[http]
listen = "8080"
cors_origins = ["https://a.example/path"]
[limits]
max_size_upload = "50 parsec"
max_calls_in_request = true
[upstreams.main]
imap = "imap.example.com"
auth = "pasword"
"""
    found = faults(tmp_path, text)
    assert set(found) == {
        "strict_usng",
        "http.listen",
        "http.cors_origins",
        "limits.max_size_upload",
        "limits.max_calls_in_request",
        "upstreams.main.imap",
        "upstreams.main.auth",
    }
    assert "did you mean strict_using?" in found["strict_usng"]
    assert 'did you mean "password"?' in found["upstreams.main.auth"]
    assert '"imaps://HOST"' in found["upstreams.main.imap"]


def test_no_upstream(tmp_path: Path) -> None:
    """A gateway in front of nothing does not start."""
    assert "upstreams" in faults(tmp_path, "")


def test_upstream_without_imap(tmp_path: Path) -> None:
    """imap is the one required key, and the error shows how to write it."""
    assert "imaps://imap.example.com" in faults(tmp_path, '[upstreams.a]\ndomains = ["*"]\n')["upstreams.a.imap"]


def test_not_toml(tmp_path: Path) -> None:
    assert "line 1" in faults(tmp_path, "listen = = 3")["syntax"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("url", "tls", "expected"),
    [
        ("imap://h", "verify", Address("h", 143, "starttls")),
        ("imaps://h:1993", "verify", Address("h", 1993, "tls")),
        ("imap://[::1]:143", "verify", Address("::1", 143, "starttls")),
        ("imap://127.0.0.1", "none", Address("127.0.0.1", 143, "none")),
    ],
)
def test_imap_addresses(tmp_path: Path, url: str, tls: str, expected: Address) -> None:
    """imap:// means STARTTLS, unless tls is "none"."""
    upstream = loaded(tmp_path, f'[upstreams.m]\nimap = "{url}"\ntls = "{tls}"\n').upstreams["m"]
    assert upstream.imap == expected


def test_tls_none_with_imaps_is_refused(tmp_path: Path) -> None:
    assert "upstreams.m.imap" in faults(tmp_path, '[upstreams.m]\nimap = "imaps://h"\ntls = "none"\n')


def test_plaintext_over_the_network_is_warned_of(tmp_path: Path) -> None:
    config = loaded(tmp_path, '[upstreams.m]\nimap = "imap://mail.example.com"\ntls = "none"\n')
    assert any("unencrypted" in warning for warning in config.warnings)


@pytest.mark.parametrize(
    "url",
    [
        "gateway.example.com",
        "/jmap",
        "ftp://h",
        "https://h/?a=b",
        "https://h/#x",
        "https://h/.well-known/jmap",
        "http:///x",
    ],
)
def test_public_url_must_be_absolute_and_plain(tmp_path: Path, url: str) -> None:
    """A wrong public_url breaks every client silently, so it is refused at start."""
    assert "http.public_url" in faults(tmp_path, f'[http]\npublic_url = "{url}"\n{MAIN}')


def test_public_url_loses_its_slash(tmp_path: Path) -> None:
    assert loaded(tmp_path, f'[http]\npublic_url = "https://h/mail/"\n{MAIN}').http.public_url == "https://h/mail"


def test_public_url_is_needed_where_it_cannot_be_known(tmp_path: Path) -> None:
    assert "http.public_url" in faults(tmp_path, f'[http]\nlisten = "0.0.0.0:80"\n{MAIN}')


def test_http_on_the_network_is_warned_of(tmp_path: Path) -> None:
    config = loaded(tmp_path, f'[http]\nlisten = "0.0.0.0:80"\npublic_url = "http://jmap.example.com"\n{MAIN}')
    assert any("unencrypted" in warning for warning in config.warnings)


VAULT = '[auth]\nvault_keys = "1 AAAA"\n'


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h", "redis://h:6379"),
        ("rediss://u:hunter2@h:1/3", "rediss://h:1"),
        ("unix://:hunter2@/run/redis.sock?db=2", "unix:///run/redis.sock"),
        ("redis://a:1,b,[::1]:3", "redis://a:1,b:6379,[::1]:3"),
        ("redis+sentinel://a,b:2/mymaster/1", "redis+sentinel://a:26379,b:2/mymaster"),
    ],
)
def test_where_redis_is(tmp_path: Path, url: str, told: str) -> None:
    """Every form is read, and neither its text nor its repr shows a password."""
    config = loaded(tmp_path, f'[store]\nredis_url = "{url}"\n{VAULT}{MAIN}')
    assert str(config.store.redis_url) == told
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    "url",
    [
        "h:6379",
        "http://h",
        "redis://",
        "redis://h/x",
        "redis://h:0",
        "redis://a,b/1",
        "redis+sentinel://a",
        "redis://a b",
    ],
)
def test_where_no_redis_is(tmp_path: Path, url: str) -> None:
    """A wrong URL is told of and not repeated."""
    text = faults(tmp_path, f'[store]\nredis_url = "{url}"\n{VAULT}{MAIN}')["store.redis_url"]
    assert url not in text or url == "redis://"


def test_redis_needs_the_key_ring(tmp_path: Path) -> None:
    """What one node seals another must open, and the key must not lie beside it."""
    assert set(faults(tmp_path, f'[store]\nredis_url = "redis://h"\n{MAIN}')) == {"auth.vault_keys"}


def test_redis_in_the_clear_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:hunter2@redis.example.com\n")
    config = loaded(tmp_path, f'[store]\nredis_url_file = "{tmp_path}/url"\n{VAULT}{MAIN}')
    assert any("redis.example.com unencrypted" in warning for warning in config.warnings)
    assert not any("hunter2" in warning for warning in config.warnings)


NODE = '[store]\nredis_url = "redis://h"\n[auth]\nvault_keys = "1 x"\n[cluster]\n'


def test_a_node_of_several(tmp_path: Path) -> None:
    """With Redis a node says how the others reach it."""
    config = loaded(tmp_path, f'{NODE}listen = "0.0.0.0:8082"\nadvertise = "10.0.0.1:8082"\n{MAIN}')
    assert str(config.cluster.advertise) == "10.0.0.1:8082"
    assert any("not encrypted" in warning for warning in config.warnings)
    assert set(faults(tmp_path, f'{NODE}listen = "0.0.0.0:8082"\n{MAIN}')) == {"cluster.advertise"}
    assert set(faults(tmp_path, f'{NODE}listen = "127.0.0.1:8081"\n{MAIN}')) == {"cluster.listen"}


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    """Text from the environment is read as whatever type its key has."""
    config = loaded(
        tmp_path,
        MAIN,
        JMAP_GATEWAY_HTTP__LISTEN="[::1]:9000",
        JMAP_GATEWAY_HTTP__CORS_ORIGINS="https://a.example, https://b.example",
        JMAP_GATEWAY_LIMITS__MAX_OBJECTS_IN_GET="7",
        JMAP_GATEWAY_STRICT_USING="true",
        JMAP_GATEWAY_UPSTREAMS__MAIN__MAX_STALENESS_S="0.5",
        JMAP_GATEWAY_PASSWORD="not a setting",
        HOME="/root",
    )
    assert config.http.listen == Listen("::1", 9000)
    assert config.http.cors_origins == ("https://a.example", "https://b.example")
    assert config.limits.max_objects_in_get == 7
    assert config.strict_using
    assert config.upstreams["main"].max_staleness_s == 0.5


def test_environment_alone_is_enough() -> None:
    config = load(None, {"JMAP_GATEWAY_UPSTREAMS__X__IMAP": "imaps://h"})
    assert list(config.upstreams) == ["x"]


def test_environment_finds_an_upstream_with_a_dash(tmp_path: Path) -> None:
    config = loaded(
        tmp_path, '[upstreams.My-Mail]\nimap = "imaps://a"\n', JMAP_GATEWAY_UPSTREAMS__MY_MAIL__IMAP="imaps://b"
    )
    assert config.upstreams["My-Mail"].imap.host == "b"


def test_unknown_environment_variable_is_a_fault(tmp_path: Path) -> None:
    assert "did you mean listen?" in faults(tmp_path, MAIN, JMAP_GATEWAY_HTTP__LISTN="x:1")["http.listn"]


def test_secret_from_a_file(tmp_path: Path) -> None:
    """A secret's file may end in a line end, and nothing of it prints."""
    (tmp_path / "pw").write_text("hunter2\n")
    text = f'{MAIN}auth = "master"\nmaster_login = "m"\nmaster_password_file = "{tmp_path}/pw"\n'
    config = loaded(tmp_path, text)
    assert config.upstreams["main"].master_password == Secret("hunter2")
    assert "hunter2" not in repr(config)


def test_secret_twice_is_a_fault(tmp_path: Path) -> None:
    text = f'{MAIN}auth = "master"\nmaster_login = "m"\nmaster_password = "a"\nmaster_password_file = "b"\n'
    assert "upstreams.main.master_password_file" in faults(tmp_path, text)


def test_faults_never_show_a_secret(tmp_path: Path) -> None:
    text = '[upstreams.main]\nimap = "imaps://ann:hunter2@h"\nauth = "master"\nmaster_password = 4711\n'
    assert not any("hunter2" in text or "4711" in text for text in faults(tmp_path, text).values())


def test_one_domain_one_upstream(tmp_path: Path) -> None:
    text = MAIN + '[upstreams.other]\nimap = "imaps://b"\n'
    assert "[upstreams.main] has it too" in faults(tmp_path, text)["upstreams.other.domains"]


def test_tls_needs_both_files(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("x")
    assert "http.tls_key" in faults(tmp_path, f'[http]\ntls_cert = "{tmp_path}/c"\n{MAIN}')


def test_master_needs_its_login(tmp_path: Path) -> None:
    assert set(faults(tmp_path, f'{MAIN}auth = "master"\n')) == {
        "upstreams.main.master_login",
        "upstreams.main.master_password",
    }


def test_quota_holds_one_upload(tmp_path: Path) -> None:
    assert "limits.upload_quota" in faults(tmp_path, f'[limits]\nupload_quota = "1 MB"\n{MAIN}')


def test_whom_a_login_may_send_as(tmp_path: Path) -> None:
    """Templates, and a file of lines that is read at the start."""
    listed = tmp_path / "aliases"
    listed.write_text("# ours\nAnn@a.example: ann@b.example, *@ann.example\n\nann@A.example: third@c.example # more\n")
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[upstreams.main]\nimap = "imaps://imap.a.example"\naddress = "{user}@a.example"\n'
        f'aliases = ["*@{{user}}.example", "*"]\naliases_file = "{listed}"\n'
    )
    upstream = load(config, {}).upstreams["main"]
    assert upstream.address == "{user}@a.example"
    assert upstream.aliases_file == {"ann@a.example": ("ann@b.example", "*@ann.example", "third@c.example")}


@pytest.mark.parametrize(
    "address", ["", "a b@c", "@a.example", "a@b@c", "{name}@a.example", "<a@b.example>", "a@", "a\nb@c"]
)
def test_an_address_that_is_none_is_a_fault(tmp_path: Path, address: str) -> None:
    for line in (f"address = {json.dumps(address)}", f"aliases = [{json.dumps(address)}]"):
        config = tmp_path / "gateway.toml"
        config.write_text(f'[upstreams.main]\nimap = "imaps://imap.a.example"\n{line}\n')
        with pytest.raises(ConfigError, match=line.partition(" ")[0]):
            load(config, {})


def test_a_login_that_sends_as_no_address_is_warned_of(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[upstreams.main]\nimap = "imaps://a.example"\nsmtp = "submissions://a.example"\n')
    assert any("upstreams.main.address" in warning for warning in load(config, {}).warnings)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sieve://mail.test", ("mail.test", 4190, "starttls")),
        ("sieve://mail.test:2000", ("mail.test", 2000, "starttls")),
        ("sieves://mail.test", ("mail.test", 4190, "tls")),
    ],
)
def test_where_the_scripts_are(url: str, expected: tuple[str, int, str], tmp_path: Path) -> None:
    """sieve:// means STARTTLS, sieves:// TLS from the start; both on ManageSieve's own port."""
    path = tmp_path / "gateway.toml"
    path.write_text(f'[upstreams.a]\nimap = "imaps://mail.test"\nsieve = "{url}"\n')
    address = load(path, {}).upstreams["a"].sieve
    assert address is not None
    assert (address.host, address.port, address.security) == expected


def test_an_upload_fits_into_redis(tmp_path: Path) -> None:
    """A string of Redis has 512 MiB at most."""
    text = f'[store]\nredis_url = "redis://127.0.0.1"\n{VAULT}[limits]\nmax_size_upload = "600 MB"\n{MAIN}'
    assert set(faults(tmp_path, text)) == {"limits.max_size_upload"}
