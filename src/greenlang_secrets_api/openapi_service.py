"""The JSON Schemas of what the service says of itself."""

from __future__ import annotations

from typing import Final

from greenlang_secrets_api.openapi_parts import Schema, closed, number, ref, text

__all__ = ["SERVICE_SCHEMAS"]

SERVICE_SCHEMAS: Final[dict[str, Schema]] = {
    "Health": closed(
        "How the service is.",
        {
            "status": {
                "enum": ["ok", "degraded", "down"],
                "description": "`degraded`: cached secrets are given and nothing else.",
            },
            "vault": ref("VaultHealth"),
        },
        optional=("vault",),
        example={"status": "ok"},
    ),
    "VaultHealth": closed(
        "What Vault says of itself; null where it cannot be reached.",
        {
            "reachable": {"type": "boolean", "description": "Whether any address answered."},
            "initialized": {"type": ["boolean", "null"]},
            "sealed": {"type": ["boolean", "null"]},
            "standby": {"type": ["boolean", "null"]},
            "version": {"type": ["string", "null"]},
            "clock_skew": {
                "type": ["number", "null"],
                "description": "Vault's clock minus ours, in seconds.",
            },
        },
    ),
    "Status": closed(
        "The inside of one process.",
        {
            "cache": closed(
                "The cache of secrets.",
                {
                    "entries": number("Secrets held."),
                    "bytes": number("Octets they take."),
                    "hits": number("Reads it answered."),
                    "misses": number("Reads that went to Vault."),
                    "stale_served": number("Answers given while Vault gave none."),
                },
            ),
            "build": closed("This build.", {"version": text("The distribution's version.")}),
            "uptime": {"type": "number", "minimum": 0, "description": "Seconds."},
        },
        example={
            "cache": {"entries": 40, "bytes": 61440, "hits": 9120, "misses": 44, "stale_served": 0},
            "build": {"version": "0.1.0"},
            "uptime": 3600.25,
        },
    ),
}
"""The schemas of health and status, by name."""
