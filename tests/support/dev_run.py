"""A run of ``greenlang-secrets dev``: a process, what it prints, and what it leaves behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Dev"]

_MARK = "GREENLANG_SECRETS_DEV_TEST"


class Dev:
    """One run, with a folder for temporary files of its own and a mark that its children carry."""

    def __init__(
        self, folder: Path, *arguments: str, port: int = 0, cwd: Path | None = None
    ) -> None:
        self.ready_file = folder / "ready.json"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.mark = secrets.token_hex(8)
        self.lines: list[str] = []
        self.began_at = time.monotonic()
        environment = {"TMPDIR": str(self.temporary), _MARK: self.mark, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "greenlang_secrets.cli", "dev", "--port", str(port)),
                *("--ready-file", str(self.ready_file), *arguments),
            ],
            cwd=cwd,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append(line)  # one by one: others look meanwhile

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def until(self, condition: Callable[[], object], within: float = 40) -> None:
        """Wait for a condition; fail with the output if it does not come."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, self.output
            threading.Event().wait(0.02)

    def ready(self) -> dict[str, Any]:
        """Wait for the ready file, and return what it says."""
        self.until(lambda: self.ready_file.exists() or self.process.poll() is not None, within=90)
        assert self.process.poll() is None, self.output
        return dict(json.loads(self.ready_file.read_text()))

    def says(self, text: str) -> None:
        """Wait until it has printed a text."""
        self.until(lambda: text in self.output)

    def ends(self) -> int:
        """Wait until it has ended, and return its exit code."""
        code = self.process.wait(30)
        self._reader.join(10)
        return code

    def end(self, number: signal.Signals) -> int:
        """Send it a signal and wait until it has ended."""
        self.process.send_signal(number)
        return self.ends()

    def family(self) -> dict[int, str]:
        """Return its living processes: those with its mark, or at work in its folder."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if state not in "ZX" and self._is_ours(process, command):
                    found[int(process.name)] = command
            except OSError:  # gone meanwhile
                continue
        return found

    def _is_ours(self, process: Path, command: str) -> bool:
        try:
            marked = f"{_MARK}={self.mark}".encode() in (process / "environ").read_bytes()
            at_home = str((process / "cwd").readlink()).startswith(str(self.temporary))
        except PermissionError:  # the API closes its memory to all but root
            return str(self.temporary) in command
        return marked or at_home

    def left_nothing(self) -> None:
        """Fail if a process, a temporary file or the ready file is left."""
        self.until(lambda: not self.family(), within=10)
        assert list(self.temporary.iterdir()) == []
        assert not self.ready_file.exists()

    def finish(self) -> None:
        """End it however it is, and every process of it."""
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
        self.ends()
        for pid in self.family():
            os.kill(pid, signal.SIGKILL)
