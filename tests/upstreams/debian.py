"""Which Debian packages the servers come from, and getting them.

    python -m tests.upstreams.debian [SERVER…]      install or unpack whatever is missing and may be had

Dovecot is installed. Cyrus and Courier cannot be: their packages conflict with Dovecot's and with one another, so they
are unpacked under `.cache/debian/`, and only libraries that they share with much else are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "debian"
TIMEOUT_S = 300.0  # a package mirror on a slow day

INSTALLED: dict[str, tuple[str, ...]] = {
    "dovecot": ("dovecot-imapd", "dovecot-lmtpd", "dovecot-managesieved", "dovecot-submissiond"),
    "cyrus": (
        *("libgssapi-krb5-2", "libicu72", "libldap-2.5-0", "libnsl2", "libsasl2-2", "libsasl2-modules"),
        *("libsasl2-modules-db", "libsqlite3-0", "libxml2"),
    ),
    "courier": ("libstdc++6", "libglib2.0-0"),
    "redis": ("redis-server", "redis-tools"),
}
TOOLS = {  # program -> package
    "curl": "curl",  # what `make run` prints is a curl line
    "chromium": "chromium",  # a page's own EventSource and fetch, with its rules for other origins
}
UNPACKED: dict[str, tuple[str, ...]] = {
    "cyrus": (
        *("cyrus-imapd", "cyrus-common", "cyrus-caldav", "sasl2-bin", "libbrotli1", "libclamav12", "libical3"),
        *("libjansson4", "libnghttp2-14", "libpcre3", "libpq5", "libshp2", "libwrap0", "libxapian30", "libzephyr4"),
    ),
    "courier": (
        *("courier-imap", "courier-base", "courier-authdaemon", "courier-authlib", "courier-authlib-userdb"),
        *("libcourier-unicode4", "gamin", "libgamin0", "libgdbm6", "libidn12", "libltdl7"),
    ),
}
# What shows that all is unpacked, and links to the most libraries.
PROGRAMS = {"cyrus": ("usr/lib/cyrus/bin/httpd",), "courier": ("usr/bin/imapd", "usr/libexec/gam_server")}


def missing(server: str) -> str | None:
    """Why the server cannot be started, or None."""
    if server not in UNPACKED:
        lacks = [package for package in INSTALLED[server] if not _is_installed(package)]
        return f"Debian packages missing: {' '.join(lacks)}" if lacks else None
    if not _is_unpacked(server):
        return f"not unpacked in {CACHE / server}: python -m tests.upstreams.debian"
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path(server)}
    programs = [CACHE / server / program for program in PROGRAMS[server]]
    linked = subprocess.run(["ldd", *programs], env=environment, capture_output=True, text=True)
    lacks = [line.split()[0] for line in linked.stdout.splitlines() if "not found" in line]
    return f"shared libraries missing: {' '.join(lacks)}" if lacks else None


def library_path(server: str) -> str:
    """LD_LIBRARY_PATH for an unpacked server."""
    root = CACHE / server
    found = [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"), root / "usr/lib"]
    return ":".join(map(str, [*found, root / "usr/lib/courier-authlib"]))


def obtain(servers: Sequence[str] = ()) -> None:
    """Install and unpack what is missing. Say what could not be had and raise nothing: tests then skip visibly."""
    if shutil.which("apt-get") is None:
        print("not a Debian machine: install Dovecot by hand to run the tests that need it", file=sys.stderr)
        return
    chosen = servers or (*INSTALLED, *TOOLS)
    wanted = [package for server in chosen if server in INSTALLED and missing(server) for package in INSTALLED[server]]
    wanted += [TOOLS[tool] for tool in chosen if tool in TOOLS and shutil.which(tool) is None]
    _install([package for package in wanted if not _is_installed(package)])
    for server in UNPACKED.keys() & set(chosen):
        if not _is_unpacked(server) and not _unpack(server):
            print(f"could not unpack {server}: its tests will be skipped", file=sys.stderr)


def _install(packages: Sequence[str]) -> None:
    if not packages:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not _succeeds([*as_root, "true"]):
        print(f"neither root nor sudo: tests that need {' '.join(packages)} will be skipped", file=sys.stderr)
        return
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy"]
    install = [*apt, "install", "--no-install-recommends", *packages]
    if not _succeeds(install) and _succeeds([*apt, "update"]):
        _succeeds(install)


def _unpack(server: str) -> bool:
    debs, making = CACHE / f"{server}.debs", CACHE / f"{server}.part"
    for directory in (debs, making):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    unpacked = _succeeds(["apt-get", "download", "-q", *UNPACKED[server]], debs) and all(
        _succeeds(["dpkg-deb", "-x", str(deb), str(making)]) for deb in debs.glob("*.deb")
    )
    if unpacked:
        shutil.rmtree(CACHE / server, ignore_errors=True)
        making.rename(CACHE / server)
    shutil.rmtree(debs, ignore_errors=True)
    shutil.rmtree(making, ignore_errors=True)
    return unpacked


def _is_unpacked(server: str) -> bool:
    return all((CACHE / server / program).exists() for program in PROGRAMS[server])


def _is_installed(package: str) -> bool:
    names = Path("/var/lib/dpkg/info").glob(f"{package}*.list")
    return any(path.name.split(".list")[0].split(":")[0] == package for path in names)


def _succeeds(argv: Sequence[str], directory: Path | None = None) -> bool:
    try:
        done = subprocess.run(argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return False
    return done.returncode == 0


if __name__ == "__main__":
    obtain(sys.argv[1:])
