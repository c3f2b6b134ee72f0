"""What each endpoint means to its callers: one row for each, by kind and method.

An endpoint's declaration says what is needed to answer; the row here says what is needed to
understand. Most problems follow from the declaration (who takes a body can answer 415), and
the row names the rest.
"""

from __future__ import annotations

from typing import Final

from greenlang_secrets_api.operation import Link, Operation, Outcome, Vault
from greenlang_secrets_api.operations_rotation import ROTATION_OPERATIONS
from greenlang_secrets_api.targets import Kind

__all__ = ["OPERATIONS"]

_GONE: Final = ("secret_not_found", "secret_deleted", "secret_destroyed", "version_not_found")
_NOT_A_FOLDER: Final = ("path_is_folder", "ancestor_is_secret")

_OF_A_NEW_SECRET: Final = (
    Link(status=201, to="readSecret", text="The new secret."),
    Link(status=201, to="inspectSecret", text="Its headers without its values."),
    Link(
        status=201,
        to="updateSecret",
        text="Its next version, under the condition that nobody else writes one.",
        parameters=(
            ("path", "$response.body#/path"),
            ("header.If-Match", "$response.header.ETag"),
        ),
    ),
    Link(
        status=201,
        to="patchSecret",
        text="A change of some of its keys.",
        parameters=(
            ("path", "$response.body#/path"),
            ("header.If-Match", "$response.header.ETag"),
        ),
    ),
    Link(status=201, to="deleteSecret", text="Its end."),
    Link(status=201, to="listVersions", text="Its history."),
    Link(
        status=201,
        to="undeleteSecret",
        text="The way back, should it be deleted.",
        body=(("version", "$response.body#/version"),),
    ),
)

OPERATIONS: Final[dict[tuple[Kind, str], Operation]] = {
    (Kind.LIST, "GET"): Operation(
        id="listSecrets",
        tag="Secrets",
        summary="List what lies below a prefix",
        text="One page of the secrets and folders directly below `prefix`, without values. A "
        "folder's path ends with a slash. An unknown prefix has no items. Secrets whose current "
        "version is deleted are left out unless `deleted` is true. A name that other tools wrote "
        "outside the grammar is shown with `addressable` false.",
        outcomes=(
            Outcome(
                status=200,
                text="A page; `next` is null on the last one.",
                schema="SecretPage",
                headers=("Link",),
            ),
        ),
        vault=Vault.READ,
    ),
    (Kind.SECRET, "GET"): Operation(
        id="readSecret",
        tag="Secrets",
        summary="Read a secret",
        text="The newest version with its values, or the one that `version` pins. With "
        "`If-None-Match` and the version you have, the answer is 304 without values; with "
        "`Prefer: wait=30` besides, it is held back until there is another version. While Vault "
        "cannot be asked, a value that is not too old is given and marked with "
        "`X-Secret-Stale: true`; `fresh=true` takes nothing but Vault's own answer.",
        outcomes=(
            Outcome(
                status=200,
                text="The secret.",
                schema="Secret",
                headers=("ETag", "Age", "X-Secret-Stale", "Preference-Applied"),
            ),
            Outcome(
                status=304,
                text="You have this version.",
                headers=("ETag", "Age", "X-Secret-Stale", "Preference-Applied"),
            ),
        ),
        headers=("If-None-Match", "Prefer"),
        problems=(*_GONE, "invalid_body"),
        vault=Vault.READ,
    ),
    (Kind.SECRET, "HEAD"): Operation(
        id="inspectSecret",
        tag="Secrets",
        summary="Look at a secret without reading it",
        text="The headers of a read, taken from the secret's metadata: its values are not read, "
        "and Vault is always asked.",
        outcomes=(
            Outcome(status=200, text="It is there, in this version.", headers=("ETag", "Age")),
            Outcome(status=304, text="You have this version.", headers=("ETag", "Age")),
        ),
        headers=("If-None-Match",),
        problems=_GONE,
        vault=Vault.READ,
    ),
    (Kind.SECRET, "POST"): Operation(
        id="createSecret",
        tag="Secrets",
        summary="Create a secret",
        text="Writes a secret where none is live. One that was deleted is created anew and goes "
        "on with the next version. The values are never answered. With an "
        "`Idempotency-Key` the same request may be sent again for 24 hours, and is done once.",
        body="NewSecret",
        outcomes=(
            Outcome(
                status=201,
                text="Created.",
                schema="SecretCreated",
                headers=("ETag", "Location", "Idempotent-Replay"),
            ),
        ),
        problems=("secret_exists", "conflict", *_NOT_A_FOLDER),
        vault=Vault.CHANGED,
        links=_OF_A_NEW_SECRET,
    ),
    (Kind.SECRET, "PUT"): Operation(
        id="updateSecret",
        tag="Secrets",
        summary="Write a new version",
        text="Replaces all values of a live secret. With `If-Match` the write happens only if the "
        "current version is the one you name; equal values then make no new version and the "
        "answer says `unchanged`. With `If-None-Match: *` it creates, and nothing else; the two "
        "do not go together.",
        body="NewSecret",
        outcomes=(
            Outcome(status=200, text="Written.", schema="SecretUpdated", headers=("ETag",)),
            Outcome(
                status=201,
                text="Created, under `If-None-Match: *`.",
                schema="SecretCreated",
                headers=("ETag", "Location"),
            ),
        ),
        headers=("If-Match", "If-None-Match-Star"),
        problems=(*_GONE, *_NOT_A_FOLDER, "conflict", "version_conflict", "precondition_required"),
        vault=Vault.CHANGED,
        links=(
            Link(status=200, to="readSecret", text="What was written."),
            Link(status=200, to="listVersions", text="The history with the new version."),
            Link(status=200, to="deleteSecret", text="The secret's end."),
        ),
    ),
    (Kind.SECRET, "PATCH"): Operation(
        id="patchSecret",
        tag="Secrets",
        summary="Change some keys",
        text="A merge patch (RFC 7396) of a live secret's values: a key with a string is set, one "
        "with `null` removed, and the others stay. With `If-Match` the write happens only if the "
        "current version is the one you name.",
        body="SecretPatch",
        outcomes=(Outcome(status=200, text="Written.", schema="SecretUpdated", headers=("ETag",)),),
        headers=("If-Match",),
        problems=(*_GONE, "conflict", "version_conflict", "precondition_required"),
        vault=Vault.CHANGED,
        links=(Link(status=200, to="readSecret", text="What was written."),),
    ),
    (Kind.SECRET, "DELETE"): Operation(
        id="deleteSecret",
        tag="Secrets",
        summary="Delete or destroy versions",
        text="Deletes the current version, or those that `versions` names; undelete brings them "
        "back. With `destroy=true` the data of the named versions is gone for good: that needs "
        "`versions` and the header `Audit-Reason`.",
        outcomes=(Outcome(status=204, text="Done."),),
        headers=("If-Match", "Audit-Reason"),
        problems=(*_GONE, "conflict", "version_conflict"),
        vault=Vault.CHANGED,
        links=(
            Link(
                status=204,
                to="readSecret",
                text="What is left of it: a 404 that says so.",
                parameters=(("path", "$request.path.path"),),
            ),
            Link(
                status=204,
                to="listVersions",
                text="The history, which stays.",
                parameters=(("path", "$request.path.path"),),
            ),
        ),
    ),
    (Kind.VERSIONS, "GET"): Operation(
        id="listVersions",
        tag="Versions",
        summary="Read a secret's history",
        text="The versions that are kept, newest first, without values: live, deleted (undelete "
        "brings them back) or destroyed.",
        outcomes=(
            Outcome(
                status=200, text="One page of the history.", schema="History", headers=("Link",)
            ),
        ),
        problems=("secret_not_found",),
        vault=Vault.READ,
    ),
    (Kind.UNDELETE, "POST"): Operation(
        id="undeleteSecret",
        tag="Versions",
        summary="Bring deleted versions back",
        text="Restores the versions named. One that was live already is said to be; one that was "
        "destroyed, or never was, refuses the whole request.",
        body="Undelete",
        outcomes=(Outcome(status=200, text="Restored.", schema="Undeleted"),),
        problems=(
            *("secret_not_found", "version_not_found", "version_destroyed"),
            *("invalid_version", "conflict"),
        ),
        vault=Vault.CHANGED,
    ),
    **ROTATION_OPERATIONS,
    (Kind.HEALTH, "GET"): Operation(
        id="readHealth",
        tag="Service",
        summary="Ask how the service is",
        text="Needs no bearer. A bearer with `secrets:admin` is also told what Vault says of "
        "itself; one that is not accepted is as good as none. `degraded` means that cached "
        "secrets are given and nothing else.",
        outcomes=(
            Outcome(status=200, text="Ok or degraded.", schema="Health"),
            Outcome(status=503, text="Down.", schema="Health", example=(("status", "down"),)),
        ),
    ),
    (Kind.HEALTH, "HEAD"): Operation(
        id="probeHealth",
        tag="Service",
        summary="Ask how the service is, by the status alone",
        text="200 while it is ok or degraded, 503 while it is down.",
        outcomes=(
            Outcome(status=200, text="Ok or degraded."),
            Outcome(status=503, text="Down."),
        ),
    ),
    (Kind.STATUS, "GET"): Operation(
        id="readStatus",
        tag="Service",
        summary="Look inside the service",
        text="How each part of this process does, which build it is, and for how long it runs. "
        "It names no tenant.",
        outcomes=(Outcome(status=200, text="The state of this process.", schema="Status"),),
    ),
}
"""Every operation of the document; `openapi_document` refuses an endpoint without one."""
