"""The secrets that there are: paths from a file, and those that `dev` makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from greenlang_secrets.check.findings import Finding
from greenlang_secrets.check.needs import Need
from greenlang_secrets.development.seed import platform_tree

__all__ = ["Tree", "read_tree", "seeded", "unknown_paths"]

Tree = Mapping[str, frozenset[str]]
"""Mount and path of each secret, to its keys; without any where they are not known."""


def read_tree(file: Path) -> Tree:
    """Return the tree of a file: on each line mount and path of a secret, then its keys, if known.

    What follows ``#`` is a comment.

    Raises:
        OSError: it cannot be read.
    """
    lines = [line.partition("#")[0].split() for line in file.read_text("utf-8").splitlines()]
    return {words[0].strip("/"): frozenset(words[1:]) for words in lines if words}


def seeded(kv_mount: str) -> Tree:
    """Return the tree that `greenlang-secrets dev` makes for the platform."""
    return {f"{kv_mount}/greenlang/{path}": keys for path, keys in platform_tree().items()}


def unknown_paths(needs: Sequence[Need], tree: Tree) -> Iterator[Finding]:
    """Yield secrets and keys that are read, are not in the tree, and are made by no PushSecret."""
    made = {need.secret for need in needs if need.makes}
    for need in needs:
        if need.secret is None or need.secret in made:
            continue
        keys = tree.get(need.secret)
        if keys is None and need.within:
            continue  # told where the secret is named
        if keys is None:
            yield Finding(
                rule="unknown_path",
                place=need.place,
                what=f"there is no secret {need.secret}",
                fix="Correct the path, or add the secret to what is provisioned.",
            )
        elif keys and need.field and need.field.partition(".")[0] not in keys:
            yield Finding(
                rule="unknown_path",
                place=need.place,
                what=f"the secret {need.secret} has no key {need.field}",
                fix="Correct the property, or add the key to what is provisioned.",
            )
