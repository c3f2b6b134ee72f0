"""How many requests each class of calls may make, and how that is written in settings.

Pure values: who has used up how much is in `token_bucket` and `shared_limits`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX, Settings

__all__ = ["RateClass", "RatePolicies", "RatePolicy"]

MAX_QUOTA: Final = 1_000_000
MAX_WINDOW: Final = 24 * 3600  # seconds

_LIMIT: Final = re.compile(r"([0-9]{1,7})/([0-9]{0,5})(s|m|h)\Z")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


class RateClass(StrEnum):
    """What a call counts against."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    ADMIN = "admin"
    ROTATE = "rotate"
    PROBE = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """`quota` requests in `window` seconds, and that as a burst too: ``400/2s`` is 200 a second
    in the long run, and 400 at once after a pause.

    Attributes:
        name: what `RateLimit-Policy` calls it.
        quota: from 1 to 1,000,000.
        window: whole seconds, which is all that the header can say; from 1 to a day.
    """

    name: str
    quota: int
    window: int

    @property
    def rate(self) -> float:
        """Requests that come back in a second."""
        return self.quota / self.window

    @classmethod
    def parse(cls, name: str, raw: str, *, setting: str) -> RatePolicy | None:
        """Return what ``400/2s``, ``10/m`` or ``off`` (None) says.

        Raises:
            ConfigurationError: it says something else; `setting` is named in it.
        """
        if raw.lower() == "off":
            return None
        found = _LIMIT.match(raw.replace(" ", "").lower())
        quota, window = 0, 0
        if found is not None:
            quota, window = int(found[1]), int(found[2] or 1) * _SECONDS[found[3]]
        if not (1 <= quota <= MAX_QUOTA and 1 <= window <= MAX_WINDOW):
            raise ConfigurationError(
                f"{setting} is {raw!r}; use a number and a time, such as 400/2s, 10/m or 100/1h "
                f"(at most {MAX_QUOTA} requests and {MAX_WINDOW // 3600} h), or off."
            )
        return cls(name=name, quota=quota, window=window)

    def __str__(self) -> str:
        return f"{self.quota}/{self.window}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicies:
    """The limit of each class; None is no limit.

    Attributes:
        read: of a principal in a scope, as all but the last three. 200 a second, with a burst.
        list, write, admin, rotate: as `read`.
        rotate_path: of one path in a scope, whoever asks.
        probe: of one client address, at the public health endpoint.
        failed_auth: of one client address, for bearers that are refused.
    """

    read: RatePolicy | None = RatePolicy(name="read", quota=400, window=2)
    list: RatePolicy | None = RatePolicy(name="list", quota=10, window=1)
    write: RatePolicy | None = RatePolicy(name="write", quota=20, window=1)
    admin: RatePolicy | None = RatePolicy(name="admin", quota=5, window=1)
    rotate: RatePolicy | None = RatePolicy(name="rotate", quota=10, window=60)
    rotate_path: RatePolicy | None = RatePolicy(name="rotate-path", quota=1, window=60)
    probe: RatePolicy | None = RatePolicy(name="probe", quota=10, window=1)
    failed_auth: RatePolicy | None = RatePolicy(name="failed-auth", quota=10, window=60)

    def of(self, rate: RateClass) -> RatePolicy | None:
        """Return the limit of a class."""
        match rate:
            case RateClass.READ:
                return self.read
            case RateClass.LIST:
                return self.list
            case RateClass.WRITE:
                return self.write
            case RateClass.ADMIN:
                return self.admin
            case RateClass.ROTATE:
                return self.rotate
            case RateClass.PROBE:
                return self.probe
            case _:
                assert_never(rate)

    def of_path(self, rate: RateClass) -> RatePolicy | None:
        """Return the limit that a class has for each path besides, or None."""
        return self.rotate_path if rate is RateClass.ROTATE else None

    @classmethod
    def from_settings(cls, settings: Settings) -> RatePolicies:
        """Return what the variables ``GREENLANG_SECRETS_RATE_LIMIT_*`` say.

        Raises:
            ConfigurationError: one is no limit.
        """
        usual = cls()

        def limit(raw: str | None, default: RatePolicy | None, variable: str) -> RatePolicy | None:
            if raw is None or default is None:
                return default
            return RatePolicy.parse(default.name, raw, setting=f"{PREFIX}RATE_LIMIT_{variable}")

        return cls(
            read=limit(settings.text("RATE_LIMIT_READ"), usual.read, "READ"),
            list=limit(settings.text("RATE_LIMIT_LIST"), usual.list, "LIST"),
            write=limit(settings.text("RATE_LIMIT_WRITE"), usual.write, "WRITE"),
            admin=limit(settings.text("RATE_LIMIT_ADMIN"), usual.admin, "ADMIN"),
            rotate=limit(settings.text("RATE_LIMIT_ROTATE"), usual.rotate, "ROTATE"),
            rotate_path=limit(
                settings.text("RATE_LIMIT_ROTATE_PATH"), usual.rotate_path, "ROTATE_PATH"
            ),
            probe=limit(settings.text("RATE_LIMIT_PROBE"), usual.probe, "PROBE"),
            failed_auth=limit(
                settings.text("RATE_LIMIT_FAILED_AUTH"), usual.failed_auth, "FAILED_AUTH"
            ),
        )
