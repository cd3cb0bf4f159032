"""The configuration: one TOML file and the environment, checked whole before anything starts.

Rule 1: a key is a field of a dataclass in `sections`, with its check; reading, errors and hints are derived from it.
Rule 2: a secret is a `Secret` from the moment it is read.
"""

from gateway.config.checks import Address, Listen, Network, Security
from gateway.config.load import ConfigError, Fault, load, public_url
from gateway.config.redis_url import RedisAddress
from gateway.config.sections import Admin, Auth, Config, Http, Limits, Log, Push, Store, Upstream

__all__ = [
    "Address",
    "Admin",
    "Auth",
    "Config",
    "ConfigError",
    "Fault",
    "Http",
    "Limits",
    "Listen",
    "Log",
    "Network",
    "Push",
    "RedisAddress",
    "Security",
    "Store",
    "Upstream",
    "load",
    "public_url",
]
