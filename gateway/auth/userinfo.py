"""Ask an OpenID Connect provider whose token this is (OpenID Connect Core 1.0 section 5.3)."""

from __future__ import annotations

import aiohttp
import orjson

from gateway.auth.header import login_of
from gateway.secret import Secret

TIMEOUT_S = 10.0  # of the whole question; a request waits for it
MAX_OCTETS = 65_536  # of the answer: a handful of claims


async def login_of_token(session: aiohttp.ClientSession, url: str, token: Secret) -> str | None:
    """Return the login, None for an unknown token. Raise `OSError` where the provider cannot be asked."""
    headers = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        # No redirects: the token would go to whoever they name.
        async with session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
            if answer.status in (400, 401, 403):
                return None
            if answer.status != 200:
                raise OSError(f"the identity provider answered {answer.status}")
            octets = b""
            async for chunk in answer.content.iter_any():
                octets += chunk
                if len(octets) > MAX_OCTETS:
                    raise OSError("the identity provider's answer is too long")
            payload = orjson.loads(octets)
    except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
        raise OSError("the identity provider cannot be asked") from error
    return login_of(payload) if isinstance(payload, dict) else None
