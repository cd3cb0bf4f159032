"""Read the configuration from a TOML file and the environment, and check it whole.

Rule 1: every fault is found and told at once: the key, what is wrong, the fix. Nothing is guessed or ignored.
Rule 2: the environment overrides the file: JMAP_GATEWAY_SECTION__KEY, JMAP_GATEWAY_UPSTREAMS__NAME__KEY,
        JMAP_GATEWAY_STRICT_USING. Lists are separated by commas.
Rule 3: a setting that is a `Secret`, or holds one, has a twin, NAME_file, that names a file to read it from.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from gateway.config.checks import Listen, Text, Wrong, check_file, check_secret
from gateway.config.redis_url import check_redis_url
from gateway.config.sections import SECTIONS, Config, Upstream
from gateway.config.together import check_together

ENVIRONMENT_PREFIX = "JMAP_GATEWAY_"
NOT_SETTINGS = frozenset({"JMAP_GATEWAY_CONFIG", "JMAP_GATEWAY_PASSWORD"})  # read by the command line
MAX_SECRET_OCTETS = 65_536  # a password or a key; more is the wrong file
_SECRETS = {"master_password", "redis_url", "vault_keys"}
_SECRET_CHECKS = (check_secret, check_redis_url)  # of values that hold a secret
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Fault(NamedTuple):
    """One thing wrong with the configuration."""

    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}\n      {self.fix}"


class ConfigError(ValueError):
    """The configuration cannot be used. `faults` holds everything that is wrong with it."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        super().__init__(f"{source} cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = tuple(faults)


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Return the configuration of a file (None: of the environment alone), or raise `ConfigError`."""
    source = str(path) if path is not None else "the environment"
    try:
        text = path.read_text(encoding="utf-8") if path is not None else ""
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, [Fault("syntax", str(error), "this is not TOML; see https://toml.io")]) from None
    except UnicodeDecodeError:
        raise ConfigError(source, [Fault("file", "is not UTF-8 text", "save it as UTF-8")]) from None
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise ConfigError(source, [Fault("file", what, "check the path and its permissions")]) from None
    faults: list[Fault] = []
    _override(document, environ, faults)
    config = _read(document, faults)
    warnings: list[str] = []
    for key, what, fix in check_together(config, warnings, complete=not faults):
        faults.append(Fault(key, what, fix))
    if faults:
        raise ConfigError(source, faults)
    return replace(
        config,
        http=replace(config.http, public_url=public_url(config)),
        upstreams={name: _in_the_clear(upstream) for name, upstream in config.upstreams.items()},
        warnings=tuple(warnings),
    )


def public_url(config: Config) -> str:
    """Return the URL that clients know the gateway by, without a slash at its end."""
    if config.http.public_url:
        return config.http.public_url
    scheme = "https" if config.http.tls_cert else "http"
    return f"{scheme}://{Listen(config.http.listen.host, config.http.listen.port)}"


def _in_the_clear(upstream: Upstream) -> Upstream:
    """Return the upstream with STARTTLS left out where `tls` says so."""
    if upstream.tls != "none":
        return upstream
    given = {name: getattr(upstream, name) for name in ("imap", "smtp", "sieve")}
    return replace(upstream, **{n: a._replace(security="none") for n, a in given.items() if a is not None})


def _override(document: dict[str, Any], environ: Mapping[str, str], faults: list[Fault]) -> None:
    """Put the environment's settings over the file's."""
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in NOT_SETTINGS:
            continue
        path = [part.lower() for part in name.removeprefix(ENVIRONMENT_PREFIX).split("__")]
        table: Any = document
        for part in path[:-1]:
            table = table.setdefault(_spelled(part, table), {})
            if not isinstance(table, dict):
                faults.append(Fault(name, f"{part} is no section", "see config/gateway.toml for the sections"))
                break
        else:
            key = path[-1]
            twin = key.removesuffix("_file") if key.endswith("_file") else f"{key}_file"
            if {key, twin} & _SECRETS:
                table.pop(twin, None)  # the environment replaces the file's way of giving this secret
            table[key] = Text(environ[name])


def _spelled(part: str, table: Mapping[str, Any]) -> str:
    """Return the key of `table` that an environment variable can only spell in capitals and underscores."""
    return next((key for key in table if key.lower().replace("-", "_") == part), part)


def _read(document: Mapping[str, Any], faults: list[Fault]) -> Config:
    values: dict[str, Any] = {}
    known = [*SECTIONS, "upstreams", "strict_using"]
    faults += [_unknown("", name, known) for name in document if name not in known]
    for name, section in SECTIONS.items():
        values[name] = _section(section, name, document.get(name, {}), faults)
    if "strict_using" in document:
        _check(_fields(Config)["strict_using"], "strict_using", document["strict_using"], values, faults)
    upstreams: dict[str, Upstream] = {}
    tables = document.get("upstreams", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        fix = 'give it a name: [upstreams.main], then imap = "imaps://imap.example.com"'
        faults.append(Fault("upstreams", "each upstream is a section of its own", fix))
        tables = {}
    for name, table in tables.items():
        key = f"upstreams.{name}"
        if not _NAME.fullmatch(name):
            faults.append(Fault(key, "is no name for an upstream", "use letters, digits, - and _, 64 at most"))
        upstream = _section(Upstream, key, table, faults, name=name)
        if upstream is not None:
            upstreams[name] = upstream
    kept = {name: value for name, value in values.items() if value is not None}
    return Config(upstreams=upstreams, **kept)


def _fields(section: type[Any]) -> dict[str, Field[Any]]:
    return {f.name: f for f in fields(section) if "check" in f.metadata}


def _section(section: type[Any], key: str, table: Any, faults: list[Fault], **given: Any) -> Any:
    """Return the section's value; None where it cannot be made for lack of something required."""
    if not isinstance(table, dict):
        faults.append(Fault(key, "is a section", f"write [{key}] on a line of its own"))
        return None
    known = _fields(section)
    secrets = [name for name, f in known.items() if f.metadata["check"] in _SECRET_CHECKS]
    twins = {f"{name}_file": name for name in secrets}
    values: dict[str, Any] = dict(given)
    for name, value in table.items():
        if name in known:
            _check(known[name], f"{key}.{name}", value, values, faults)
        elif name in twins:
            if twins[name] in table:
                faults.append(Fault(f"{key}.{name}", f"{twins[name]} is given as well", "keep one of the two"))
            else:
                _read_secret(f"{key}.{name}", known[twins[name]], value, values, faults)
        else:
            faults.append(_unknown(key, name, [*known, *twins]))
    missing = [n for n, f in known.items() if f.default is MISSING and n not in table]
    faults += [Fault(f"{key}.{name}", "is missing", known[name].metadata["fix"]) for name in missing]
    if any(f.default is MISSING and name not in values for name, f in known.items()):
        return None
    return section(**values)


def _check(field: Field[Any], key: str, value: Any, values: dict[str, Any], faults: list[Fault]) -> None:
    try:
        values[field.name] = field.metadata["check"](value)
    except Wrong as wrong:
        faults.append(Fault(key, wrong.what, wrong.fix))


def _read_secret(key: str, field: Field[Any], value: Any, values: dict[str, Any], faults: list[Fault]) -> None:
    try:
        octets = check_file(value).read_bytes()
        if len(octets) > MAX_SECRET_OCTETS:
            raise Wrong(f"{value!r} is larger than {MAX_SECRET_OCTETS} octets", "name the file that holds the secret")
        values[field.name] = field.metadata["check"](octets.decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        faults.append(Fault(key, f"{value!r} is not UTF-8 text", "name the file that holds the secret"))
    except OSError as error:
        faults.append(Fault(key, f"{value!r} cannot be read ({error.strerror})", "check its permissions"))
    except Wrong as wrong:
        faults.append(Fault(key, wrong.what, wrong.fix))


def _unknown(section: str, name: str, known: Sequence[str]) -> Fault:
    near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.6)
    fix = f"did you mean {near[0]}?" if near else "known here: " + ", ".join(sorted(known))
    return Fault(f"{section}.{name}" if section else name, "is not a known key", fix)
