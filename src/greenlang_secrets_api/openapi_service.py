"""The JSON Schemas of what the service says of itself."""

from __future__ import annotations

from typing import Final

from greenlang_secrets_api.openapi_parts import Schema, closed, number, ref, text

__all__ = ["SERVICE_SCHEMAS"]


def _or_null(kind: str, said: str) -> Schema:
    return {"type": [kind, "null"], "description": said}


SERVICE_SCHEMAS: Final[dict[str, Schema]] = {
    "Health": closed(
        "How the service is.",
        {
            "status": {
                "enum": ["ok", "degraded", "down"],
                "description": "`degraded`: cached secrets are given and nothing else.",
            },
            "vault": ref("VaultHealth"),
            "rotation": ref("Scheduler"),
        },
        optional=("vault", "rotation"),
        example={"status": "ok"},
    ),
    "VaultHealth": closed(
        "What Vault says of itself; null where it cannot be reached.",
        {
            "reachable": {"type": "boolean", "description": "Whether any address answered."},
            "initialized": _or_null("boolean", "Whether it was ever initialised."),
            "sealed": _or_null("boolean", "Whether it is sealed."),
            "standby": _or_null("boolean", "Whether the node asked is a standby."),
            "version": _or_null("string", "Its version."),
            "clock_skew": _or_null("number", "Its clock minus ours, in seconds."),
        },
    ),
    "Status": closed(
        "The inside of one process; to a tenant's administrator its build and uptime alone.",
        {
            "auth": closed(
                "The service's own login to Vault.",
                {
                    "method": text("How it logs in."),
                    "token_ttl": _or_null(
                        "integer", "Seconds its token lives; null without an end, or a token."
                    ),
                    "renewable": {"type": "boolean", "description": "Whether it can be renewed."},
                },
            ),
            "leases": closed("What is held under leases.", {"active": number("Leases.")}),
            "audit": closed(
                "The audit log.",
                {
                    "records": number("Records made durable since the start."),
                    "failures": number("Writes that failed since then."),
                    "last_error": _or_null("string", "What failed; null once a write succeeds."),
                    "since_durable": _or_null("number", "Seconds since the last durable write."),
                    "free": {
                        "type": "number",
                        "description": "Which part of its disk is free, from 0 to 1.",
                    },
                },
            ),
            "catalogue": ref("CatalogueStatus"),
            "rotation": closed(
                "Rotation in this process.",
                {
                    "enabled": {
                        "type": "boolean",
                        "description": "Whether it rotates by schedule.",
                    },
                    "scheduler": ref("Scheduler"),
                    "working": number("Rotations that it works on."),
                    "claims": number("Those that it has begun or taken over."),
                    "promotion_gap": {
                        "type": "number",
                        "description": "Seconds after which nobody uses the value before a "
                        "promotion.",
                    },
                },
            ),
            "work": closed(
                "Requests under way.",
                {
                    "working": number("Those that are worked on."),
                    "waiting": number("Those that wait for a change."),
                },
            ),
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
        optional=("auth", "leases", "audit", "catalogue", "rotation", "work", "cache"),
        example={
            "auth": {"method": "kubernetes", "token_ttl": 2610, "renewable": True},
            "leases": {"active": 2},
            "audit": {
                "records": 9164,
                "failures": 0,
                "last_error": None,
                "since_durable": 0.41,
                "free": 0.732,
            },
            "catalogue": {
                "usable": True,
                "obstacle": None,
                "kind": "postgresql",
                "revision": "0004",
                "expected": "0004",
                "index_waiting": 0,
                "index_gaps": 0,
                "audit_lag": {"records": 3, "seconds": 0.2},
            },
            "rotation": {
                "enabled": True,
                "scheduler": {"running": True, "last_tick": "2026-11-20T08:00:03Z"},
                "working": 1,
                "claims": 12,
                "promotion_gap": 900,
            },
            "work": {"working": 1, "waiting": 12},
            "cache": {"entries": 40, "bytes": 61440, "hits": 9120, "misses": 44, "stale_served": 0},
            "build": {"version": "0.1.0"},
            "uptime": 3600.25,
        },
    ),
    "CatalogueStatus": closed(
        "The database beside Vault.",
        {
            "usable": {"type": "boolean", "description": "Whether it can be used now."},
            "obstacle": _or_null("string", "What is in the way."),
            "kind": text("Which database it is."),
            "revision": _or_null("string", "That of its schema, as last seen."),
            "expected": text("The revision that this version makes."),
            "index_waiting": number("Changes that the index has yet to note."),
            "index_gaps": _or_null(
                "integer", "Scopes whose index wants a rebuild; null if it cannot be asked."
            ),
            "audit_lag": {
                "type": ["object", "null"],
                "description": "How far the copy of the audit log is behind; null without one.",
                "properties": {
                    "records": number("Records."),
                    "seconds": {"type": "number", "description": "Seconds."},
                },
                "required": ["records", "seconds"],
                "additionalProperties": False,
            },
        },
    ),
}
"""The schemas of health and status, by name."""
