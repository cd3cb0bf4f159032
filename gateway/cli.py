"""The command line: `jmap-gateway serve | check-config | probe | sync`.

Rule 1: what a person can mend (a setting, a password, a server that is down) is one clear text, never a traceback.
Rule 2: a password is read from the terminal, a file or the environment, never from an argument: those show in `ps`.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import getpass
import json
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.config import Config, ConfigError, load
from gateway.log import configure
from gateway.secret import Secret

MAX_WORKERS = 256
OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

EXIT_CODES = f"""\
exit codes:
  {OK}    it worked
  {FAILED}    it did not: the text on standard error says what and why
  {USAGE}    the command line or the configuration cannot be used
  {INTERRUPTED}  interrupted (Ctrl-C)
"""
PASSWORD = """\
The password is taken from --password-file, else from the environment variable JMAP_GATEWAY_PASSWORD, else asked for on
the terminal.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except ConfigError as error:
        print(f"jmap-gateway: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _make(
        argparse.ArgumentParser,
        prog="jmap-gateway",
        description="A JMAP server in front of any IMAP server.",
        epilog="""\
examples:
  jmap-gateway check-config config/gateway.toml
  jmap-gateway serve --config config/gateway.toml
  jmap-gateway probe --config config/gateway.toml ann@example.com

`jmap-gateway COMMAND --help` says more of each.

"""
        + EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"jmap-gateway {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    serve = _make(
        commands.add_parser,
        "serve",
        help="run the gateway",
        description="Run the gateway until SIGTERM or SIGINT; requests under way are finished first.",
        epilog="""\
examples:
  jmap-gateway serve --config /etc/jmap-gateway/gateway.toml
  JMAP_GATEWAY_UPSTREAMS__MAIN__IMAP=imaps://imap.example.com jmap-gateway serve
""",
    )
    _add_config(serve)
    serve.add_argument(
        "--workers",
        metavar="N",
        type=_count,
        default=1,
        help="processes that share the port, for as many cores; admin.listen (with Redis cluster.listen too) is the "
        "first one's port, and the next ports are those of the others",
    )
    serve.add_argument("--worker", type=int, help=argparse.SUPPRESS)  # the socket to the parent
    serve.set_defaults(run=_serve)

    check = _make(
        commands.add_parser,
        "check-config",
        help="check a configuration and start nothing",
        description="Check a configuration file (and the environment's overrides), and say what is wrong, all at once. "
        "A Redis that it names is asked whether it keeps what it is given.",
        epilog="example:\n  jmap-gateway check-config config/gateway.toml\n",
    )
    check.add_argument("file", metavar="FILE", type=Path, help="the configuration file")
    check.set_defaults(run=_check)

    probe = _make(
        commands.add_parser,
        "probe",
        help="log in upstream and say what will work",
        description="Log in to a mail server and say, in plain words, what it offers and what JMAP clients get of it.",
        epilog=f"{PASSWORD}\nexample:\n  jmap-gateway probe --config config/gateway.toml ann@example.com\n",
    )
    _add_account(probe)
    probe.set_defaults(run=_probe)

    sync = _make(
        commands.add_parser,
        "sync",
        help="index an account now",
        description="Read an account's mailboxes into its index, so that its first client does not wait for it. "
        "Not with redis_url: there the node that owns an account does it.",
        epilog=f"{PASSWORD}\nexample:\n  jmap-gateway sync --config config/gateway.toml ann@example.com\n",
    )
    _add_account(sync)
    sync.add_argument("--json", action="store_true", help="print what it took as a line of JSON on standard output")
    sync.set_defaults(run=_sync)
    return parser


def _make(make: Any, *arguments: Any, **options: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = make(
        *arguments, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
    )
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the configuration file (else the one that JMAP_GATEWAY_CONFIG names, else the environment alone)",
    )


def _count(text: str) -> int:
    if not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError
    return int(text)


def _add_account(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("user", metavar="USER", help="the login at the mail server")
    parser.add_argument("--password-file", metavar="FILE", type=Path, help="a file whose first line is the password")


def _load(options: argparse.Namespace) -> Config:
    named = os.environ.get("JMAP_GATEWAY_CONFIG")
    path = options.config or (Path(named) if named else None)
    return load(path, os.environ)


def _serve(options: argparse.Namespace) -> int:
    config = _load(options)
    configure(config.log.level, config.log.format)
    from gateway import server  # here, for it loads everything and the other commands want to be quick

    if options.worker is not None or options.workers == 1:
        return _run(server.serve(config, options.worker))
    arguments = ["serve", *(["--config", str(options.config)] if options.config else [])]
    return _run(server.serve_workers(config, options.workers, arguments))


def _check(options: argparse.Namespace) -> int:
    config = load(options.file, os.environ)
    warnings = list(config.warnings)
    if config.store.redis_url is not None:
        from gateway import server

        warnings += asyncio.run(server.check_redis(config))
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"{options.file} is fine.")
    print(f"  listens on  {config.http.listen}{' with TLS' if config.http.tls_cert else ''}")
    print(f"  clients use {config.http.public_url}/.well-known/jmap")
    if config.store.redis_url is not None:
        print(
            f"  one of several nodes on Redis at {config.store.redis_url}; the others reach it at "
            f"{config.cluster.advertise or config.cluster.listen}"
        )
    for upstream in config.upstreams.values():
        address = upstream.imap
        print(f"  {', '.join(upstream.domains)} -> {address.host}:{address.port} ({upstream.name}, {upstream.auth})")
    return OK


def _probe(options: argparse.Namespace) -> int:
    config = _load(options)
    configure("error", config.log.format)
    password = _password(options)
    if password is None:
        return USAGE
    from gateway import server

    return _run(server.probe(config, options.user, password, print))


def _sync(options: argparse.Namespace) -> int:
    config = _load(options)
    configure("error", config.log.format)
    password = _password(options)
    if password is None:
        return USAGE
    from gateway import server

    bar = ProgressBar()

    async def index() -> None:
        try:
            done = await server.sync_account(config, options.user, password, bar.show)
        finally:
            bar.end()
        if options.json:
            print(json.dumps(dataclasses.asdict(done)))
        else:
            print(f"{done.messages:,} messages in {done.mailboxes} mailboxes, {done.seconds:.1f} s")

    return _run(index())


def _run(work: Coroutine[Any, Any, Any]) -> int:
    """Run to the end. What went wrong is told in a line; the traceback only to whoever asks for it."""
    try:
        result = asyncio.run(work)
    except Exception as error:
        if os.environ.get("JMAP_GATEWAY_LOG__LEVEL") == "debug":
            raise
        print(f"jmap-gateway: {str(error) or type(error).__name__}", file=sys.stderr)
        if not isinstance(error, OSError | ValueError):
            print("JMAP_GATEWAY_LOG__LEVEL=debug shows where it went wrong.", file=sys.stderr)
        return FAILED
    return result if isinstance(result, int) and not isinstance(result, bool) else OK


def _password(options: argparse.Namespace) -> Secret | None:
    """Return the password, or None after having said why there is none."""
    if options.password_file is not None:
        try:
            lines = options.password_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            print(f"jmap-gateway: {options.password_file} cannot be read: {reason}", file=sys.stderr)
            return None
        text = lines[0] if lines else ""
    elif "JMAP_GATEWAY_PASSWORD" in os.environ:
        text = os.environ["JMAP_GATEWAY_PASSWORD"]
    elif sys.stdin.isatty():
        text = getpass.getpass(f"password of {options.user}: ")
    else:
        print("jmap-gateway: no terminal to ask for the password on.\n" + PASSWORD, file=sys.stderr)
        return None
    if not text:
        print("jmap-gateway: the password is empty", file=sys.stderr)
        return None
    return Secret(text)


class ProgressBar:
    """One line on standard error that grows; where that is no terminal, a line for each mailbox."""

    WIDTH = 30

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._last = ""

    def show(self, label: str, done: int, total: int) -> None:
        """Show that `done` of `total` messages of the mailbox `label` are indexed."""
        part = min(done / total, 1.0) if total > 0 else 1.0
        name = "".join(c if c.isprintable() else "?" for c in label)[:30]
        if self._is_terminal:
            filled = round(part * self.WIDTH)
            text = f"\r{name:<30} [{'#' * filled}{'.' * (self.WIDTH - filled)}] {done:>9,} of {total:,}"
            print(text + " " * max(0, len(self._last) - len(text)), end="", file=sys.stderr, flush=True)
            self._last = text
        elif done >= total and name != self._last:
            print(f"{name}: {total:,} messages", file=sys.stderr)
            self._last = name

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal and self._last:
            print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
