"""1000 reads a second of the service, by Locust, while a PostgreSQL credential rotates.

``make load`` runs it against a stack of its own. By hand, against ``make dev`` with limits that let
it through (`benchmarks/load.py` has them)::

    locust -f benchmarks/locustfile.py --headless --host http://127.0.0.1:8750

What it asks for comes from the file that ``BENCH_LOAD_PLAN`` names: bearers by tenant, paths, the
rate and the seconds. Reads go to all tenants alike; every fiftieth asks Vault anew, as a caller
does who must not take a held value. One user besides rotates, every few seconds, and waits for it.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any, ClassVar, Final

from locust import FastHttpUser, LoadTestShape, constant_pacing, constant_throughput, events, task

PLAN: Final[dict[str, Any]] = json.loads(Path(os.environ["BENCH_LOAD_PLAN"]).read_text("utf-8"))
RATE: Final = float(PLAN["rate"])  # reads a second
USERS: Final = int(PLAN["users"])
SECONDS: Final = float(PLAN["seconds"])
RAMP: Final = 5.0  # seconds until all users ask, which do not count
FRESH: Final = float(PLAN["fresh_share"])
ROTATE_EVERY: Final = float(PLAN["rotate_every"])  # seconds
READ, ASKED, ROTATED = "GET secret", "GET secret?fresh=true", "POST rotate"

_taken: dict[str, list[float]] = {READ: [], ASKED: [], ROTATED: []}
_failed: dict[str, list[str]] = {READ: [], ASKED: [], ROTATED: []}
_counts = {"on": False}


class Reader(FastHttpUser):
    """Reads secrets of one tenant at its share of the rate, whatever the answers take."""

    wait_time = constant_throughput(RATE / USERS)
    connection_timeout = 5.0
    network_timeout = 5.0
    _number: ClassVar[int] = 0

    def on_start(self) -> None:
        """Be one of the tenants', in turn."""
        names = list(PLAN["tenants"])
        whose = PLAN["tenants"][names[Reader._number % len(names)]]
        Reader._number += 1
        self._headers = {"Authorization": f"Bearer {whose['bearer']}"}
        self._paths = whose["paths"]

    @task
    def read(self) -> None:
        """Read one, now and then from Vault."""
        path = random.choice(self._paths)  # noqa: S311  # chance, no secret
        if random.random() < FRESH:  # noqa: S311  # the same
            self.client.get(f"{path}?fresh=true", headers=self._headers, name=ASKED)
        else:
            self.client.get(path, headers=self._headers, name=READ)


class Rotator(FastHttpUser):
    """Rotates the credential, again and again."""

    fixed_count = 1
    wait_time = constant_pacing(ROTATE_EVERY)
    network_timeout = 30.0

    @task
    def rotate(self) -> None:
        """Rotate, without regard to the overlap, and wait until the new version is there."""
        self.client.post(
            PLAN["rotate"],
            json={"force": True, "reason": "load test"},
            headers={"Authorization": f"Bearer {PLAN['platform']}", "Prefer": "wait=20"},
            name=ROTATED,
        )


class Constant(LoadTestShape):
    """All users after `RAMP`, to the end."""

    use_common_options = False

    def tick(self) -> tuple[int, float] | None:
        """Tell how many users there are now."""
        now = self.get_run_time()
        if now > RAMP + SECONDS:
            return None
        _counts["on"] = now > RAMP
        return USERS + 1, max(1.0, USERS / RAMP * 1.5)


@events.request.add_listener
def _note(
    name: str, response_time: float, exception: Exception | None, response: Any, **_: object
) -> None:
    """Keep each time: Locust's own percentiles are rounded."""
    if not _counts["on"]:
        return
    _taken[name].append(response_time)
    if exception is not None:
        _failed[name].append(f"{getattr(response, 'status_code', 0)} {type(exception).__name__}")


@events.quitting.add_listener
def _tell(**_: object) -> None:
    Path(PLAN["result"]).write_text(json.dumps({"taken": _taken, "failed": _failed}), "utf-8")
