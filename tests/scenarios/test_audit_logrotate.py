"""The rotation that the how-to shows, by the real logrotate, under load."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greenlang_secrets.audit.verify import verify
from support.audit import KEYS
from support.audit_process import Writer

HOW_TO = Path(__file__).resolve().parents[2] / "docs/how-to/rotate-the-audit-log.md"


def configured(path: Path, pid: int) -> str:
    """The page's configuration for a log and a process of this test's own."""
    [text] = re.findall(r"```logrotate\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    text = re.sub(r"^\S+ \{", f"{path} {{", text)
    text = re.sub(r"^ *su .*\n", "", text, flags=re.MULTILINE)  # the test's own user
    return re.sub(r"systemctl kill .*", f"kill -HUP {pid}", text)


def now() -> int:
    """The second as time(2) has it, which logrotate asks: it may be a tick behind `time.time`."""
    return int(time.clock_gettime(5))  # CLOCK_REALTIME_COARSE, which Python has no name for


@pytest.mark.skipif(
    shutil.which("logrotate") is None or not sys.platform.startswith("linux"),
    reason="needs logrotate: apt-get install logrotate",
)
def test_logrotate_rotates_and_the_chain_goes_on(tmp_path):
    """Three rotations, the older ones compressed, lose nothing and verify as one chain."""
    tmp_path.chmod(0o700)
    path, configuration = tmp_path / "audit.jsonl", tmp_path / "logrotate.conf"
    with Writer(path) as writer:
        promised = writer.told(100)
        configuration.write_text(configured(path, writer.pid))
        configuration.chmod(0o600)
        for _ in range(3):
            subprocess.run(
                ["logrotate", "--force", "--state", str(tmp_path / "state"), str(configuration)],
                check=True,
            )
            while not path.exists():
                promised += writer.told(1)
            promised += writer.told(100)
            second = now()
            while now() == second:  # which the page's names have in them
                promised += writer.told(1)
        promised += writer.kill()

    files = sorted(
        (each for each in tmp_path.iterdir() if each.name.startswith("audit.jsonl-")),
        key=lambda each: each.name.removesuffix(".gz"),
    )
    report = verify([*files, path], KEYS)
    assert [each.suffix == ".gz" for each in files] == [True, True, False]
    assert report.findings == ()
    assert report.records >= len(promised)
    assert report.first == 1
