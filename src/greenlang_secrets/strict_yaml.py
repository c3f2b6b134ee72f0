"""YAML that an operator writes, read strictly: what YAML itself would pass over is refused."""

from __future__ import annotations

import re
from typing import Any

from greenlang_secrets.errors import ConfigurationError

__all__ = ["load_strictly"]


def load_strictly(text: str, name: str) -> object:
    """Return what YAML text says, in plain types; `name` is the file's, for what is wrong in it.

    Raises:
        ConfigurationError: it is no YAML, or has a key twice in one mapping, with the line and
            nothing quoted; or PyYAML is not installed.
    """
    try:
        import yaml  # noqa: PLC0415  an extra, and not needed to read secrets
    except ModuleNotFoundError:
        raise ConfigurationError(
            "The package PyYAML is not installed; pip install 'greenlang-secrets[cli]'"
        ) from None

    class Strict(yaml.SafeLoader):
        """Refuses a key that is there twice, which YAML forbids and PyYAML takes."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  as PyYAML calls it
            keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
            if len(keys) != len(set(keys)):
                raise yaml.constructor.ConstructorError(
                    problem="has a key twice", problem_mark=node.start_mark
                )
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader=Strict)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        # The parser's own words, without what it quotes of the file.
        what = re.split(r"['\"]", error.problem or "", maxsplit=1)[0].strip()
        raise ConfigurationError(
            f"{name}, line {line}: {what or 'malformed'}; correct the YAML."
        ) from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigurationError(f"{name} is no YAML; correct it.") from None
