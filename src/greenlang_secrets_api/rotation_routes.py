"""The endpoints of rotation, which are not part of this version.

Their targets and permissions hold already, so that nothing else can come to lie there;
the answer, after authentication and permission, is 501.
"""

from __future__ import annotations

from typing import Final, NoReturn

from greenlang_secrets.access import Action
from greenlang_secrets_api.endpoints import Call, Endpoint, RateClass, scoped
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.targets import Kind

__all__ = ["ENDPOINTS"]


async def not_part_of_this_version(_: Call) -> NoReturn:
    """Say so."""
    raise ProblemError("not_implemented")


_ROWS: Final = (
    (Kind.ROTATE, "POST", (Action.ROTATE,), RateClass.ROTATE),
    (Kind.ROTATION_STATUS, "GET", (Action.READ, Action.ROTATE), RateClass.LIST),
    (Kind.ROTATION_SCHEDULE, "GET", (Action.READ, Action.ROTATE), RateClass.LIST),
    (Kind.ROTATION_SCHEDULE, "PUT", (Action.ROTATE,), RateClass.ROTATE),
    (Kind.ROTATION_SCHEDULE, "DELETE", (Action.ROTATE,), RateClass.ROTATE),
)

ENDPOINTS: Final = tuple(
    Endpoint(
        kind=kind,
        method=method,
        handler=not_part_of_this_version,
        access=access,
        rate=rate,
        parameters=scoped("id", "path", "state", "limit", "after"),
    )
    for kind, method, access, rate in _ROWS
)
"""The rows of the method table for rotation."""
