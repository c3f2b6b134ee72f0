"""The whole check: files are read, a server is asked, findings come sorted by place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

from greenlang_secrets.check import declared, images, literals, metrics, refresh
from greenlang_secrets.check.asking import Server, asked
from greenlang_secrets.check.documents import Document, NotYaml, documents
from greenlang_secrets.check.findings import Finding, Place
from greenlang_secrets.check.grants import Roles, missing, unexplained, unused
from greenlang_secrets.check.needs import Need, needs
from greenlang_secrets.check.policies import NotAPolicy, Policy, parse
from greenlang_secrets.check.tree import Tree, unknown_paths
from greenlang_secrets.config import Environment
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.needs import Needs
from greenlang_secrets.testing import OpenBaoServer

__all__ = ["Checked", "Options", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is checked, and against what.

    Attributes:
        paths: files and folders with manifests; policies (``*.hcl`` in a folder ``policies``) and
            roles (``roles.yaml``) are found in them, too.
        policies: folders with more policies.
        roles: the file with the roles; without any a role has the policy of its name.
        tree: the secrets that there are; None does not ask.
        environment: whose refresh holds; None takes it from folders such as ``prod``.
        metrics: the names that are exported; None does not ask.
        server: a server to ask; None starts one.
        kv_mount: what ``${kv_mount}`` in a policy stands for.
        needs: classes that files are printed from, by their names as ``MODULE:CLASS``.
    """

    paths: Sequence[Path]
    policies: Sequence[Path] = ()
    roles: Path | None = None
    tree: Tree | None = None
    environment: Environment | None = None
    metrics: frozenset[str] | None = None
    server: Server | None = None
    kv_mount: str = "secret"
    needs: Mapping[str, type[Needs]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was looked at, so that nothing found is not nothing seen.

    Attributes:
        files: manifests that were read.
        needs: (role, path, capability) that were asked of the server.
        policies: policies that were loaded.
        findings: by file and line.
    """

    files: int
    needs: int
    policies: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Files:
    found: list[Finding] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    read: list[Path] = field(default_factory=list)
    texts: dict[Path, str] = field(default_factory=dict)


async def check(options: Options) -> Checked:
    """Check manifests against policies, roles, secrets and metrics.

    Raises:
        ConfigurationError: a path does not exist, or there is nothing to check in it, or no file
            is printed from a class of `needs`.
        ServerError: the server does not start.
        AccessDenied: the given server's token may not write policies or make tokens.
    """
    files = await anyio.to_thread.run_sync(_read, options)
    found = files.found
    asks: list[Need] = []
    for item in needs(files.documents):
        if isinstance(item, Need):
            asks.append(item)
        else:
            found.append(item)
    asks = list(dict.fromkeys(asks))
    roles: Roles = files.roles or {policy.name: (policy.name,) for policy in files.policies}
    for document in files.documents:
        environment = options.environment or refresh.environment_of(document.file)
        found += literals.literals(document)
        found += images.unpinned(document)
        found += refresh.slow(document, environment)
    if options.metrics is not None:
        known = options.metrics | metrics.recorded(files.documents)
        for document in files.documents:
            found += metrics.unknown_metrics(document, known)
    if options.tree is not None:
        own = declared.reads(files.texts, options.needs)
        found += unknown_paths([*asks, *own], options.tree)
    found += declared.differences(files.texts, options.needs)
    found += unexplained(files.policies)
    found += unused(asks, roles, files.policies)
    if asks or files.policies:
        found += [item async for item in _ask(options, asks, roles, files.policies)]
    return Checked(
        files=len(files.read),
        needs=len(asks),
        policies=len(files.policies),
        findings=tuple(sorted(dict.fromkeys(found), key=_order)),
    )


def _order(finding: Finding) -> tuple[str, int, str, str]:
    return str(finding.place.file), finding.place.line, finding.rule, finding.what


async def _ask(
    options: Options, asks: list[Need], roles: Roles, policies: list[Policy]
) -> AsyncIterator[Finding]:
    async with AsyncExitStack() as stack:
        server: Server | None = options.server
        if server is None:
            server = await stack.enter_async_context(OpenBaoServer(audit=False))
        answers, refused = await stack.enter_async_context(
            asked(server, policies, kv_mount=options.kv_mount)
        )
        for policy in refused:
            yield _invalid(policy.file, 1, "the server refuses this policy")
        for finding in await missing(asks, roles, policies, answers):
            yield finding


def _read(options: Options) -> _Files:
    files = _Files()
    policies: list[Path] = []
    for path in options.paths:
        if not path.exists():
            raise ConfigurationError(f"There is no {path}; give a file or a folder.")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            _read_file(file, files, policies)
    for folder in options.policies:
        policies += sorted(folder.glob("*.hcl"))
    if options.roles is not None and options.roles not in files.read:
        _read_manifest(options.roles, files)
    if not files.read and not policies:
        raise ConfigurationError("There is nothing to check there: no YAML, and no policy.")
    for file in dict.fromkeys(policies):
        _read_policy(file, files)
    return files


def _read_file(file: Path, files: _Files, policies: list[Path]) -> None:
    if file.is_symlink() and file.is_dir():
        files.found.append(_invalid(file, 1, "is a link to a folder, which is not followed"))
    elif file.suffix in {".yaml", ".yml", ".json"} and file.is_file():
        _read_manifest(file, files)
    elif file.suffix == ".hcl" and file.parent.name == "policies":
        policies.append(file)


def _read_policy(file: Path, files: _Files) -> None:
    try:
        files.texts[file] = file.read_text("utf-8")
        files.policies.append(parse(file, files.texts[file]))
    except UnicodeDecodeError:
        files.found.append(_invalid(file, 1, "is no text in UTF-8"))
    except NotAPolicy as error:
        files.found.append(_invalid(file, error.line, error.what))


def _read_manifest(file: Path, files: _Files) -> None:
    files.read.append(file)
    try:
        files.texts[file] = file.read_text("utf-8")
        found = list(documents(file, files.texts[file]))
    except UnicodeDecodeError:
        files.found.append(_invalid(file, 1, "is no text in UTF-8"))
        return
    except NotYaml as error:
        files.found.append(_invalid(file, error.line, "cannot be read as YAML"))
        return
    files.documents.extend(found)
    for document in found:
        for name, role in document.value.at("kubernetes", "roles").members.items():
            files.roles[name] = tuple(item.text for item in role.at("policies").items)


def _invalid(file: Path, line: int, what: str) -> Finding:
    return Finding(
        rule="invalid_file",
        place=Place(file=file, line=line),
        what=what,
        fix="Correct it: it was not checked.",
    )
