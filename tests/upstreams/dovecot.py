"""Dovecot on loopback, in four tiers of what it offers.

Any login works with the one password, and its empty account appears at the first login. Two logins are special:
`tiny` has a quota of 64 KiB, `locked` is always refused.

`imap_capability` changes only what Dovecot advertises; it would still obey IDLE or MOVE. So the plain port of a cut
tier is that of `front.py`, which refuses what is not advertised. The imaps port is Dovecot's own.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

from demo.ports import HOST
from tests.upstreams.certificates import make_certificates
from tests.upstreams.place import Place
from tests.upstreams.upstream import DOMAIN, PASSWORD, SPECIAL_USE, Upstream

REPOSITORY = Path(__file__).resolve().parents[2]
MASTER_PASSWORD = "mastersecret"
Tier = Literal["full", "condstore", "uidplus", "bare"]
CAPABILITIES: dict[Tier, str | None] = {
    "full": None,
    "condstore": "IMAP4rev1 CONDSTORE ENABLE ESEARCH IDLE LIST-EXTENDED LIST-STATUS MOVE SPECIAL-USE UIDPLUS UNSELECT",
    "uidplus": "IMAP4rev1 UIDPLUS",
    "bare": "IMAP4rev1",
}
LISTENERS = ("imap", "imaps", "sieve", "submission", "submissions", "lmtp")


def start(
    place: Place,
    tier: Tier = "full",
    *,
    quota: str = "20G",
    max_connections: int = 10,
    rawlog: bool = False,
    shares: bool = False,
) -> Upstream:
    """Start Dovecot. `max_connections` is per login and address; 10 is the packaged default.

    With `rawlog`, each IMAP connection is recorded in `rawlog/LOGIN/`, if that directory exists. With `shares` there
    are ACLs, the mailboxes of others under `shared/`, and those of everybody under `Public/`.
    """
    tls = make_certificates(place.make("tls"), domain=DOMAIN)
    for name in ("home", "state", "run"):
        place.make(name)
    place.write("users", f"tiny:::::{place.dir}/home/tiny::userdb_quota_rule=*:storage=64k\n")
    place.write("denied", "locked\n")
    place.write("masters", f"master:{{PLAIN}}{MASTER_PASSWORD}\n")
    ports = {name: place.port(name) for name in (*LISTENERS, "smtp")}
    if CAPABILITIES[tier] is not None:
        ports["imap"] = place.port("imap-behind")
    config = place.write(
        "dovecot.conf",
        _main(place, tier, quota, max_connections)
        + (f"protocol imap {{\n  rawlog_dir = {place.make('rawlog')}/%u\n}}\n" if rawlog else "")
        + f"ssl_cert = <{tls.certificate}\nssl_key = <{tls.key}\n"
        + _accounts(place)
        + _mailboxes()
        + (_shares(place) if shares else "")
        + _services(place, ports),
    )
    place.spawn("dovecot", [dovecot_path(), "-F", "-c", config])
    if (capability := CAPABILITIES[tier]) is not None:
        front = [sys.executable, "-m", "tests.upstreams.front", "--offers", capability]
        argv = [*front, "--port", str(place.port("imap")), "--to", str(ports["imap"])]
        place.spawn("front", argv, {"PYTHONPATH": str(REPOSITORY)})
    place.wait_for_ports("lmtp", "imap")
    return Upstream(
        kind="dovecot" if tier == "full" else f"dovecot-{tier}",
        place=place,
        ca_file=tls.ca,
        master=("USER*master", MASTER_PASSWORD),
        maildir=f"{place.dir}/home/USER/Maildir",
    )


def dovecot_path() -> str:
    """Where dovecot is; /usr/sbin is not on everybody's PATH."""
    return shutil.which("dovecot") or "/usr/sbin/dovecot"


def _main(place: Place, tier: Tier, quota: str, max_connections: int) -> str:
    root, user = place.root, place.owner.pw_name
    capability = CAPABILITIES[tier]
    # A cut-down tier does not say who it is either: nothing may be guessed from the greeting.
    cut = (
        f"login_greeting = IMAP ready.\nprotocol imap {{\n  imap_capability = {capability}\n}}\n" if capability else ""
    )
    return f"""\
base_dir = {place.dir}/run
state_dir = {place.dir}/state
log_path = {place.dir}/log/dovecot.log
instance_name = {place.dir.name}
protocols = imap lmtp sieve submission
listen = {HOST}
hostname = {DOMAIN}
postmaster_address = postmaster@{DOMAIN}
default_login_user = {"dovenull" if root else user}
default_internal_user = {"dovecot" if root else user}
default_internal_group = {"dovecot" if root else place.group}
mail_uid = {user}
mail_gid = {place.group}
first_valid_uid = {place.owner.pw_uid}
first_valid_gid = 1
ssl = yes
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Ln
auth_master_user_separator = *
auth_failure_delay = 0
mail_location = maildir:~/Maildir
mail_plugins = quota
mail_fsync = never
mail_max_userip_connections = {max_connections}
mail_attribute_dict = file:%h/dovecot-attributes
imap_metadata = yes
plugin {{
  quota = count:User quota
  quota_rule = *:storage={quota}
  quota_vsizes = yes
  sieve = file:~/sieve;active=~/.dovecot.sieve
  sieve_extensions = +vacation-seconds +editheader
  sieve_vacation_min_period = 0
}}
submission_host = {HOST}:{place.port("smtp")}
submission_relay_host = {HOST}
submission_relay_port = {place.port("smtp")}
submission_relay_trusted = yes
protocol imap {{
  mail_plugins = $mail_plugins imap_quota
}}
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
}}
{cut}"""


def _accounts(place: Place) -> str:
    ids = f"uid={place.owner.pw_uid} gid={place.owner.pw_gid}"
    return f"""\
passdb {{
  driver = passwd-file
  args = {place.dir}/denied
  deny = yes
}}
passdb {{
  driver = passwd-file
  args = {place.dir}/masters
  master = yes
  result_success = continue
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = passwd-file
  args = {place.dir}/users
  default_fields = {ids}
}}
userdb {{
  driver = static
  args = {ids} home={place.dir}/home/%n allow_all_users=yes
}}
"""


def _mailboxes() -> str:
    special = "".join(
        f"  mailbox {name} {{\n    auto = subscribe\n    special_use = \\{name}\n  }}\n" for name in SPECIAL_USE
    )
    return f"namespace inbox {{\n  inbox = yes\n  separator = /\n{special}}}\n"


def _shares(place: Place) -> str:
    """Return the namespaces that are not personal, and the ACL plugin, after all that sets `mail_plugins`."""
    place.make("public")
    place.write("acl", "Public authenticated lrwstipekx\nPublic/* authenticated lrwstipekx\n")
    return f"""\
namespace {{
  type = shared
  prefix = shared/%%n/
  separator = /
  location = maildir:{place.dir}/home/%%n/Maildir:INDEXPVT=~/shared/%%n
  subscriptions = no
  list = children
}}
namespace {{
  type = public
  prefix = Public/
  separator = /
  location = maildir:{place.dir}/public/Maildir:INDEXPVT=~/public
  subscriptions = no
  list = children
}}
mail_plugins = $mail_plugins acl
protocol imap {{
  mail_plugins = quota acl imap_quota imap_acl
}}
plugin {{
  acl = vfile:{place.dir}/acl
  acl_shared_dict = file:{place.dir}/state/shared-mailboxes.db
}}
"""


def _services(place: Place, ports: dict[str, int]) -> str:
    def listener(name: str, extra: str = "") -> str:
        return f"  inet_listener {name} {{\n    address = {HOST}\n    port = {ports[name]}\n{extra}  }}\n"

    tls = "    ssl = yes\n"
    return f"""\
service imap-login {{
  chroot =
{listener("imap")}{listener("imaps", tls)}}}
service managesieve-login {{
  chroot =
{listener("sieve")}}}
service submission-login {{
  chroot =
{listener("submission")}{listener("submissions", tls)}}}
service lmtp {{
{listener("lmtp")}  user = {place.owner.pw_name}
}}
service anvil {{
  chroot =
  # Wrong passwords are tested too; the penalty would slow down every later login from loopback.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
"""
