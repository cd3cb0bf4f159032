"""One running gateway: listeners in front, accounts behind, and what has to be done every now and then."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from gateway.account.account import Account
from gateway.auth.caller import Caller
from gateway.auth.login import Authenticator
from gateway.auth.userinfo import login_of_token
from gateway.config import Config
from gateway.jmap.capability import MAIL_SHARE, WEBSOCKET
from gateway.jmap.dispatch import Dispatcher
from gateway.jmap.limits import Limits
from gateway.jmap.method import Registry
from gateway.methods import push_subscription, register
from gateway.methods.blob_source import open_blob
from gateway.metrics import Metrics
from gateway.secret import Secret
from gateway.server.directory import Directory
from gateway.server.kept import open_vault
from gateway.server.meter import SyncMeter
from gateway.server.nodes import Others, Seat
from gateway.server.push import Push, pushing
from gateway.server.sending import Sending
from gateway.server.stores import KeptUploads, Stores, stores
from gateway.server.upstreams import Provider, providers, upstream_login
from gateway.server.work import AccountWork
from gateway.server.workers import take_seat
from gateway.sync import parsing
from gateway.upstream.imap import Credentials
from gateway.web.admin import make_admin_app
from gateway.web.app import make_app
from gateway.web.listener import Listener, tls_context
from gateway.web.proxy import Proxies
from gateway.web.site import Site

log = logging.getLogger(__name__)

SWEEP_UPLOADS_S = 300.0
WARM_UP_S = 30.0  # after the start: the process that parses for first indexings must not slow the start itself
# The index of a large mailbox is read as a hundred thousand small values at a time: collecting garbage as often as
# CPython does by default costs more than parsing.
GC_THRESHOLDS = (50_000, 20, 50)


async def serve(config: Config, worker: int | None = None) -> None:
    """Run the gateway until SIGTERM or SIGINT. Raise `OSError` or `ValueError` where it cannot start.

    `worker`: as one of several processes, by the descriptor of the socket to the parent of them.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    seat = None
    if worker is not None:
        config, seat = await take_seat(worker, config, stopping)
    if seat is None or seat.index == 0:
        for warning in config.warnings:
            log.warning("configuration", extra={"warning": warning})
    async with running(config, seat) as (host, port):
        if seat is not None:
            seat.ready()
        log.info("listening", extra={"host": host, "port": port, "public_url": config.http.public_url})
        await stopping.wait()
        log.info("stopping")


@asynccontextmanager
async def running(config: Config, seat: Seat | None = None) -> AsyncIterator[tuple[str, int]]:
    """Start everything; yield the address of the public listener; stop everything, last things first."""
    gc.set_threshold(*GC_THRESHOLDS)
    metrics = Metrics()
    upstreams = providers(config, metrics)
    async with stores(config, worker=seat.index if seat is not None else None) as opened:
        store = opened.user
        uploads = opened.uploads
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            authenticator = await _authenticator(config, upstreams, opened, metrics, http)
            push = await stack.enter_async_context(pushing(config, store, upstreams, authenticator, metrics))
            sending = Sending(config, store, opened.outgoing, push.kept, metrics)

            def brought(caller: Caller) -> None:
                push.brought(caller)
                sending.brought(caller)

            directory = push.directory = sending.directory = Directory(
                data_dir=config.store.data_dir,
                providers=upstreams,
                uploads=uploads,
                sort_orders=store,
                records=store,
                limits=Limits(**config.limits.core()),
                meter=SyncMeter(metrics),
                refused=push.refused,
                brought=brought,
                is_needed=lambda account_id: push.bus.is_listened(account_id) or sending.outbox.is_working(account_id),
                regrouped=push.bus.regroup,
                attach=sending.attach,
                detach=sending.detach,
            )
            work = AccountWork(directory, push, sending, authenticator)
            others: Others | None = None
            if seat is not None or opened.shared is not None:
                others = Others(config, metrics, work, await store.key("nodes"), seat=seat, shared=opened.shared)
                directory.owned = others
            metrics.gauge("accounts_open", "Accounts that are open", lambda: len(directory.accounts()))
            metrics.gauge(
                "accounts_filling",
                "Open accounts whose index is being filled in the background",
                lambda: sum(account.backend.is_filling() for account in directory.accounts()),
            )
            metrics.gauge("index_octets", "Size of the open indexes", lambda: _index_octets(directory.accounts()))
            site = _site(config, metrics, authenticator, directory, push)
            tls = None
            if config.http.tls_cert is not None and config.http.tls_key is not None:
                tls = tls_context(config.http.tls_cert, config.http.tls_key)
            reasons: list[str] = ["starting"]
            public = Listener(
                make_app(site),
                config.http.listen.host,
                config.http.listen.port,
                tls,
                drain_s=config.http.drain_s,
                shares_port=seat is not None,
            )
            admin = Listener(
                make_admin_app(metrics, lambda: reasons), config.admin.listen.host, config.admin.listen.port
            )
            chores = [
                asyncio.create_task(directory.close_idle()),
                asyncio.create_task(_sweep_uploads(uploads)),
                asyncio.create_task(_warm_up()),
            ]
            engines = [provider.sieve for provider in upstreams.values() if provider.sieve is not None]
            try:
                for engine in engines:
                    engine.start()
                await sending.start(others.is_ours if others is not None else lambda _account_id: True)
                if others is not None:
                    await others.start(site)
                else:
                    await work.begin_all(lambda _account_id: True)
                    await push.kept.sweep()
                await admin.start()
                address = await public.start()
                reasons.clear()
                yield address
            finally:
                reasons.append("stopping")
                site.is_leaving = True
                await asyncio.sleep(config.http.linger_s)
                for chore in chores:
                    chore.cancel()
                await asyncio.gather(*chores, return_exceptions=True)
                if others is not None:
                    await asyncio.gather(public.stop(), others.drain())
                    await others.aclose()
                else:
                    await public.stop()
                await push.aclose()
                await sending.aclose()
                await authenticator.aclose()
                await directory.aclose()
                for engine in engines:
                    await engine.aclose()
                await admin.stop()
                parsing.stop()


async def _authenticator(
    config: Config,
    upstreams: Mapping[str, Provider],
    opened: Stores,
    metrics: Metrics,
    http: aiohttp.ClientSession,
) -> Authenticator:
    async def verify(upstream: str, credentials: Credentials) -> None:
        await upstreams[upstream].verify(credentials)

    async def ask_login(upstream: str, token: Secret) -> str | None:
        url = config.upstreams[upstream].oauth_userinfo_url
        return await login_of_token(http, url, token) if url is not None else None

    return Authenticator(
        [upstream_login(upstream) for upstream in config.upstreams.values()],
        verify,
        account_key=await opened.user.key("account id"),
        cache_s=config.auth.cache_s,
        login_of_token=ask_login,
        on_login=metrics.login_done,
        proofs=opened.shared.proofs if opened.shared is not None else None,
        proof_key=(await open_vault(config)).derived("login proofs") if opened.shared is not None else b"",
    )


def _site(config: Config, metrics: Metrics, authenticator: Authenticator, directory: Directory, push: Push) -> Site:
    limits = Limits(**config.limits.core())
    registry = Registry()
    register(registry)
    push_subscription.register(registry, push.subscriptions)
    # Capabilities that bring no methods.
    told = (WEBSOCKET, MAIL_SHARE, *push.capabilities())
    return Site(
        public_url=config.http.public_url,
        authenticator=authenticator,
        accounts_of=directory.accounts_of,
        dispatcher=Dispatcher(
            registry, limits, strict_using=config.strict_using, on_call=metrics.method_done, capabilities=told
        ),
        limits=limits,
        open_blob=open_blob,
        metrics=metrics,
        proxies=Proxies(config.http.trusted_proxies),
        cors_origins=config.http.cors_origins,
        extra_capabilities=push.capabilities(),
        bus=push.bus,
        tickets=push.tickets,
        opened=directory.opened,
        streams=push.streams,
    )


async def _warm_up() -> None:
    await asyncio.sleep(WARM_UP_S)
    parsing.start()


async def _sweep_uploads(uploads: KeptUploads) -> None:
    while True:
        try:
            await uploads.sweep()
        except OSError:
            log.exception("expired uploads are not removed")  # a full or failing disk: nothing else depends on it
        await asyncio.sleep(SWEEP_UPLOADS_S)


def _index_octets(accounts: Sequence[Account]) -> int:
    return sum(account.path.stat().st_size for account in accounts if account.path.exists())
