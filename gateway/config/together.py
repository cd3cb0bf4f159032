"""What settings must agree on with each other, and what is allowed and yet unwise."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.sections import Config, Upstream

Found = tuple[str, str, str]  # key, what is wrong, the fix

REDIS_VALUE_OCTETS = 512 << 20  # of a string in Redis


def check_together(config: Config, warnings: list[str], *, complete: bool) -> Iterator[Found]:
    """Yield what does not fit together; add to `warnings`. `complete`: every single setting was right."""
    yield from _http(config, warnings)
    if complete and not config.upstreams:
        fix = 'add a section [upstreams.main] with imap = "imaps://imap.example.com"'
        yield "upstreams", "there is no mail server to stand in front of", fix
    owners: dict[str, str] = {}
    for upstream in config.upstreams.values():
        yield from _upstream(upstream, warnings)
        for domain in upstream.domains:
            if domain in owners:
                fix = f"[upstreams.{owners[domain]}] has it too; the login's domain must decide"
                yield f"upstreams.{upstream.name}.domains", f'"{domain}" is given twice', fix
            owners.setdefault(domain, upstream.name)
    if complete and config.upstreams and "*" not in owners:
        warnings.append('no upstream takes the domain "*": a login without a domain is refused')
    if config.limits.upload_quota < config.limits.max_size_upload:
        fix = "an account must have room for one upload at least"
        yield "limits.upload_quota", "is smaller than limits.max_size_upload", fix
    yield from _redis(config, warnings)
    yield from _cluster(config, warnings)


def _cluster(config: Config, warnings: list[str]) -> Iterator[Found]:
    cluster = config.cluster
    if config.store.redis_url is None:
        return
    if cluster.advertise is None and is_wildcard(cluster.listen.host):
        fix = 'write how other nodes reach this one: advertise = "10.0.0.1:8082"'
        yield "cluster.advertise", f"is missing, and {cluster.listen} is no address of a node", fix
    for name, other in (("http", config.http.listen), ("admin", config.admin.listen)):
        if cluster.listen == other and other.port:
            yield "cluster.listen", f"is the same as {name}.listen", "write another port: this one is for nodes only"
    if not (cluster.advertise or cluster.listen).is_loopback:
        warnings.append(
            "cluster.listen: what nodes pass on to each other, passwords and mail, is signed and not encrypted; "
            "keep it on a private network"
        )


def _http(config: Config, warnings: list[str]) -> Iterator[Found]:
    http = config.http
    if (http.tls_cert is None) is not (http.tls_key is None):
        missing = "http.tls_key" if http.tls_key is None else "http.tls_cert"
        yield missing, "is missing: TLS needs the certificate and its key", "give both or neither"
    if http.listen == config.admin.listen and http.listen.port:
        fix = 'write another port there, such as "127.0.0.1:8081"'
        yield "admin.listen", "is the same as http.listen", fix
    if not http.public_url:
        if not http.listen.is_loopback:
            fix = 'write what clients type: public_url = "https://jmap.example.com"'
            yield "http.public_url", f"is missing, and {http.listen} is no URL that a client could use", fix
        return
    url = urlsplit(http.public_url)
    if http.tls_cert and url.scheme == "http":
        fix = "write https://, for listen serves TLS"
        yield "http.public_url", f'"{http.public_url}" is http:// and http.tls_cert is set', fix
    if url.scheme == "http" and not http.listen.is_loopback:
        warnings.append(
            f"http.public_url is {http.public_url}: passwords and mail cross the network unencrypted; "
            "set tls_cert and tls_key, or put a TLS proxy in front and write https://"
        )
    if _is_loopback(url.hostname or "") and not http.listen.is_loopback:
        warnings.append(f"http.public_url is {http.public_url}: clients on other machines cannot follow it")
    if url.path:
        warnings.append(
            f"http.public_url has the path {url.path}: clients that know only the host look for "
            "/.well-known/jmap at its root, so route that here too"
        )


def _redis(config: Config, warnings: list[str]) -> Iterator[Found]:
    address = config.store.redis_url
    if address is None:
        if config.store.redis_ca_file is not None:
            yield "store.redis_ca_file", "means nothing: there is no redis_url", "leave it away"
        return
    if config.auth.vault_keys is None:
        # Each node must open what another has sealed, and what is sealed must not lie beside its key.
        fix = "give all nodes the same: a line of ID and 32 random octets in base64 (config/gateway.toml)"
        yield "auth.vault_keys", "is missing: store.redis_url is set, and the nodes need one key ring", fix
    if config.store.redis_ca_file is not None and not address.tls:
        yield "store.redis_ca_file", "means nothing: redis_url is without TLS", "write rediss://, or leave it away"
    if config.limits.max_size_upload > REDIS_VALUE_OCTETS:
        yield "limits.max_size_upload", "is more than Redis keeps in one value", 'write "512 MiB" or less'
    far = [host.name for host in address.hosts if not _is_loopback(host.name)]
    if far and not address.tls:
        warnings.append(f"store.redis_url: what is known of mail crosses the network to {far[0]} unencrypted")


def _upstream(upstream: Upstream, warnings: list[str]) -> Iterator[Found]:
    key = f"upstreams.{upstream.name}"
    masters = {"master_login": upstream.master_login, "master_password": upstream.master_password}
    for name, value in masters.items():
        if upstream.auth == "master" and value is None:
            yield f"{key}.{name}", 'is missing: auth is "master"', "give it, or choose another auth"
        if upstream.auth != "master" and value is not None:
            yield f"{key}.{name}", f'means nothing: auth is "{upstream.auth}"', 'write auth = "master" or leave it away'
    if upstream.auth != "oauth" and upstream.oauth_userinfo_url:
        fix = 'write auth = "oauth" or leave it away'
        yield f"{key}.oauth_userinfo_url", f'means nothing: auth is "{upstream.auth}"', fix
    if upstream.smtp is not None and "*" in upstream.domains and upstream.address == "{login}":
        warnings.append(
            f'{key}.address is "{{login}}", and {key}.domains has "*": a login without a domain sends as such; '
            'write address = "{user}@example.com"'
        )
    if upstream.tls == "none" and upstream.ca_file:
        yield f"{key}.ca_file", 'means nothing: tls is "none"', "leave one of the two away"
    for name, address in {"imap": upstream.imap, "smtp": upstream.smtp}.items():
        if upstream.tls == "none" and address is not None and address.security == "tls":
            fix = "write imap:// and submission://, or leave tls away" + (
                "" if upstream.ca_file else "; ca_file names an authority of your own"
            )
            yield f"{key}.{name}", 'always uses TLS with this scheme, and tls is "none"', fix
    if upstream.tls == "none" and not _is_loopback(upstream.imap.host):
        warnings.append(
            f'{key}.tls is "none": passwords and mail cross the network to {upstream.imap.host} unencrypted'
        )


def is_wildcard(host: str) -> bool:
    """Tell whether this means every address of the machine."""
    return host in ("0.0.0.0", "::")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
