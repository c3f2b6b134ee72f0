"""`catalogue.rotations`, kept in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation_model import RotationRow, RotationStanding


class Rotations:
    def __init__(self):
        self.rows = {}
        self.clock = {}
        self.runs = {}

    async def put(self, scope, path, policy, *, digest, secret_type, by, standing=None):
        now = datetime.now(UTC)
        old = self.rows.get(digest)
        row = RotationRow(scope=scope, path=path, secret_type=secret_type, policy=policy,
            standing=standing or (old.standing if old else RotationStanding()),
            created_at=old.created_at if old else now, updated_at=now, updated_by=by)
        self.rows[digest] = row
        self.clock[digest] = row.standing.wake_at
        return row

    async def remove(self, scope, path):
        for d, r in list(self.rows.items()):
            if (r.scope, r.path) == (scope, path):
                del self.rows[d]; self.clock.pop(d, None)
                return True
        return False

    async def find(self, scope, path):
        return next((r for r in self.rows.values() if (r.scope, r.path) == (scope, path)), None)

    async def by_digest(self, scope, digest):
        return self.rows.get(digest)

    async def note(self, scope, path, digest, standing):
        row = self.rows[digest]
        if standing.fence >= row.standing.fence:
            self.rows[digest] = replace(row, standing=standing)
            self.clock[digest] = standing.wake_at

    async def due(self, *, most):
        now = datetime.now(UTC)
        due = sorted((at, d) for d, at in self.clock.items() if at is not None and at <= now)
        return [(self.rows[d].scope, d) for _, d in due[:most]]

    async def wake(self, digest, at):
        self.clock[digest] = at

    async def begin_run(self, run):
        self.runs.setdefault(run.rotation_id, run)

    async def end_run(self, scope, rotation_id, *, outcome, version, error_code):
        self.runs[rotation_id] = replace(self.runs[rotation_id], outcome=outcome, version=version, error_code=error_code)

    async def behind(self, scope, path, *, version):
        return []
