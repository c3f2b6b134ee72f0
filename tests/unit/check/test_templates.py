"""Which fields a template of the External Secrets Operator takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.check.documents import documents
from greenlang_secrets.check.needs import Need, needs
from greenlang_secrets.check.templates import fields_of, fields_read


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("{{ .host }}:{{ .port }}", [("host", 0), ("port", 0)]),
        ('{{ .user | urlquery | replace "+" ".x" }}', [("user", 0)]),
        ("{{ .a }}\n{{- .b -}}\n{{ `.c` }}", [("a", 0), ("b", 1)]),
        ('{{ index . "a-b" }}', [("a-b", 0)]),
        ("{{ $x.y }} {{ .a.b }} .c {{/* .d */}}", [("a", 0)]),
        ("{{ range .a }}{{ .b }}{{ end }}", []),
        ("{{- with .a }}{{ .b }}{{ end }}", []),
        ("no action", []),
    ],
)
def test_fields_are_those_of_the_dot(template: str, fields: list[tuple[str, int]]) -> None:
    """Texts, comments, variables and members are none, nor is what a block makes of the dot."""
    assert list(fields_of(template)) == fields


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ('{{- with secret "a" -}}\n{{ .Data.data.x | urlquery }}{{- end -}}', [("a", "x", 1)]),
        (
            (
                '{{ with secret "a" }}{{ if .Data.data.x }}{{ .Data.data.y }}{{ end }}{{ end }}'
                "{{ .Data.data.z }}"
            ),
            [("a", "x", 0), ("a", "y", 0)],
        ),
        ('{{ with secret "a" }}{{ range .Data.data }}{{ .Data.data.x }}{{ end }}{{ end }}', []),
        ('{{ with secret "a" "b=c" }}{{ .Data.data.x }}{{ end }}', []),
        ("{{ end }}{{ .Data.data.x }}", []),
    ],
)
def test_fields_of_an_agent_s_template_are_its_secret_s(
    template: str, fields: list[tuple[str, str, int]]
) -> None:
    """Inside `with secret`, and in `if` within it; not where the dot is something else."""
    assert list(fields_read(template)) == fields


STORE = """\
kind: ClusterSecretStore
metadata: {name: kv}
spec: {provider: {vault: {path: secret, auth: {kubernetes: {role: eso}}}}}
---
"""


def fields(spec: str) -> list[tuple[str, int]]:
    """Return the fields that an ExternalSecret asks for, and their lines."""
    text = f"{STORE}kind: ExternalSecret\nspec:\n  secretStoreRef: {{kind: ClusterSecretStore, name: kv}}\n{spec}"
    found = list(needs(list(documents(Path("a.yaml"), text))))
    return [(item.field, item.place.line) for item in found if isinstance(item, Need)]


TEMPLATE = """\
  target:
    template:
      data:
        url: '{{ .user }}@{{ .host }}'
        more: |-
          first
          {{ .own }}
"""


def test_the_template_says_what_an_extract_is_for() -> None:
    """Each field at its line, but those that `data` makes."""
    assert fields(
        TEMPLATE
        + """\
  data: [{secretKey: own, remoteRef: {key: b, property: c}}]
  dataFrom: [{extract: {key: a}}]
"""
    ) == [("c", 15), ("", 16), ("user", 11), ("host", 11)]
    assert ("own", 14) in fields(TEMPLATE + "  dataFrom: [{extract: {key: a}}]\n")


@pytest.mark.parametrize(
    "sources",
    [
        "[{extract: {key: a}}, {extract: {key: b}}]",
        "[{extract: {key: a}, rewrite: [{regexp: {source: x, target: y}}]}]",
        "[{extract: {key: a, conversionStrategy: Unicode}}]",
        "[{extract: {key: a, metadataPolicy: Fetch}}]",
    ],
)
def test_fields_that_may_be_another_s_are_left_open(sources: str) -> None:
    """Two sources, keys that are rewritten, or metadata: nobody knows whose a field is."""
    assert {name for name, _ in fields(f"{TEMPLATE}  dataFrom: {sources}\n")} == {""}
