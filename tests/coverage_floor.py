"""Fails when coverage (lines and branches) falls under what the project promises.

Run by ``make test`` after the tests. Everything: at least 95 %; the modules on which
tenants' separation and values' safety rest: 100 %.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import coverage

OVERALL = 95.0
COMPLETE = (
    "access",
    "audit/__init__",
    "audit/chain_check",
    "audit/config",
    "audit/event",
    "audit/findings",
    "audit/head",
    "audit/lines",
    "audit/log",
    "audit/log_file",
    "audit/private_file",
    "audit/records",
    "audit/rotated",
    "audit/tail",
    "audit/verify",
    "background",
    "cache",
    "cache_entries",
    "cache_store",
    "content",
    "credentials/__init__",
    "credentials/addresses",
    "credentials/api_key",
    "credentials/certificate_dates",
    "credentials/database",
    "credentials/encryption",
    "credentials/fields",
    "credentials/origin",
    "credentials/redis",
    "credentials/service_token",
    "credentials/tls",
    "errors/engines",
    "errors/requests",
    "errors/root",
    "errors/secrets",
    "errors/vault",
    "following",
    "held",
    "leases/__init__",
    "leases/certificate",
    "leases/database",
    "leases/keeper",
    "leases/leased",
    "lifetime",
    "listing",
    "paths",
    "sensitive",
    "service",
    "service_keys",
    "vault/live_token",
    "vault/session",
    "vault/token_holder",
    "vault/tenant_tokens",
    "view/core",
    "view/following",
    "view/reading",
    "view/typed",
    "view/writing",
    "writes",
)


def shortfalls(report: dict[str, object]) -> list[str]:
    """Return what falls short, one line each; a module that was not measured falls short."""
    lines = []
    files: dict[str, dict[str, dict[str, float]]] = report["files"]  # type: ignore[assignment]  # coverage's own JSON
    by_name = {Path(name).as_posix(): data["summary"] for name, data in files.items()}
    for module in COMPLETE:
        name = f"src/greenlang_secrets/{module}.py"
        percent = by_name.get(name, {}).get("percent_covered", 0.0)
        if percent < 100.0:
            lines.append(f"{name}: {percent:.1f} %, promised 100 %")
    overall: float = report["totals"]["percent_covered"]  # type: ignore[index]  # coverage's own JSON
    if overall < OVERALL:
        lines.append(f"everything: {overall:.1f} %, promised {OVERALL:.0f} %")
    return lines


def main() -> int:
    """Print the report and what falls short; 1 if anything does."""
    data = coverage.Coverage()
    data.load()
    data.report(file=sys.stdout)
    out = Path(".coverage.json")
    data.json_report(outfile=str(out))
    report = json.loads(out.read_text())
    out.unlink()
    problems = shortfalls(report)
    for problem in problems:
        print(f"coverage: {problem}", file=sys.stderr)  # noqa: T201  # a command's output
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
