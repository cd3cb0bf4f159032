"""Cyrus 3.6 on loopback: OBJECTID, QRESYNC, LIST-MYRIGHTS, METADATA, PREVIEW, and a native JMAP to compare with.

A login has to be made known to SASL before its first use (`prepare`); its mailboxes appear when it first logs in.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from demo.ports import HOST
from tests.upstreams.certificates import make_certificates
from tests.upstreams.debian import CACHE, library_path
from tests.upstreams.place import Place
from tests.upstreams.upstream import DOMAIN, PASSWORD, SPECIAL_USE, USERS, Upstream

ADMIN = "admin"
SERVICES = {"imap": "imapd", "imaps": "imapd -s", "http": "httpd", "lmtp": "lmtpd -a", "sieve": "timsieved"}
DIRECTORIES = (
    *("conf", "conf/socket", "conf/db", "spool", "sieve", "search"),
    *("run", "run/proc", "run/lock", "run/socket"),
)


def start(place: Place) -> Upstream:
    """Start Cyrus's master with IMAP, LMTP, ManageSieve and JMAP."""
    root = CACHE / "cyrus"
    tls = make_certificates(place.make("tls"), domain=DOMAIN)
    for path in (tls.ca, tls.certificate, tls.key):
        place.give(path)
    for name in DIRECTORIES:
        place.make(name)
    ports = {name: place.port(name) for name in (*SERVICES, "smtp")}
    config = place.write("imapd.conf", _imapd_conf(place, ports["smtp"]))
    services = place.write("cyrus.conf", _cyrus_conf(root / "usr/lib/cyrus/bin", config, ports))
    for login in (ADMIN, *USERS):
        make_known(place, login)
    options: list[str | Path] = ["-D", "-C", config, "-M", services, "-p", place.dir / "run/master.pid"]
    place.spawn("master", [root / "usr/lib/cyrus/bin/master", *options], {"LD_LIBRARY_PATH": library_path("cyrus")})
    place.wait_for_ports("imap", "lmtp")
    return Upstream(
        kind="cyrus",
        place=place,
        ca_file=tls.ca,
        master=(ADMIN, PASSWORD),
        prepare=lambda login: make_known(place, login),
    )


def make_known(place: Place, login: str) -> None:
    """Give a login its password."""
    program, database = CACHE / "cyrus/usr/sbin/saslpasswd2", place.dir / "sasldb2"
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path("cyrus")}
    argv: list[str | Path] = [program, "-c", "-p", "-f", database, "-u", "localhost", login]
    subprocess.run(argv, input=PASSWORD.encode(), env=environment, check=True, capture_output=True)
    place.give(database)


def set_quota(server: Upstream, login: str, resources: str) -> None:
    """Limit an account: `STORAGE 100 MESSAGE 10` (RFC 9208's units)."""
    with server.imap(login), server.imap(ADMIN) as admin:  # the first login makes the mailboxes
        admin.xatom("SETQUOTA", f'"user/{login}"', f"({resources})")
        typ, answer = admin.getquota(f"user/{login}")
        assert typ == "OK", answer
        assert resources.split()[0].encode() in answer[0], answer


def _imapd_conf(place: Place, smtp_port: int) -> str:
    special_use = "\n".join(f"xlist-{name.lower()}: {name}" for name in SPECIAL_USE)
    mailboxes = "|".join(SPECIAL_USE)
    run = place.dir / "run"
    return f"""\
configdirectory: {place.dir}/conf
defaultpartition: default
partition-default: {place.dir}/spool
proc_path: {run}/proc
mboxname_lockpath: {run}/lock
cyrus_user: {place.owner.pw_name}
cyrus_group: {place.group}
servername: localhost
admins: {ADMIN}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {place.dir}/sasldb2
sasl_mech_list: PLAIN LOGIN
allowplaintext: yes
tls_server_cert: {place.dir}/tls/server.pem
tls_server_key: {place.dir}/tls/server.key
tls_client_ca_file: {place.dir}/tls/ca.pem
virtdomains: userid
defaultdomain: {DOMAIN}
altnamespace: yes
unixhierarchysep: yes
lmtp_downcase_rcpt: yes
autocreate_quota: 0
autocreate_inbox_folders: {mailboxes}
autocreate_subscribe_folders: {mailboxes}
{special_use}
specialusealways: 1
conversations: 1
conversations_db: twoskip
search_engine: xapian
search_batchsize: 8192
defaultsearchtier: t1
t1searchpartition-default: {place.dir}/search
sync_log: 1
sync_log_channels: squatter
expunge_mode: delayed
delete_mode: delayed
httpmodules: jmap
jmap_vacation: 1
smtp_backend: host
smtp_host: {HOST}:{smtp_port}
sievedir: {place.dir}/sieve
maxlogins_per_user: 0
lmtpsocket: {run}/socket/lmtp
idlesocket: {run}/socket/idle
notifysocket: {run}/socket/notify
"""


def _cyrus_conf(programs: Path, config: Path, ports: dict[str, int]) -> str:
    def command(words: str) -> str:
        name, _, options = words.partition(" ")
        return f'cmd="{programs}/{name} -C {config} {options}"'

    services = "\n".join(
        f'  {name} {command(words)} listen="{HOST}:{ports[name]}" prefork=1 maxchild=100'
        for name, words in SERVICES.items()
    )
    return f"""\
START {{
  recover {command("ctl_cyrusdb -r")}
}}
DAEMON {{
  idled {command("idled")}
  squatter {command("squatter -R")}
}}
SERVICES {{
{services}
}}
EVENTS {{
  checkpoint {command("ctl_cyrusdb -c")} period=30
}}
"""
