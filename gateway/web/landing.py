"""GET /: one small page for whoever opens the gateway in a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path
from string import Template

from aiohttp import hdrs, web

from gateway import __version__
from gateway.web.site import SITE

_TEXT = (Path(__file__).parent / "landing.html").read_text(encoding="utf-8")
_PAGE = Template(_TEXT)
_STYLE = re.search(r"<style>(.*?)</style>", _TEXT, re.DOTALL)
_HASH = base64.b64encode(hashlib.sha256((_STYLE[1] if _STYLE else "").encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; frame-ancestors 'none'"


async def get_landing(request: web.Request) -> web.StreamResponse:
    site = request.app[SITE]
    base = site.base(request)
    text = _PAGE.substitute(session_url=html.escape(f"{base}/.well-known/jmap"), version=html.escape(__version__))
    headers = {"Content-Security-Policy": _POLICY, hdrs.CACHE_CONTROL: "no-cache", "Referrer-Policy": "no-referrer"}
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)
