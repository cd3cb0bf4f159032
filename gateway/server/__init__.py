"""Puts the parts together. The only package that knows all of them."""

from gateway.server.probe import probe
from gateway.server.serve import serve
from gateway.server.stores import check_redis
from gateway.server.sync import sync_account
from gateway.server.workers import serve_workers

__all__ = ["check_redis", "probe", "serve", "serve_workers", "sync_account"]
