"""The row Cache: how much it spares Vault, what it costs, and how old its answers are."""

from __future__ import annotations

from observability.dashboards.parts import OURS, About, Query, Row, lines

__all__ = ["row"]


def row() -> Row:
    """Return the row."""
    hits = f"sum(rate(gl_secrets_cache_hits_total{{{OURS}}}[$__rate_interval]))"
    misses = f"sum(rate(gl_secrets_cache_misses_total{{{OURS}}}[$__rate_interval]))"
    ratio = lines(
        About(
            id=401,
            title="Hit ratio",
            shows="The share of reads that are answered from the cache, fresh.",
            normal="Above 80 % where secrets are read again within their fresh time (30 s).",
            runbooks=("CacheHitRatioLow",),
            unit="percentunit",
        ),
        Query(f"{hits} / ({hits} + {misses})", "hits"),
        steps=((0.8, "yellow"),),
        colours={"hits": "green"},
    )
    kinds = lines(
        About(
            id=402,
            title="Hits, misses, stale, coalesced",
            shows="Reads each second: answered fresh, asked of Vault, answered stale because Vault was away, and joined to a request that was under way already.",
            normal="Hits; no stale ones.",
            runbooks=("ServingStaleSecrets", "CacheHitRatioLow"),
            unit="ops",
        ),
        Query(hits, "hits"),
        Query(misses, "misses"),
        Query(
            f"sum(rate(gl_secrets_cache_stale_serves_total{{{OURS}}}[$__rate_interval]))", "stale"
        ),
        Query(
            f"sum(rate(gl_secrets_cache_coalesced_total{{{OURS}}}[$__rate_interval]))",
            "coalesced",
        ),
        colours={"hits": "green", "misses": "blue", "stale": "red", "coalesced": "purple"},
    )
    oldest = lines(
        About(
            id=403,
            title="Oldest stale value",
            shows="The age of the oldest value that was served stale in the last one to two minutes; it grows on for as long after Vault is back.",
            normal="0. With 300 s a value is not served any more, and reads of it fail.",
            runbooks=("ServingStaleSecrets",),
            unit="s",
        ),
        Query(
            f"max by (instance) (gl_secrets_cache_oldest_stale_seconds{{{OURS}}})", "{{instance}}"
        ),
        steps=((120, "orange"), (300, "red")),
    )
    entries = lines(
        About(
            id=404,
            title="Entries and evictions",
            shows="Secrets in memory, by replica, and those that had to make place each second.",
            normal="Follows the number of secrets in use; no evictions. With evictions the cache is too small.",
            runbooks=("CacheHitRatioLow",),
            unit="short",
            width=12,
        ),
        Query(f"sum by (instance) (gl_secrets_cache_entries{{{OURS}}})", "entries: {{instance}}"),
        Query(
            f"sum(rate(gl_secrets_cache_evictions_total{{{OURS}}}[$__rate_interval]))",
            "evictions/s",
        ),
        colours={"evictions/s": "orange"},
    )
    size = lines(
        About(
            id=405,
            title="Cache bytes",
            shows="What the values in memory weigh, by replica.",
            normal="Follows the entries, below the configured limit.",
            runbooks=("CacheHitRatioLow",),
            unit="bytes",
            width=12,
        ),
        Query(f"sum by (instance) (gl_secrets_cache_bytes{{{OURS}}})", "{{instance}}"),
    )
    return Row(id=400, title="Cache", panels=(ratio, kinds, oldest, entries, size))
