"""The HTTP side: one endpoint per module, and what surrounds them.

app = make_app(Site(public_url=…, authenticator=…, …))
listener = Listener(app, host, port, tls_context(cert, key))
"""

from gateway.web.admin import make_admin_app
from gateway.web.app import make_app
from gateway.web.listener import Listener, tls_context
from gateway.web.proxy import Proxies
from gateway.web.site import AccountsOf, Blob, OpenBlob, Site

__all__ = ["AccountsOf", "Blob", "Listener", "OpenBlob", "Proxies", "Site", "make_admin_app", "make_app", "tls_context"]
