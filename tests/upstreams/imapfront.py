"""Accept IMAP connections, check LOGIN or AUTHENTICATE PLAIN, then run a maildir imapd on the connection.

    python -m tests.upstreams.imapfront --port P --home DIR --password W --capability '…'
        [--user mail] [--shared-index FILE] -- IMAPD ARG…

It plays the part of Courier's imaplogin, whose authdaemon insists on a system-wide socket. The real imapd then has the
connection as its stdin and stdout, and DIR/LOGIN as its directory.
"""

from __future__ import annotations

import argparse
import base64
import os
import pwd
import shlex
import signal
import socket
from pathlib import Path
from typing import NoReturn


class Closed(Exception):
    """The client has gone, or has logged out."""


def read_line(connection: socket.socket) -> str:
    """Read one line and not an octet more: what follows is for imapd."""
    line = b""
    while not line.endswith(b"\n"):
        octet = connection.recv(1)
        if not octet:
            raise Closed
        line += octet
    return line.decode("utf-8", "replace").rstrip("\r\n")


def read_words(connection: socket.socket) -> list[str]:
    """Read the words of a command, quoted strings and literals among them."""
    words: list[str] = []
    line = read_line(connection)
    while True:
        head, brace, size = line.rpartition("{")
        if not (brace and size.endswith("}")):
            return words + shlex.split(line)
        words += shlex.split(head)
        if not size.endswith("+}"):
            connection.sendall(b"+ OK\r\n")
        wanted, literal = int(size.strip("+}")), b""
        while len(literal) < wanted:
            octets = connection.recv(wanted - len(literal))
            if not octets:
                raise Closed
            literal += octets
        words.append(literal.decode())
        line = read_line(connection)


def log_in(connection: socket.socket, capability: str, password: str, home: Path) -> tuple[str, str]:
    """Talk until somebody is logged in. Return the tag to answer and the login."""

    def say(text: str) -> None:
        connection.sendall(text.encode() + b"\r\n")

    say(f"* OK [CAPABILITY {capability}] Courier-IMAP ready.")
    while True:
        try:
            tag, verb, *arguments = read_words(connection)
        except ValueError:
            say("* BAD syntax")
            continue
        given: list[str] = []
        match verb.upper():
            case "CAPABILITY":
                say(f"* CAPABILITY {capability}")
                say(f"{tag} OK CAPABILITY completed")
            case "NOOP":
                say(f"{tag} OK NOOP completed")
            case "LOGOUT":
                say("* BYE Courier-IMAP server shutting down")
                say(f"{tag} OK LOGOUT completed")
                raise Closed
            case "LOGIN" if len(arguments) == 2:
                given = arguments
            case "AUTHENTICATE" if arguments and arguments[0].upper() == "PLAIN":
                say("+ ")
                given = base64.b64decode(read_line(connection)).decode().split("\0")[1:]
            case _:
                say(f"{tag} NO Error in IMAP command received by server.")
        if len(given) == 2:
            login = given[0].lower().partition("@")[0]
            if given[1] == password and "/" not in login and (home / login).is_dir():
                return tag, login
            say(f"{tag} NO Login failed.")


def become_imapd(connection: socket.socket, chosen: argparse.Namespace) -> NoReturn:
    tag, login = log_in(connection, chosen.capability, chosen.password, chosen.home)
    peer = connection.getpeername()
    environment = {
        **os.environ,
        "AUTHENTICATED": login,
        "AUTHADDR": login,
        "IMAPLOGINTAG": tag,
        "PROTOCOL": "IMAP",
        "TCPREMOTEIP": peer[0],
        "TCPREMOTEPORT": str(peer[1]),
        "IMAP_CAPABILITY": chosen.capability,
        "IMAP_KEYWORDS": "1",
        "IMAP_ACL": "1",
        "IMAP_USELOCKS": "1",
        "IMAP_IDLE_TIMEOUT": "60",
        "IMAP_ENHANCEDIDLE": "0",
        "IMAP_TRASHFOLDERNAME": "Trash",
        "HOME": str(chosen.home / login),
        **({"IMAP_SHAREDINDEXFILE": str(chosen.shared_index)} if chosen.shared_index else {}),
    }
    os.chdir(chosen.home / login)
    if chosen.user and os.geteuid() == 0:
        user = pwd.getpwnam(chosen.user)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    os.execve(chosen.imapd[0], chosen.imapd, environment)


def serve(chosen: argparse.Namespace) -> NoReturn:
    """Accept for ever, one process a connection; hang up, as couriertcpd does, past the maximum."""
    children: set[int] = set()

    def reap(*_: object) -> None:
        try:
            while child := os.waitpid(-1, os.WNOHANG)[0]:
                children.discard(child)
        except ChildProcessError:
            pass

    signal.signal(signal.SIGCHLD, reap)
    server = socket.create_server(("127.0.0.1", chosen.port), backlog=64)
    while True:
        connection, _ = server.accept()
        if len(children) >= chosen.max_connections:
            connection.close()
            continue
        child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                become_imapd(connection, chosen)
            except (Closed, OSError):
                pass
            finally:
                os._exit(0)
        children.add(child)
        connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--capability", required=True)
    parser.add_argument("--max-connections", type=int, default=40)
    parser.add_argument("--user", help="run imapd as this user, if we are root")
    parser.add_argument("--shared-index", type=Path, help="the logins whose mailboxes others may be given")
    parser.add_argument("imapd", nargs="+")
    serve(parser.parse_args())
