"""The admin listener: for machines that watch over the gateway. Not for the public."""

from gateway.web.admin.app import make_admin_app

__all__ = ["make_admin_app"]
