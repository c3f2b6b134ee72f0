"""What labels may say, as alerts and panels are written for it: literally, and not as code has it."""

from __future__ import annotations

RESULTS = {
    "ok",
    "stale",
    "not_found",
    "denied",
    "conflict",
    "invalid",
    "rate_limited",
    "unavailable",
    "timeout",
    "error",
}
SECRET_TYPES = {
    "database",
    "cache",
    "api_key",
    "certificate",
    "encryption_key",
    "service_token",
    "generic",
}
