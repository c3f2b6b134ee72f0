"""The page of policies says what the shipped files say, both ways; each wildcard has a reason."""

from __future__ import annotations

import re

import yaml

from contracts.markdown import ROOT, rows

PAGE = ROOT / "docs" / "reference" / "policies.md"
VAULT = ROOT / "k8s" / "vault"

_PATH = re.compile(r'^path "([^"]+)" \{\n  capabilities = \[([^\]]+)\]', re.MULTILINE)


def grants() -> list[tuple[str, str, str]]:
    """Return (policy, path, capabilities) of every file, in order."""
    return [
        (file.stem, path, capabilities.replace('"', ""))
        for file in sorted((VAULT / "policies").glob("*.hcl"))
        for path, capabilities in _PATH.findall(file.read_text())
    ]


def unexplained(text: str) -> list[str]:
    """Return the paths with a wildcard above which no comment has the word, up to a blank line."""
    return [
        path
        for block in text.split("\n\n")
        for path in re.findall(r'path "([^"]*[*+][^"]*)"', block)
        if "wildcard" not in block
    ]


def test_page_has_every_grant_and_no_other() -> None:
    """The table of grants is that of the files."""
    found = [row for row in rows(PAGE.read_text("utf-8")) if len(row) == 3]

    assert [tuple(cell.strip("`") for cell in row) for row in found] == grants()


def test_page_has_every_role_and_no_other() -> None:
    """The table of roles is that of roles.yaml."""
    roles = yaml.safe_load((VAULT / "roles.yaml").read_text())["kubernetes"]["roles"]
    found = [row for row in rows(PAGE.read_text("utf-8")) if len(row) == 4]

    assert [tuple(cell.strip("`") for cell in row) for row in found] == [
        (
            name,
            role["namespace"],
            role["service_account"],
            f"{role['ttl']}, at most {role['max_ttl']}",
        )
        for name, role in roles.items()
    ]


def test_every_path_of_a_policy_is_seen() -> None:
    """The control of the search: each `path` of the files is one grant, and none ends with `*`."""
    texts = [file.read_text() for file in sorted((VAULT / "policies").glob("*.hcl"))]

    assert sum(text.count("\npath ") for text in texts) == len(grants()) > 40
    assert not [path for _, path, _ in grants() if "*" in path]


def test_every_wildcard_has_a_reason() -> None:
    """Beside each wildcard a comment says why it is one."""
    found = {
        file.stem: paths
        for file in sorted((VAULT / "policies").glob("*.hcl"))
        if (paths := unexplained(file.read_text()))
    }

    assert found == {}


def test_wildcard_without_a_reason_is_found() -> None:
    """The control: a wildcard below another path's reason is complained of."""
    text = '# The wildcard is a name.\npath "a/+" {\n}\n\n# Others.\npath "b/*" {\n}\n'

    assert unexplained(text) == ["b/*"]
