"""The rotation that the how-to shows is one that the audit log takes."""

from __future__ import annotations

import fnmatch
import shlex

import pytest

from contracts.markdown import ROOT, blocks

PAGE = (ROOT / "docs/how-to/rotate-the-audit-log.md").read_text("utf-8")


def snippet() -> str:
    """Return the configuration that the page shows."""
    [block] = [block for block in blocks(PAGE) if block.language == "logrotate"]
    return block.text


def complaints(text: str) -> list[str]:
    """Return what is wrong with a configuration of logrotate for the audit log."""
    first, *rest = [line.strip() for line in text.splitlines() if line.strip()]
    pattern = shlex.split(first)[0]
    words = {line.split()[0] for line in rest}
    script = text.partition("postrotate")[2].partition("endscript")[0]
    found = []
    if fnmatch.fnmatch("/var/lib/greenlang-secrets/audit.jsonl.head", pattern):
        found.append("it rotates the sidecar")
    if not fnmatch.fnmatch("/var/lib/greenlang-secrets/audit.jsonl", pattern):
        found.append("it rotates no log")
    if "copytruncate" in words:
        found.append("it cuts the log under the service")
    if "nocreate" not in words:
        found.append("it makes a file that the service may refuse")
    if "compress" in words and "delaycompress" not in words:
        found.append("it compresses what is still written")
    if "HUP" not in script:
        found.append("the service does not hear of it")
    return found


def test_the_shown_rotation_is_one_that_the_log_takes() -> None:
    """It leaves the sidecar and the making of files alone, and sends SIGHUP."""
    assert complaints(snippet()) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("audit.jsonl {", "audit.jsonl* {", "it rotates the sidecar"),
        ("audit.jsonl {", "audit.log {", "it rotates no log"),
        ("nocreate", "nocreate\ncopytruncate", "it cuts the log under the service"),
        ("nocreate", "create 0640", "it makes a file that the service may refuse"),
        ("delaycompress", "", "it compresses what is still written"),
        ("HUP", "USR1", "the service does not hear of it"),
    ],
)
def test_a_rotation_that_hurts_is_found(old: str, new: str, complaint: str) -> None:
    """The control: each mistake is told."""
    assert complaints(snippet().replace(old, new)) == [complaint]
