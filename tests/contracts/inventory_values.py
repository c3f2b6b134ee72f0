"""What stands in audit records, and what rotation knows: read from the code, for the pages."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from contracts.markdown import ROOT
from greenlang_secrets.audit import AuditPhase, AuditResult
from greenlang_secrets.errors.rotation import _TEXTS
from greenlang_secrets.rotation_model import RotationKind, RotationState
from greenlang_secrets_api.auditing import REPLAYED
from greenlang_secrets_api.openapi import ANSWER_HEADERS
from greenlang_secrets_api.rotation_events import _CHANGES

__all__ = [
    "answer_headers",
    "audit_values",
    "integration_names",
    "rotation_reasons",
    "rotation_settings",
    "rotation_states",
    "service_names",
]

Rows = set[tuple[str, ...]]

SOURCES = ROOT / "src"
INTERNAL = {"logins", "postgresql"}
"""Modules of `integrations` that the others are made of."""


def audit_values() -> Rows:
    """Members of an audit record with the values that they have, but for the actions of access."""
    events = list(_calls("AuditEvent"))
    actions = _texts(events, "action") | {f"rotate.{step}" for step in _CHANGES}
    return {
        *(("phase", phase.value) for phase in AuditPhase),
        *(("result", result.value) for result in AuditResult),
        *(("action", action) for action in actions),
        *(("code", code) for code in {*_texts(events, "code"), REPLAYED}),
        *(("cache", text) for text in _returned("secrets_routes.py", "_source")),
    }


def answer_headers() -> Rows:
    """Headers of answers that the OpenAPI document describes."""
    return {(name,) for name in ANSWER_HEADERS}


def rotation_states() -> Rows:
    """Where a rotation can stand."""
    return {(state.value,) for state in RotationState}


def rotation_reasons() -> Rows:
    """Why a step of a rotation fails."""
    return {(reason,) for reason in _TEXTS}


def rotation_settings() -> Rows:
    """Kinds of rotation with the settings that each knows: what it gives to `check_kind`."""
    found: Rows = set()
    for kind in RotationKind:
        module = importlib.import_module(f"greenlang_secrets.rotation.{kind.value}")
        tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
        [call] = [node for node in ast.walk(tree) if _is_call(node, "check_kind")]
        assert isinstance(call, ast.Call)
        for argument in call.args[2:]:
            if isinstance(argument, ast.Starred):
                names = getattr(module, ast.unparse(argument.value))
            else:
                names = [ast.literal_eval(argument)]
            found |= {(kind.value, name) for name in names}
    return found


def integration_names() -> Rows:
    """What the modules of `integrations` export, with their modules."""
    folder = SOURCES / "greenlang_secrets" / "integrations"
    modules = {path.stem for path in folder.glob("[a-z]*.py")} - INTERNAL
    return {
        (f"integrations.{module}.{name}",)
        for module in modules
        for name in importlib.import_module(f"greenlang_secrets.integrations.{module}").__all__
    }


def service_names() -> Rows:
    """What the package of the service exports."""
    return {(name,) for name in importlib.import_module("greenlang_secrets_api").__all__}


def _calls(name: str) -> Iterator[ast.Call]:
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if _is_call(node, name):
                assert isinstance(node, ast.Call)
                yield node


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name


def _texts(calls: list[ast.Call], keyword: str) -> set[str]:
    return {
        node.value
        for call in calls
        for each in call.keywords
        if each.arg == keyword
        for node in _outcomes(each.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _outcomes(node: ast.expr) -> Iterator[ast.expr]:
    """What a conditional expression may be."""
    if isinstance(node, ast.IfExp):
        yield from (*_outcomes(node.body), *_outcomes(node.orelse))
    else:
        yield node


def _returned(file: str, function: str) -> set[str]:
    tree = ast.parse((SOURCES / "greenlang_secrets_api" / file).read_text("utf-8"))
    [found] = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    returned = (node.value for node in ast.walk(found) if isinstance(node, ast.Return))
    return {
        node.value
        for value in returned
        if value is not None
        for node in _outcomes(value)
        if isinstance(node, ast.Constant)
    }
