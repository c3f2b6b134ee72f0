"""The table of Vault's API and the engines agree, both ways."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

import greenlang_secrets.vault.auth
from contracts.markdown import ROOT, rows
from greenlang_secrets.vault.auth.login import AuthMethod

PAGE = ROOT / "docs" / "reference" / "vault-api.md"

ENGINES = {
    "AuthMounts",
    "Capabilities",
    "Database",
    "DatabaseSetup",
    "KvV1",
    "KvV2",
    "Leases",
    "Mounts",
    "Pki",
    "PkiRoles",
    "Policies",
    "Sys",
    "TokenRoles",
    "Tokens",
    "Transit",
    "TransitKeys",
    "Wrapping",
}

_METHOD = re.compile(r"[A-Z]\w+\.[a-z]\w*\Z")


def classes() -> dict[str, type]:
    """Return every class of the engines' modules that asks Vault something, by name."""
    modules = [
        importlib.import_module(f"greenlang_secrets.vault.{module.name}")
        for module in pkgutil.iter_modules(greenlang_secrets.vault.__path__)
        if module.name
        not in {"auth", "client", "session", "tenant_tokens", "token_holder"}  # logins, no engines
    ]
    found = {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and _methods(value)
    }
    # A part of an engine, in a file of its own, counts as that engine and not beside it.
    parts = {
        part
        for value in found.values()
        for part in value.__mro__[1:]
        if part.__module__ != value.__module__
    }
    return {name: value for name, value in found.items() if value not in parts}


def _methods(value: type) -> set[str]:
    """Public coroutine methods, inherited ones among them."""
    return {
        name
        for name, member in inspect.getmembers(value, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }


def logins() -> set[str]:
    """Return ``Class.login`` of every way to log in."""
    modules = [
        importlib.import_module(f"{greenlang_secrets.vault.auth.__name__}.{module.name}")
        for module in pkgutil.iter_modules(greenlang_secrets.vault.auth.__path__)
    ]
    return {
        f"{value.__name__}.login"
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and AuthMethod in value.__mro__[1:]
    }


def in_code() -> set[str]:
    """Return ``Class.method`` of every engine, and of every way to log in."""
    engines = classes().items()
    return logins() | {
        f"{name}.{method}" for name, engine in engines for method in _methods(engine)
    }


def in_page(text: str) -> list[str]:
    """Return what the column "Ours" names."""
    return [row[1] for row in rows(text) if row[1] != "none"]


def differences(text: str) -> list[str]:
    """Return what the page and the code disagree on, one line each."""
    shown = in_page(text)
    return [
        *(f"not in the page: {name}" for name in sorted(in_code() - set(shown))),
        *(f"not in the code: {name}" for name in sorted(set(shown) - in_code())),
        *(f"twice in the page: {name}" for name in sorted(set(shown)) if shown.count(name) > 1),
    ]


def test_every_method_stands_in_the_table_and_exists() -> None:
    """Nothing is missing in the page, nothing invented, nothing there twice."""
    assert differences(PAGE.read_text("utf-8")) == []


def test_what_is_left_out_has_a_reason() -> None:
    """A row without a method of ours says why."""
    silent = [row for row in rows(PAGE.read_text("utf-8")) if row[1] == "none" and not row[3]]

    assert silent == []


def test_engines_are_found() -> None:
    """The control of the search: it finds these engines, so an empty page could not pass."""
    assert set(classes()) >= ENGINES
    assert len(logins()) == 7


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("`Pki.issue`", "none", "not in the page: Pki.issue"),
        ("`Pki.issue`", "`Pki.forge`", "not in the code: Pki.forge"),
        ("`Pki.sign`", "`Pki.issue`", "twice in the page: Pki.issue"),
    ],
)
def test_a_difference_is_found(old: str, new: str, complaint: str) -> None:
    """The control: a page that says something else is complained of."""
    text = PAGE.read_text("utf-8").replace(old, new, 1)

    assert complaint in differences(text)


def test_every_name_is_one_method() -> None:
    """The column holds one method each, so that no two hide behind one cell."""
    strange = [name for name in in_page(PAGE.read_text("utf-8")) if not _METHOD.match(name)]

    assert strange == []
