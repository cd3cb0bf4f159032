"""The limits of the core capability (RFC 8620 section 2), advertised as they are enforced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in octets, the others counts."""

    max_size_upload: int = 50_000_000
    max_concurrent_upload: int = 8
    max_size_request: int = 10_000_000
    max_concurrent_requests: int = 16
    max_calls_in_request: int = 64
    max_objects_in_get: int = 1000
    max_objects_in_set: int = 1000

    def capability(self) -> dict[str, Any]:
        """Return these limits under their names in `urn:ietf:params:jmap:core`."""
        return {
            "maxSizeUpload": self.max_size_upload,
            "maxConcurrentUpload": self.max_concurrent_upload,
            "maxSizeRequest": self.max_size_request,
            "maxConcurrentRequests": self.max_concurrent_requests,
            "maxCallsInRequest": self.max_calls_in_request,
            "maxObjectsInGet": self.max_objects_in_get,
            "maxObjectsInSet": self.max_objects_in_set,
        }
