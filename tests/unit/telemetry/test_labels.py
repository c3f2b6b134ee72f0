from __future__ import annotations

import pytest

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
from greenlang_secrets.model import SecretType
from greenlang_secrets.telemetry import Result, result_of, type_label
from support.label_values import RESULTS, SECRET_TYPES


def test_results_are_a_closed_set():
    """The `result` label has these ten values; alerts are written for them."""
    assert {result.value for result in Result} == RESULTS


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (SecretType.DATABASE, "database"),
        (SecretType.CACHE, "cache"),
        (SecretType.API_KEY, "api_key"),
        (SecretType.CERTIFICATE, "certificate"),
        (SecretType.ENCRYPTION_KEY, "encryption_key"),
        (SecretType.SERVICE_TOKEN, "service_token"),
        (SecretType.OAUTH_CLIENT, "generic"),
        (SecretType.SSH_KEY, "generic"),
        (SecretType.SIGNING_KEY, "generic"),
        (SecretType.GENERIC, "generic"),
    ],
)
def test_rare_types_count_as_generic(type_, expected):
    """The `secret_type` label has seven values."""
    assert type_label(type_) == expected


def test_every_type_has_a_label_of_the_closed_set():
    """A new type gets no label of its own by accident."""
    assert {type_label(type_) for type_ in SecretType} == SECRET_TYPES


ERRORS = [
    (SecretsError(), "error"),
    (ConfigurationError("x"), "error"),
    (InvalidRequest(), "invalid"),
    (InvalidPath(), "invalid"),
    (ReservedName(), "invalid"),
    (InvalidTenant(), "invalid"),
    (InvalidVersion(), "invalid"),
    (InvalidSecret(), "invalid"),
    (SecretTooLarge(), "invalid"),
    (AccessDenied(), "denied"),
    (NotRotatable(), "invalid"),
    (RotationInProgress(), "conflict"),
    (OverlapInProgress(), "conflict"),
    (RotationFailed("target_unavailable"), "error"),
    (RotationFenced(), "error"),
    (RotationLost(), "error"),
    (AuditUnavailable(), "error"),
    (CatalogueUnavailable(), "error"),
    (SecretUnavailable(), "not_found"),
    (SecretNotFound(), "not_found"),
    (ObjectNotFound("role"), "not_found"),
    (ObjectExists("role"), "conflict"),
    (LeaseExpired(), "conflict"),
    (NotRenewable(), "conflict"),
    (CiphertextRefused(), "invalid"),
    (CiphertextTooOld(), "invalid"),
    (WrappingTokenUsed(), "denied"),
    (WrappingTokenForeign(), "denied"),
    (SecretDeleted(path="a", version=1, destroyed=False), "not_found"),
    (VersionNotFound(), "not_found"),
    (Conflict(), "conflict"),
    (SecretExists(), "conflict"),
    (VersionConflict(), "conflict"),
    (VersionDestroyed(), "conflict"),
    (PathIsFolder(), "conflict"),
    (AncestorIsSecret(), "conflict"),
    (SecretTypeMismatch(declared="generic", expected="api_key"), "conflict"),
    (SecretIncomplete("host"), "conflict"),
    (PreconditionRequired(), "conflict"),
    (VaultError(), "error"),
    (VaultUnavailable("sealed"), "unavailable"),
    (VaultUnavailable("standby"), "unavailable"),
    (VaultUnavailable("network"), "unavailable"),
    (VaultUnavailable("timeout"), "timeout"),
    (VaultUnavailable("overloaded"), "unavailable"),
    (VaultUnavailable("audit"), "unavailable"),
    (VaultUnavailable("tls"), "unavailable"),
    (VaultProtocolError(), "error"),
    (VaultRefused(status=400), "error"),
    (AuthenticationLost(), "unavailable"),
    (OutcomeUnknown(), "error"),
    # Of several reads, each of which has been counted as what it was.
    (NeedsUnmet({}, declared=1), "error"),
    (NeedsUnavailable({}, declared=1), "error"),
]


@pytest.mark.parametrize(
    ("error", "expected"), ERRORS, ids=[f"{type(error).__name__}-{error}" for error, _ in ERRORS]
)
def test_every_failure_has_its_result(error, expected):
    """A failure counts as the caller's or as ours, by its class."""
    assert result_of(error) == expected


def test_table_of_failures_is_complete():
    """A new error class must be given a row in the table above."""

    def below(cls: type[SecretsError]) -> set[type[SecretsError]]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    ours = {
        cls for cls in below(SecretsError) if cls.__module__.startswith("greenlang_secrets.errors.")
    }
    assert {type(error) for error, _ in ERRORS} == ours
