"""Rules that hold for the tests themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
LONGEST_WAIT = 0.1
"""Seconds a test may sleep by a literal: less than this is a task switch, more is a guess."""


def findings(source: str) -> list[str]:
    """Return what is wrong with a test module, one line each."""
    tree = ast.parse(source)
    return [*_documented(tree), *_unique(tree), *_waits(tree), *_skips(tree)]


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            yield node


def _documented(tree: ast.AST) -> Iterator[str]:
    for function in _functions(tree):
        docstring = (ast.get_docstring(function) or "").strip()
        if not docstring.endswith((".", "?", '."')):
            yield f"line {function.lineno}: {function.name} has no sentence as its docstring"


def _unique(tree: ast.Module) -> Iterator[str]:
    seen: set[str] = set()
    for function in tree.body:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            if function.name in seen:
                yield f"line {function.lineno}: {function.name} hides another of its name"
            seen.add(function.name)


def _waits(tree: ast.AST) -> Iterator[str]:
    """Sleeps that are guesses; a short one inside a loop is how a condition is polled."""
    polling = {
        call for loop in ast.walk(tree) if isinstance(loop, ast.While) for call in _calls(loop)
    }
    for call in _calls(tree):
        name = ast.unparse(call.func)
        if name.rpartition(".")[2] != "sleep" or not call.args:
            continue
        seconds = call.args[0].value if isinstance(call.args[0], ast.Constant) else 0.0
        guessed = name == "time.sleep" and seconds > 0 and call not in polling
        if seconds > LONGEST_WAIT or guessed:
            yield f"line {call.lineno}: {name}({seconds}); wait for a condition"


def _skips(tree: ast.AST) -> Iterator[str]:
    """Skips and expected failures that do not say why; a bare mark is no call at all."""
    called = {call.func for call in _calls(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node not in called:
            name = ast.unparse(node)
            if name in {"pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"}:
                yield f"line {node.lineno}: {name} without a reason"
    for call in _calls(tree):
        name = ast.unparse(call.func)
        reasons = {keyword.arg for keyword in call.keywords}
        positional = name in {"pytest.mark.skip", "pytest.skip", "pytest.xfail"} and call.args
        if (
            name.removeprefix("pytest.").removeprefix("mark.") in {"skip", "skipif", "xfail"}
            and name.startswith("pytest.")
            and not reasons & {"reason", "msg"}
            and not positional
        ):
            yield f"line {call.lineno}: {name} without a reason"


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.relative_to(TESTS).as_posix()
)
def test_a_test_module_keeps_the_rules(path: Path) -> None:
    """Every test says its promise, hides no other, waits for no clock and skips with a reason."""
    assert findings(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def test_x(): pass", "no sentence"),
        ("async def test_x():\n    ' '", "no sentence"),
        ("class T:\n    def test_x(self): 'todo'", "no sentence"),
        ("def test_x(): 'It is.'\ndef test_x(): 'It is.'", "hides another"),
        ("time.sleep(0.01)", "wait for a condition"),
        ("await_(asyncio.sleep(0.5))", "wait for a condition"),
        ("anyio.sleep(1)", "wait for a condition"),
        ("while not done(): time.sleep(1)", "wait for a condition"),
        ("@pytest.mark.skip\ndef f(): pass", "without a reason"),
        ("@pytest.mark.skipif(True)\ndef f(): pass", "without a reason"),
        ("@pytest.mark.xfail(strict=True)\ndef f(): pass", "without a reason"),
        ("pytest.skip()", "without a reason"),
    ],
)
def test_a_broken_rule_is_found(source: str, complaint: str) -> None:
    """The control: each rule complains of what breaks it."""
    found = findings(source)

    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    "source",
    [
        "def test_x():\n    '''A promise.'''",
        "asyncio.sleep(0.05)",
        "asyncio.sleep(seconds)",
        "while not done(): time.sleep(0.01)",
        "pytest.mark.skipif(True, reason='needs a cluster: set KUBECONFIG')",
        "pytest.skip('needs a cluster: set KUBECONFIG')",
        "def help_(): pass",
    ],
)
def test_a_kept_rule_raises_no_alarm(source: str) -> None:
    """What keeps the rules is left alone."""
    assert findings(source) == []
