"""Policies against what manifests ask: what is missing, and what nobody uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from greenlang_secrets.check.asking import Asked
from greenlang_secrets.check.findings import Finding, Place
from greenlang_secrets.check.needs import Need
from greenlang_secrets.check.policies import Policy, deciding

__all__ = ["Roles", "missing", "unexplained", "unused"]

Roles = Mapping[str, Sequence[str]]
"""The policies of each role."""


async def missing(
    needs: Sequence[Need], roles: Roles, policies: Sequence[Policy], asked: Asked
) -> list[Finding]:
    """Return what manifests ask for and a role may not do, as the server answers."""
    known = {policy.name for policy in policies}
    by_role: dict[str, list[Need]] = defaultdict(list)
    for need in needs:
        if not need.within:
            by_role[need.role].append(need)
    found = []
    for role, wanted in sorted(by_role.items()):
        lacking = [name for name in roles.get(role, ()) if name not in known]
        if role not in roles or lacking:
            found.append(
                Finding(
                    rule="unknown_role",
                    place=wanted[0].place,
                    what=(
                        f"the policy {lacking[0]} of the role {role} has no file"
                        if lacking
                        else f"there is no role {role}, and no policy of this name"
                    ),
                    fix="Correct the role's name, or write its policy.",
                )
            )
        if role not in roles:
            continue
        may = await asked.allows(roles[role], {need.path for need in wanted})
        found += [
            Finding(
                rule="unreadable_path",
                place=need.place,
                what=f"the role {role} may not {need.capability} {need.path}",
                fix=_fix(need, roles[role]),
            )
            for need in wanted
            if not may[need.path] & {need.capability, "root"}
        ]
    return found


def _fix(need: Need, policies: Sequence[str]) -> str:
    return (
        f"Correct the path, or grant it in the policy {' or '.join(policies)}: "
        f'path "{need.path}" {{ capabilities = ["{need.capability}"] }}'
    )


def unused(needs: Sequence[Need], roles: Roles, policies: Sequence[Policy]) -> Iterator[Finding]:
    """Yield each capability that no manifest of a role with the policy asks for.

    A policy or a block whose comment has ``used by: ...`` is used by what is no manifest.
    """
    for policy in policies:
        if policy.used_by:
            continue
        asked_for = {
            (need.path, need.capability)
            for need in needs
            if policy.name in roles.get(need.role, ())
        }
        used = {
            (grant.line, capability)
            for path, capability in asked_for
            for grant in deciding(policy.grants, path)
        }
        for grant in policy.grants:
            if grant.exempt:
                continue
            for capability, line in grant.capabilities.items():
                if capability != "deny" and (grant.line, capability) not in used:
                    yield Finding(
                        rule="unused_grant",
                        place=Place(file=policy.file, line=line, object=f"policy {policy.name}"),
                        what=f"nothing needs {capability} of {grant.path}",
                        fix='Remove it, or say in the comment above who does: "used by: ...".',
                    )


def unexplained(policies: Sequence[Policy]) -> Iterator[Finding]:
    """Yield wildcards without a comment above them."""
    for policy in policies:
        for grant in policy.grants:
            if grant.wildcard and not grant.comment.strip("#/ \n"):
                yield Finding(
                    rule="unexplained_wildcard",
                    place=Place(file=policy.file, line=grant.line, object=f"policy {policy.name}"),
                    what=f"the wildcard in {grant.path} is not explained",
                    fix="Name the paths, or say in a comment above why all of them are meant.",
                )
