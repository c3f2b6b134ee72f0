"""Alertmanager's configuration, as it is written by hand and as the Prometheus Operator takes it.

The operator's `AlertmanagerConfig` says the same in other words: names in camel case, a matcher
as an object, and a key in a Kubernetes Secret where the file has a path. The operator adds a
matcher on `namespace` to each route and inhibition of such an object unless its Alertmanager has
``alertmanagerConfigMatcherStrategy: {type: None}``; our alerts are sums by environment and have no
namespace, so that setting is needed (observability/README.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from observability.tools import ROOT
from observability.yaml_files import dump, load

__all__ = ["ALERTMANAGER", "Matcher", "alertmanager_config", "inhibited", "matches"]

ALERTMANAGER: Final = ROOT / "observability" / "alertmanager" / "alertmanager.yaml"
SECRET: Final = "alertmanager-greenlang-secrets"  # noqa: S105  the name of one
"""The Kubernetes Secret that has a key for each file that the configuration names."""

_MATCHER: Final = re.compile(r'(?P<name>\w+)(?P<kind>=~|!~|!=|=)"(?P<value>[^"]*)"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Matcher:
    """One condition on a label: ``=``, ``!=``, ``=~`` or ``!~`` a value.

    A label that an alert has not is the empty text, and an expression matches the whole value.
    """

    name: str
    kind: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Return what a matcher says.

        Raises:
            ValueError: it is not written as ``label="value"``.
        """
        found = _MATCHER.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"no matcher: {text}")
        return cls(**found.groupdict())

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels of an alert fulfil it."""
        found = labels.get(self.name, "")
        if self.kind in {"=", "!="}:
            return (found == self.value) == (self.kind == "=")
        return (re.fullmatch(self.value, found) is not None) == (self.kind == "=~")


def matches(matchers: Sequence[str], labels: Mapping[str, str]) -> bool:
    """Return whether an alert fulfils every one of the matchers."""
    return all(Matcher.parse(text).matches(labels) for text in matchers)


def inhibited(
    alert: Mapping[str, str],
    firing: Sequence[Mapping[str, str]],
    rules: Sequence[Mapping[str, Any]],
) -> Sequence[Mapping[str, str]]:
    """Return those of the firing alerts that keep one from being told, as Alertmanager decides it.

    An alert that fulfils both sides of a rule is not muted by another that does as well: they
    would mute each other, and nobody would hear of either.
    """
    return [
        other
        for rule in rules
        if matches(rule["target_matchers"], alert)
        for other in firing
        if other != alert
        and matches(rule["source_matchers"], other)
        and not (
            matches(rule["source_matchers"], alert) and matches(rule["target_matchers"], other)
        )
        and all(alert.get(name, "") == other.get(name, "") for name in rule["equal"])
    ]


def alertmanager_config(path: Path = ALERTMANAGER) -> str:
    """Return the configuration as one object of the Prometheus Operator."""
    config = load(path)
    return dump(
        {
            "apiVersion": "monitoring.coreos.com/v1alpha1",
            "kind": "AlertmanagerConfig",
            "metadata": {
                "name": "greenlang-secrets",
                "labels": {
                    "app.kubernetes.io/name": "greenlang-secrets",
                    "app.kubernetes.io/component": "monitoring",
                },
            },
            "spec": {
                "route": {
                    **_camel(_route(config["route"])),
                    # The object's own route: it takes our alerts and no others.
                    "matchers": [_as_object('service="secrets"')],
                },
                "inhibitRules": [_inhibition(rule) for rule in config["inhibit_rules"]],
                "receivers": [_receiver(receiver) for receiver in config["receivers"]],
            },
        },
        source="observability/alertmanager/alertmanager.yaml",
    )


def _route(route: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(route)
    if "matchers" in made:
        made["matchers"] = [_as_object(text) for text in made["matchers"]]
    if "routes" in made:
        made["routes"] = [_route(each) for each in made["routes"]]
    return made


def _inhibition(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sourceMatch": [_as_object(text) for text in rule["source_matchers"]],
        "targetMatch": [_as_object(text) for text in rule["target_matchers"]],
        "equal": rule["equal"],
    }


def _as_object(text: str) -> dict[str, str]:
    matcher = Matcher.parse(text)
    return {"name": matcher.name, "matchType": matcher.kind, "value": matcher.value}


def _receiver(receiver: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in receiver.items():
        if name.endswith("_configs"):
            made[_camel_name(name)] = [_camel(dict(_fields(each))) for each in value]
        else:
            made[name] = value
    return made


def _fields(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield a receiver's fields as the operator names them: files as keys of the Secret."""
    for name, value in fields.items():
        match name:
            case "routing_key_file" | "credentials_file":
                yield name.removesuffix("_file"), _key(value)
            case "api_url_file":
                yield "apiURL", _key(value)
            case "client_url":
                yield "clientURL", value
            case "details":
                yield name, [{"key": key, "value": text} for key, text in value.items()]
            case "links":
                # The operator calls the text of a link "alt".
                yield (
                    "pagerDutyLinkConfigs",
                    [{"href": link["href"], "alt": link["text"]} for link in value],
                )
            case "http_config" | "authorization":
                yield name, dict(_fields(value))
            case _:
                yield name, value


def _key(path: str) -> dict[str, str]:
    return {"name": SECRET, "key": PurePosixPath(path).name}


def _camel(value: Any) -> Any:
    match value:
        case dict():
            return {_camel_name(key): _camel(each) for key, each in value.items()}
        case list():
            return [_camel(each) for each in value]
        case _:
            return value


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
