"""What a declaration implies, printed: a policy, ExternalSecrets, or annotations of the agent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.needs.declared import Need
from greenlang_secrets.needs.form import Form
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath

__all__ = ["place_of", "printed"]

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9./_-]*\Z")
_YAML_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LONGEST_NAME: Final = 253
_LONGEST_PART: Final = 41
"""With ``agent-inject-template-`` before it, the name of an annotation has 63 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One path, and what is read of it.

    Attributes:
        names: as declared.
        fields: the keys that are taken; empty for all.
    """

    place: KvPath
    names: tuple[str, ...]
    fields: tuple[str, ...]

    @property
    def data(self) -> str:
        """Where Vault's API has it."""
        return str(self.place.api("data"))

    @property
    def slug(self) -> str:
        """The path as a part of a name in Kubernetes."""
        return re.sub(r"[^a-z0-9]+", "-", str(self.place).lower()).strip("-")


def printed(form: Form, needs: Mapping[str, Need]) -> str:
    """Return the text of the file, with the line that `check` knows it by.

    Raises:
        ConfigurationError: two paths have one name in Kubernetes.
    """
    reads = list(_reads(form, needs))
    match form.artefact:
        case "policy":
            return _policy(form, reads)
        case "external-secret":
            return _external_secrets(form, reads)
        case "annotations":
            return _annotations(form, reads)
        case _:
            assert_never(form.artefact)


def place_of(form: Form, path: str) -> KvPath:
    """Return where the secret of a need is."""
    return KvPath.of(form.kv_mount, PLATFORM, SecretPath.parse(path))


def _reads(form: Form, needs: Mapping[str, Need]) -> Iterator[_Read]:
    slugs: dict[str, str] = {}
    for path in sorted({each.path for each in needs.values()}):
        own = {name: each for name, each in needs.items() if each.path == path}
        whole = any(each.field is None for each in own.values())
        read = _Read(
            place=place_of(form, path),
            names=tuple(own),
            fields=() if whole else tuple(sorted({str(each.field) for each in own.values()})),
        )
        if slugs.setdefault(read.slug, path) != path:
            raise ConfigurationError(
                f"{slugs[read.slug]} and {path} have the same name in Kubernetes: {read.slug}."
            )
        yield read


# ---------------------------------------------------------------- the policy


def _policy(form: Form, reads: list[_Read]) -> str:
    head = [
        form.head,
        f"# used by: what loads {form.source}. Do not edit: `greenlang-secrets check` compares.",
        "",
    ]
    blocks = ["\n".join(head)]
    blocks += [
        f'# {", ".join(read.names)}\npath "{read.data}" {{\n  capabilities = ["read"]\n}}\n'
        for read in reads
    ]
    return "\n".join(blocks)


# ---------------------------------------------------------------- the operator


def _external_secrets(form: Form, reads: list[_Read]) -> str:
    kind, _, store = form.store.partition("/")
    documents = []
    for read in reads:
        name = _scalar(_short(f"{form.name}-{read.slug}", _LONGEST_NAME))
        documents.append(
            "\n".join(
                [
                    "apiVersion: external-secrets.io/v1",
                    "kind: ExternalSecret",
                    "metadata:",
                    f"  name: {name}",
                    *([f"  namespace: {_scalar(form.namespace)}"] if form.namespace else []),
                    "  labels:",
                    f"    app.kubernetes.io/name: {_scalar(form.name)}",
                    "    app.kubernetes.io/component: external-secrets",
                    "spec:",
                    "  refreshPolicy: Periodic",
                    f"  refreshInterval: {form.refresh}",
                    "  secretStoreRef:",
                    f"    kind: {kind}",
                    f"    name: {_scalar(store)}",
                    "  target:",
                    f"    name: {name}",
                    "    creationPolicy: Owner",
                    "    deletionPolicy: Retain",
                    *_target(read),
                    "  dataFrom:",
                    "    - extract:",
                    f"        key: {_scalar('/'.join(read.place.segments))}",
                    "",
                ]
            )
        )
    return f"{form.head}\n# Do not edit: `greenlang-secrets check` compares.\n" + "---\n".join(
        documents
    )


def _target(read: _Read) -> Iterator[str]:
    """The template that leaves nothing but the fields in the Secret, where not all are needed."""
    if read.fields:
        yield "    template:"
        yield "      engineVersion: v2"
        yield "      type: Opaque"
        yield "      data:"
        for field in read.fields:
            yield f"        {_scalar(field)}: '{_field(field, of='.', fail='fail', more='')}'"


# ---------------------------------------------------------------- the agent


def _annotations(form: Form, reads: list[_Read]) -> str:
    prefix = "        vault.hashicorp.com/"
    lines = [
        form.head,
        "# Do not edit: `greenlang-secrets check` compares. A patch: what else the agent needs, such",
        "# as Vault's address and its CA, stands in yours.",
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata:",
        f"  name: {_scalar(form.name)}",
        *([f"  namespace: {_scalar(form.namespace)}"] if form.namespace else []),
        "spec:",
        "  template:",
        "    metadata:",
        "      annotations:",
        f'{prefix}agent-inject: "true"',
        f"{prefix}role: {_scalar(form.name)}",
    ]
    for read in reads:
        part = _short(read.slug, _LONGEST_PART)
        lines += [
            "",
            f"{prefix}agent-inject-secret-{part}: {_scalar(read.data)}",
            f"{prefix}agent-inject-file-{part}: {_scalar(f'{part}.json')}",
            f'{prefix}agent-inject-perms-{part}: "0400"',
            f'{prefix}error-on-missing-key-{part}: "true"',
            f"{prefix}agent-inject-template-{part}: |-",
            f'          {{{{- with secret "{read.data}" -}}}}',
            f"          {_document(read)}",
            "          {{- end -}}",
        ]
    return "\n".join([*lines, ""])


def _document(read: _Read) -> str:
    """The template of a JSON document with what is needed of the secret."""
    if not read.fields:
        return "{{ .Data.data | toJSON }}"
    members = []
    for field in read.fields:
        value = _field(field, of=".Data.data", fail="sprig_fail", more=" | toJSON")
        members.append(f'"{field}": {value}')
    return "{" + ", ".join(members) + "}"


def _field(field: str, *, of: str, fail: str, more: str) -> str:
    """The template of one field, which fails where that is missing."""
    if _IDENTIFIER.match(field):
        return f"{{{{ {of.rstrip('.')}.{field}{more} }}}}"
    # `index` gives nothing for what is not there, and nobody would be told.
    taken = f'index {of} "{field}"'
    missing = f'{{{{ if not ({taken}) }}}}{{{{ {fail} "{field} is missing" }}}}{{{{ end }}}}'
    return f"{missing}{{{{ {taken}{more} }}}}"


def _short(text: str, longest: int) -> str:
    """A name of at most `longest` characters, that no other text has."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _scalar(text: str) -> str:
    """A text that YAML reads as that text."""
    plain = _PLAIN.match(text) is not None and text.lower() not in _YAML_WORDS
    return text if plain else json.dumps(text)
