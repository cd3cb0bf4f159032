"""Puts the parts together. The only package that knows all of them."""

from gateway.server.probe import probe
from gateway.server.serve import serve
from gateway.server.sync import sync_account
from gateway.server.workers import serve_workers

__all__ = ["probe", "serve", "serve_workers", "sync_account"]
