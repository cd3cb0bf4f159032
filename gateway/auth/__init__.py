"""Who the caller is: proven by the upstream, remembered for minutes; and how secrets are sealed at rest."""

from gateway.auth.caller import AuthError, Caller, TooManyAttempts, Unauthorized, UpstreamUnavailable, account_id
from gateway.auth.login import Authenticator, UpstreamLogin, Verify
from gateway.auth.ticket import TicketClaim, Tickets
from gateway.auth.userinfo import login_of_token
from gateway.auth.vault import Vault, VaultError

__all__ = [
    "AuthError",
    "Authenticator",
    "Caller",
    "TicketClaim",
    "Tickets",
    "TooManyAttempts",
    "Unauthorized",
    "UpstreamLogin",
    "UpstreamUnavailable",
    "Vault",
    "VaultError",
    "Verify",
    "account_id",
    "login_of_token",
]
