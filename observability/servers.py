"""A real Prometheus and a real Alertmanager on loopback, for tests and the preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import anyio.to_thread
import yaml

from greenlang_secrets.testing.process import HOST, ServerError, ServerProcess
from observability.tools import TEMPLATES, tool

__all__ = ["Alertmanager", "Prometheus", "Sample"]

_ANSWERS_WITHIN = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query's answer."""

    labels: Mapping[str, str]
    value: float


class _Watching(ServerProcess):
    """What Prometheus and Alertmanager have in common: a configuration file and an HTTP API."""

    def __init__(self, config: Mapping[str, Any], *, port: int = 0, **options: Any) -> None:
        super().__init__(port=port, **options)
        self.config = config

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{HOST}:{self.port}"

    async def _configured(self) -> Path:
        path = self._home / f"{self.name.lower()}.yaml"
        text = yaml.safe_dump(dict(self.config), sort_keys=False)
        await anyio.Path(path).write_text(text, "utf-8")
        return path

    async def _is_ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
                session.get(f"{self.url}/-/ready") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the JSON that a GET below the base URL answers.

        Raises:
            ServerError: the answer is no 200; the text has what it said.
        """
        async with (
            aiohttp.ClientSession(timeout=_ANSWERS_WITHIN) as session,
            session.get(f"{self.url}{path}", params=parameters) as answer,
        ):
            if answer.status != 200:
                raise ServerError(f"{self.name} refuses {path}: {await answer.text()}")
            return await answer.json()


class Prometheus(_Watching):
    """A Prometheus with the configuration given, as its YAML file would say it, and with more
    flags by name.
    """

    name: ClassVar[str] = "Prometheus"

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        port: int = 0,
        flags: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, port=port, **options)
        self._flags = dict(flags or {})

    async def _launch(self) -> None:
        options = {
            "config.file": await self._configured(),
            "storage.tsdb.path": self._home / "data",
            "storage.tsdb.retention.time": "1d",
            "web.listen-address": f"{HOST}:{self.port}",
            **self._flags,
        }
        command = [f"--{name}={value}" for name, value in options.items()]
        await self._spawn([tool("prometheus"), *command])
        await self._until(self._is_ready, "it was not ready")

    async def query(self, expression: str) -> Sequence[Sample]:
        """Return what an instant query answers now; a scalar is one sample without labels."""
        data = (await self.get("/api/v1/query", query=expression))["data"]
        if data["resultType"] == "scalar":
            return [Sample(labels={}, value=float(data["result"][1]))]
        return [
            Sample(labels=each["metric"], value=float(each["value"][1])) for each in data["result"]
        ]

    async def names(self) -> frozenset[str]:
        """Return the name of every metric that it has."""
        answer = await self.get("/api/v1/label/__name__/values")
        return frozenset(answer["data"])

    async def alerts(self) -> Sequence[Mapping[str, Any]]:
        """Return the alerts that are pending or firing."""
        found: Sequence[Mapping[str, Any]] = (await self.get("/api/v1/alerts"))["data"]["alerts"]
        return found

    async def targets(self) -> Mapping[str, str]:
        """Return the health of every target, by job: up, down or unknown."""
        found = (await self.get("/api/v1/targets"))["data"]["activeTargets"]
        return {each["labels"]["job"]: each["health"] for each in found}


class Alertmanager(_Watching):
    """An Alertmanager with the configuration given, alone and not looking for others."""

    name: ClassVar[str] = "Alertmanager"

    async def _launch(self) -> None:
        program = tool("alertmanager")
        await self._do(_lay_templates, program, self._home)
        options = {
            "config.file": await self._configured(),
            "storage.path": self._home / "data",
            "web.listen-address": f"{HOST}:{self.port}",
            "cluster.listen-address": "",
        }
        command = [f"--{name}={value}" for name, value in options.items()]
        await self._spawn([program, *command])
        await self._until(self._is_ready, "it was not ready")

    async def alerts(self) -> Sequence[Mapping[str, Any]]:
        """Return the alerts that it holds, those it keeps silent among them."""
        found: Sequence[Mapping[str, Any]] = await self.get("/api/v2/alerts")
        return found


def _lay_templates(program: Path, folder: Path) -> None:
    """Lay the fetched templates where Alertmanager looks for them: below its working directory."""
    fetched = program.parent.parent / TEMPLATES
    place = folder / TEMPLATES
    if fetched.is_dir() and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(fetched)
