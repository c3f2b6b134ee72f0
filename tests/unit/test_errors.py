from __future__ import annotations

import inspect
import pickle
import re
import traceback
from collections import Counter
from datetime import UTC, datetime
from typing import get_args

import pytest

from greenlang_secrets import errors
from greenlang_secrets.errors import (
    AccessDenied,
    AncestorIsSecret,
    AuditUnavailable,
    AuthenticationLost,
    CatalogueUnavailable,
    CiphertextRefused,
    CiphertextTooOld,
    ConfigurationError,
    Conflict,
    InvalidPath,
    InvalidRequest,
    InvalidSecret,
    InvalidTenant,
    InvalidVersion,
    LeaseExpired,
    NeedsUnavailable,
    NeedsUnmet,
    NotRenewable,
    NotRotatable,
    ObjectExists,
    ObjectNotFound,
    OutcomeUnknown,
    OverlapInProgress,
    PathIsFolder,
    PreconditionRequired,
    ReservedName,
    RotationFailed,
    RotationFailure,
    RotationFenced,
    RotationInProgress,
    RotationLost,
    SecretDeleted,
    SecretExists,
    SecretIncomplete,
    SecretNotFound,
    SecretsError,
    SecretTooLarge,
    SecretTypeMismatch,
    SecretUnavailable,
    UnavailableReason,
    VaultError,
    VaultProtocolError,
    VaultRefused,
    VaultUnavailable,
    VersionConflict,
    VersionDestroyed,
    VersionNotFound,
    WrappingTokenForeign,
    WrappingTokenUsed,
)

CODES: dict[type[SecretsError], tuple[str, bool]] = {
    SecretsError: ("internal", False),
    ConfigurationError: ("configuration", False),
    InvalidRequest: ("invalid_request", False),
    InvalidPath: ("invalid_path", False),
    ReservedName: ("reserved_name", False),
    InvalidTenant: ("invalid_tenant", False),
    InvalidVersion: ("invalid_version", False),
    InvalidSecret: ("invalid_body", False),
    SecretTooLarge: ("too_large", False),
    AccessDenied: ("permission_denied", False),
    SecretUnavailable: ("secret_not_found", False),
    SecretNotFound: ("secret_not_found", False),
    SecretDeleted: ("secret_deleted", False),
    VersionNotFound: ("version_not_found", False),
    Conflict: ("conflict", False),
    SecretExists: ("secret_exists", False),
    VersionConflict: ("version_conflict", False),
    VersionDestroyed: ("version_destroyed", False),
    PathIsFolder: ("path_is_folder", False),
    AncestorIsSecret: ("ancestor_is_secret", False),
    SecretTypeMismatch: ("secret_type_mismatch", False),
    SecretIncomplete: ("secret_incomplete", False),
    ObjectNotFound: ("object_not_found", False),
    ObjectExists: ("object_exists", False),
    LeaseExpired: ("lease_expired", False),
    NotRenewable: ("not_renewable", False),
    CiphertextRefused: ("ciphertext_refused", False),
    CiphertextTooOld: ("ciphertext_too_old", False),
    WrappingTokenUsed: ("wrapping_token_used", False),
    WrappingTokenForeign: ("wrapping_token_foreign", False),
    PreconditionRequired: ("precondition_required", False),
    NeedsUnmet: ("needs_unmet", False),
    NeedsUnavailable: ("needs_unavailable", True),
    NotRotatable: ("not_rotatable", False),
    RotationInProgress: ("rotation_in_progress", False),
    OverlapInProgress: ("overlap_in_progress", False),
    RotationFailed: ("rotation_failed", True),
    RotationFenced: ("rotation_fenced", False),
    RotationLost: ("rotation_lost", False),
    AuditUnavailable: ("audit_unavailable", True),
    CatalogueUnavailable: ("catalogue_unavailable", True),
    VaultError: ("vault", False),
    VaultUnavailable: ("vault_unavailable", True),
    VaultProtocolError: ("vault_protocol", False),
    VaultRefused: ("vault_refused", False),
    AuthenticationLost: ("authentication_lost", True),
    OutcomeUnknown: ("outcome_unknown", False),
}

REASONS = ("sealed", "standby", "network", "timeout", "overloaded", "audit", "tls")

DELETED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

SAMPLES: list[SecretsError] = [
    SecretsError(),
    ConfigurationError("VAULT_ADDR is not set."),
    InvalidRequest("A page has 1 to 100 entries."),
    InvalidPath(),
    ReservedName(),
    InvalidTenant(),
    InvalidVersion(),
    InvalidSecret(pointer="/data/password"),
    SecretTooLarge(),
    AccessDenied(path="a/b"),
    SecretUnavailable(path="a/b"),
    SecretNotFound(path="a/b"),
    SecretDeleted(path="a/b", version=3, destroyed=False, deleted_at=DELETED_AT),
    SecretDeleted(path="a/b", version=3, destroyed=True, deleted_at=DELETED_AT),
    VersionNotFound(path="a/b", version=9),
    Conflict(),
    SecretExists(path="a/b"),
    VersionConflict(path="a/b", current_version=4),
    VersionDestroyed(path="a/b"),
    PathIsFolder(path="a/b"),
    AncestorIsSecret(path="a/b"),
    SecretTypeMismatch(declared="generic", expected="api_key", path="a/b"),
    SecretIncomplete("host", path="a/b"),
    SecretIncomplete("port", wanted="a port, 1 to 65535"),
    PreconditionRequired(path="a/b"),
    VaultError(),
    *(VaultUnavailable(reason, path="a/b", retry_after=2.0) for reason in REASONS),
    VaultProtocolError(),
    VaultRefused(status=400, path="a/b"),
    AuthenticationLost(),
    ObjectNotFound("role", path="database/roles/app"),
    ObjectExists("key"),
    LeaseExpired(),
    NotRenewable(),
    CiphertextRefused(),
    CiphertextTooOld(),
    WrappingTokenUsed(),
    WrappingTokenForeign(),
    NotRotatable(path="a/b"),
    RotationInProgress(path="a/b", rotation_id="6f1d2a4c8b0e4f7796a3c5d1e2b40918"),
    OverlapInProgress(path="a/b", until="2026-03-01T12:00:00Z"),
    *(RotationFailed(reason, path="a/b") for reason in get_args(RotationFailure)),
    RotationFenced(path="a/b"),
    RotationLost(path="a/b"),
    AuditUnavailable(),
    CatalogueUnavailable(),
    OutcomeUnknown(path="a/b"),
    NeedsUnmet({"one": SecretNotFound(path="a/b"), "two": AccessDenied(path="c")}, declared=3),
    NeedsUnavailable({"one": VaultUnavailable("sealed", path="a/b")}, declared=1),
]


def described(error: SecretsError) -> str:
    return f"{type(error).__name__}: {error}"


def classes_below(root: type[SecretsError]) -> list[type[SecretsError]]:
    """The library's own error classes, root first, each once."""
    found = [root]
    for child in root.__subclasses__():
        if child.__module__.startswith(errors.__name__ + "."):
            found += [known for known in classes_below(child) if known not in found]
    return found


def drawn_tree() -> dict[str, str]:
    """The tree in the module's docstring, as child: parent."""
    parents: dict[str, str] = {}
    way: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.fullmatch(r"((?:│   |    )*)([├└]── )?([A-Z]\w+)(?:  +.*)?", line)
        if drawn is None or (drawn[2] is None and way):
            continue
        depth = len(drawn[1]) // 4 + (drawn[2] is not None)
        way = [*way[:depth], drawn[3]]
        if depth:
            parents[drawn[3]] = way[depth - 1]
    return parents


# ---------------------------------------------------------------- the tree


def test_drawn_tree_is_the_class_tree():
    """The tree at the top of the module shows every class under its real parent."""
    real = {
        child.__name__: next(base for base in child.__bases__ if issubclass(base, SecretsError))
        for child in classes_below(SecretsError)[1:]
    }

    assert drawn_tree() == {name: parent.__name__ for name, parent in real.items()}


def test_every_class_is_exported():
    """What may be raised may be caught: each class is in `__all__`."""
    names = {cls.__name__ for cls in classes_below(SecretsError)}

    assert set(errors.__all__) == names | {
        "DenialReason",
        "ObjectKind",
        "RotationFailure",
        "UnavailableReason",
    }


def test_table_of_codes_is_complete():
    """A new class must be given a row in the table of codes above."""
    assert set(CODES) == set(classes_below(SecretsError))
    assert {type(sample) for sample in SAMPLES} == set(CODES)


@pytest.mark.parametrize(
    ("cls", "code", "retryable"),
    [(cls, *expected) for cls, expected in CODES.items()],
    ids=[cls.__name__ for cls in CODES],
)
def test_class_has_its_stable_code_and_flag(cls, code, retryable):
    """Dashboards and clients rely on the code and on whether a retry makes sense."""
    assert cls.code == code
    assert cls.retryable is retryable


def test_codes_are_told_apart():
    """One code stands for one meaning; only a base and its plain case share theirs."""
    shared = {code for code, count in Counter(cls.code for cls in CODES).items() if count > 1}

    assert shared == {"secret_not_found"}


@pytest.mark.parametrize("cls", CODES, ids=lambda cls: cls.__name__)
def test_code_is_fit_for_labels(cls):
    """A code is lower case with underscores, so that it may be a metric label or a URL part."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.code)


@pytest.mark.parametrize("cls", CODES, ids=lambda cls: cls.__name__)
def test_class_says_what_the_caller_can_do(cls):
    """Every class has a docstring of its own."""
    assert cls.__doc__
    assert cls.__doc__ != inspect.getdoc(cls.__mro__[1])


@pytest.mark.parametrize(
    "cls", [InvalidPath, ReservedName, InvalidTenant, InvalidVersion, InvalidSecret, SecretTooLarge]
)
def test_refused_argument_is_also_a_value_error(cls):
    """Code that knows nothing of this library may catch a bad argument as ValueError."""
    assert issubclass(cls, ValueError)


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize("error", SAMPLES, ids=described)
def test_text_has_no_formatting_leftovers(error):
    """What a person reads holds no placeholder, no `None` and no doubled blank."""
    text = str(error)

    assert re.search(r"[{}]|%[sdr(]|\bNone\b|  |\\n|<.*>", text) is None
    assert text[0].isupper()
    assert text.endswith((".", "')"))


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_text_of_its_own(reason):
    """Each way for Vault to be away is explained, and kept for logs and metrics."""
    error = VaultUnavailable(reason)

    assert error.reason == reason
    assert error.facts == {"reason": reason}
    assert len({str(VaultUnavailable(other)) for other in REASONS}) == len(REASONS)


def test_reasons_are_a_closed_set():
    """The reasons are the seven that may be metric labels."""
    assert get_args(UnavailableReason) == REASONS


def test_path_is_named_in_the_text():
    """The caller sees which of its paths it was about."""
    error = SecretNotFound(path="database/postgresql")

    assert str(error) == "There is no such secret. (path 'database/postgresql')"
    assert error.path == "database/postgresql"


def test_error_without_a_path_names_none():
    """Where there is no path, none is made up."""
    error = SecretNotFound()

    assert str(error) == "There is no such secret."
    assert error.path is None


def test_own_text_replaces_the_fixed_one():
    """The raiser may say it more exactly than the class does."""
    assert str(InvalidPath("The path is empty.")) == "The path is empty."


# ---------------------------------------------------------------- facts


def test_facts_drop_what_is_unknown():
    """A fact that is None is left out rather than shown as null."""
    error = VersionConflict(path="a", current_version=4, expected_version=None)

    assert error.facts == {"current_version": 4}


def test_facts_keep_false_and_zero():
    """Only None is unknown: False and 0 are facts."""
    assert SecretsError(live=False, count=0).facts == {"live": False, "count": 0}


def test_deleted_version_says_when_and_how_to_bring_it_back():
    """A soft-deleted version carries its number and time, and names `undelete`."""
    error = SecretDeleted(path="a", version=3, destroyed=False, deleted_at=DELETED_AT)

    assert str(error) == "This version is deleted; undelete brings it back. (path 'a')"
    assert (error.version, error.destroyed) == (3, False)
    assert error.facts == {"version": 3, "deleted_at": "2026-03-01T12:00:00+00:00"}


def test_destroyed_version_promises_no_return():
    """A destroyed version says so and gives no time of deletion."""
    error = SecretDeleted(path="a", version=3, destroyed=True, deleted_at=DELETED_AT)

    assert str(error) == "This version was destroyed for good. (path 'a')"
    assert (error.version, error.destroyed) == (3, True)
    assert error.facts == {"version": 3}


def test_deletion_of_unknown_time_has_no_time():
    """Vault may not say when; then the fact is absent."""
    assert SecretDeleted(path="a", version=3, destroyed=False).facts == {"version": 3}


def test_invalid_secret_points_at_the_place():
    """The pointer (RFC 6901) says which key was refused."""
    assert InvalidSecret(pointer="/data/a~1b").facts == {"pointer": "/data/a~1b"}


def test_refusal_keeps_the_status():
    """A refusal of Vault's keeps the status, which is all that is known of it."""
    error = VaultRefused(status=405)

    assert error.status == 405
    assert error.facts == {"status": 405}


def test_unavailability_keeps_what_the_server_asked_for():
    """A `Retry-After` of Vault's is passed on, in seconds, apart from the facts."""
    error = VaultUnavailable("overloaded", retry_after=1.5)

    assert error.retry_after == 1.5
    assert error.facts == {"reason": "overloaded"}


# ---------------------------------------------------------------- again


def caught(error: SecretsError) -> SecretsError:
    try:
        raise error from OSError("cause")
    except SecretsError as raised:
        return raised


@pytest.mark.parametrize("error", SAMPLES, ids=described)
def test_again_gives_an_equal_error(error):
    """The twin says the same, with the same facts, and is another object."""
    twin = error.again()

    assert twin is not error
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.args == error.args
    assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", SAMPLES, ids=described)
def test_again_leaves_traceback_and_cause_behind(error):
    """A cached error, raised many times, keeps no frame of any of its raises alive."""
    raised = caught(error)

    twin = raised.again()

    assert raised.__traceback__ is not None
    assert twin.__traceback__ is None
    assert twin.__cause__ is None
    assert twin.__context__ is None


def test_raising_a_twin_leaves_the_original_alone():
    """However often twins are raised, the cached error does not grow."""
    cached = SecretNotFound(path="a")

    for _ in range(3):
        caught(cached.again())

    assert cached.__traceback__ is None
    assert "".join(traceback.format_exception(cached)) == (
        "greenlang_secrets.errors.secrets.SecretNotFound: There is no such secret. (path 'a')\n"
    )


def test_note_on_a_twin_stays_with_it():
    """A note that one caller adds is not seen by the others, even if the original has one."""
    cached = SecretNotFound(path="a")
    cached.add_note("seen while loading")

    cached.again().add_note("seen by one caller")

    assert cached.__notes__ == ["seen while loading"]


@pytest.mark.parametrize(
    "error",
    [
        errors.VaultUnavailable("sealed", path="a", retry_after=1.0),
        errors.SecretDeleted(path="a", version=2, destroyed=True),
        errors.VaultRefused(status=400),
        errors.InvalidSecret(pointer="/data/k"),
        errors.SecretNotFound(path="a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_survives_a_process_boundary(error):
    """An error pickled by a pool arrives as it was."""
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), copy.args, copy.facts, copy.path) == (
        type(error),
        error.args,
        error.facts,
        error.path,
    )
