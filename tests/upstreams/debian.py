"""Which Debian packages the servers come from, and getting them.

    python -m tests.upstreams.debian      install or unpack whatever is missing and may be had

Dovecot is installed. Cyrus and Courier cannot be: their packages conflict with Dovecot's and with one another, so they
are unpacked under `.cache/debian/` and only the libraries they need are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "debian"
TIMEOUT_S = 300.0  # a package mirror on a slow day

INSTALLED = {
    "dovecot": ("dovecot-imapd", "dovecot-lmtpd", "dovecot-managesieved", "dovecot-submissiond"),
}


def is_here(server: str) -> bool:
    """Whether the server can be started."""
    return missing(server) is None


def missing(server: str) -> str | None:
    """Why the server cannot be started, or None."""
    lacks = [package for package in INSTALLED[server] if not _is_installed(package)]
    return f"Debian packages missing: {' '.join(lacks)}" if lacks else None


def obtain() -> None:
    """Install and unpack what is missing. Says what it could not do and raises nothing: tests then skip visibly."""
    lacks = [package for packages in INSTALLED.values() for package in packages if not _is_installed(package)]
    if not lacks:
        return
    if shutil.which("apt-get") is None:
        print("not a Debian machine: install Dovecot by hand to run the tests that need it", file=sys.stderr)
        return
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and not _succeeds([*prefix, "true"]):
        print(f"neither root nor sudo: tests that need {' '.join(lacks)} will be skipped", file=sys.stderr)
        return
    install = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy", "--no-install-recommends"]
    if not _succeeds([*install, *lacks]):
        _succeeds([*prefix, "apt-get", "update", "-q"])
        _succeeds([*install, *lacks])


def _is_installed(package: str) -> bool:
    listing = Path(f"/var/lib/dpkg/info/{package}.list")
    return listing.exists()


def _succeeds(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=TIMEOUT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return False


if __name__ == "__main__":
    obtain()
