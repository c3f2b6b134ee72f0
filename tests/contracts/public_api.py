"""The public names with their signatures, a line each, as `public_api.txt` keeps them.

``make public-api`` writes that file anew; a change of it is a change of what users build on.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from greenlang_secrets import integrations

FROZEN = Path(__file__).with_name("public_api.txt")

MODULES = (
    "greenlang_secrets",
    "greenlang_secrets.audit",
    *sorted(
        f"{integrations.__name__}.{each.name}"
        for each in pkgutil.iter_modules(integrations.__path__)
    ),
    "greenlang_secrets.rotation.handler",
    "greenlang_secrets.rotation.manager",
    "greenlang_secrets.testing",
    "greenlang_secrets_api",
)
"""Where users import from, each with an `__all__`."""

OURS = ("greenlang_secrets", "greenlang_secrets_api")
NOT_SHOWN = {inspect.Parameter.empty, inspect.Signature.empty}


def lines() -> list[str]:
    """Return a line for each public name and each of its members."""
    modules = [importlib.import_module(name) for name in MODULES]
    known = {id(getattr(module, name)) for module in modules for name in module.__all__}
    return [
        f"{module.__name__}.{line}"
        for module in modules
        for name in sorted(module.__all__)
        for line in _of(name, getattr(module, name), known)
    ]


def _of(name: str, value: Any, known: set[int]) -> Iterator[str]:
    if isinstance(value, type):
        bases = ", ".join(_readable(base) for base in value.__bases__ if base is not object)
        yield f"{name}: class({bases})"
        yield from (f"{name}.{member}" for member in sorted(_members(value, known)))
    elif inspect.isroutine(value):
        yield f"{name}{_signature(value)}"
    elif isinstance(value, ModuleType | str):  # a version changes at each release
        yield f"{name}: {type(value).__name__}"
    else:
        yield f"{name}: {_readable(value)}"


def _members(kind: type, known: set[int]) -> set[str]:
    """Members of a class, with those of bases that have no line of their own."""
    if issubclass(kind, enum.Enum):
        return {f"{each.name} = {each.value!r}" for each in kind}
    found = {f"__init__{_signature(kind)}"} if not _is_abstract(kind) else set()
    shown = {above for base in kind.__mro__[1:] if id(base) in known for above in base.__mro__}
    seen: set[str] = set()
    for base in kind.__mro__:
        if base in shown or not base.__module__.startswith(OURS):
            continue
        for name, value in vars(base).items():
            if not name.startswith("_") and name not in seen:
                seen.add(name)
                found.add(_member(name, value))
        for name in _attributes(base) - seen:
            seen.add(name)
            found.add(f"{name}: attribute")
    return found


def _is_abstract(kind: type) -> bool:
    return inspect.isabstract(kind) or getattr(kind, "_is_protocol", False)


def _member(name: str, value: Any) -> str:
    match value:
        case classmethod() | staticmethod():
            return f"{name}{_signature(value.__func__)} [{type(value).__name__}]"
        case property():
            assert value.fget is not None
            returned = inspect.signature(value.fget).return_annotation
            return f"{name} -> {_annotation(returned)} [property]"
        case _ if inspect.isroutine(value):
            return f"{name}{_signature(value)}"
        case bool() | int() | str() | None:
            return f"{name} = {value!r}"
        case _:
            return f"{name}: attribute"


def _attributes(kind: type) -> set[str]:
    """Public attributes that a constructor sets, or that are annotated in the class."""
    annotated = {name for name in vars(kind).get("__annotations__", {}) if name[0] != "_"}
    written = vars(kind).get("__init__")
    if written is None or "__dataclass_fields__" in vars(kind):
        return annotated
    tree = ast.parse(textwrap.dedent(inspect.getsource(written)))
    targets = [
        target
        for node in ast.walk(tree)
        for target in (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
    ]
    return annotated | {
        target.attr
        for target in targets
        if isinstance(target, ast.Attribute)
        and ast.unparse(target.value) == "self"
        and target.attr[0] != "_"
    }


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except ValueError:  # exceptions without a constructor of their own
        return "(...)"
    begun = "" if not inspect.iscoroutinefunction(value) else " [async]"
    shown: list[str] = []
    keywords = False
    for each in signature.parameters.values():
        if each.name in {"self", "cls"}:
            continue
        if each.kind is each.KEYWORD_ONLY and not keywords:
            keywords = True
            shown.append("*")
        if each.kind is each.VAR_POSITIONAL:
            keywords = True
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        text = stars + each.name
        if each.annotation not in NOT_SHOWN:
            text += f": {_annotation(each.annotation)}"
        if each.default not in NOT_SHOWN:
            text += f" = {_readable(each.default)}"
        shown.append(text)
    returned = signature.return_annotation
    answer = (
        "" if returned in NOT_SHOWN or inspect.isclass(value) else f" -> {_annotation(returned)}"
    )
    return f"({', '.join(shown)}){answer}{begun}"


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    # Without modules: where one stands is not the point, and differs between Pythons.
    return re.sub(r"\b[a-z_][\w.]*\.(?=[A-Z])", "", text).replace('"', "").replace("'", "")


def _readable(value: Any) -> str:
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, frozenset):  # in no order of their own
        return f"frozenset({sorted(value)!r})"
    text = repr(value)
    # What shows its address would be another one in each run.
    return text if " at 0x" not in text else f"<{type(value).__name__}>"


if __name__ == "__main__":
    FROZEN.write_text("\n".join(lines()) + "\n", "utf-8")
    sys.stdout.write(f"{FROZEN.name} has {len(lines())} lines\n")
