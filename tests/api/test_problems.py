"""Problems: every error of the library has its row, and nothing of its text leaves."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from greenlang_secrets import errors
from greenlang_secrets.errors import (
    InvalidSecret,
    SecretDeleted,
    SecretsError,
    VaultRefused,
    VaultUnavailable,
)
from greenlang_secrets_api.answers import Answer
from greenlang_secrets_api.problem_table import PROBLEMS
from greenlang_secrets_api.problems import problem_answer


def body(answer: Answer) -> dict[str, object]:
    document: dict[str, object] = json.loads(answer.body or b"")
    return document


CLASSES = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, SecretsError)
]


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_has_a_row_that_agrees(error: type[SecretsError]) -> None:
    """Its code is in the table, and both say alike whether a retry makes sense."""
    assert error.code in PROBLEMS
    assert PROBLEMS[error.code].retryable == error.retryable


def test_the_answer_is_a_problem_document() -> None:
    """RFC 9457's members, ours, and the facts that the row names."""
    error = errors.VersionConflict(path="a", current_version=8, other="hunter2")

    answer = problem_answer(error, "req-1")

    assert answer.status == 412
    assert answer.headers[0] == (b"content-type", b"application/problem+json")
    assert body(answer) == {
        "type": "https://greenlang.io/problems/version-conflict",
        "title": "The secret has changed",
        "status": 412,
        "code": "version_conflict",
        "detail": "The version you named is not the current one.",
        "request_id": "req-1",
        "retryable": False,
        "current_version": 8,
    }


@pytest.mark.parametrize(
    "error",
    [
        SecretsError("hunter2"),
        VaultRefused("hunter2", status=418, path="hunter2"),
        InvalidSecret("hunter2"),
        KeyError("hunter2"),
        errors.ConfigurationError("hunter2"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_no_text_of_an_error_leaves(error: Exception) -> None:
    """Details are the table's; a fact cannot take the place of a member."""
    answer = problem_answer(error, "r")

    assert b"hunter2" not in (answer.body or b"")
    assert body(answer)["status"] == answer.status


def test_a_destroyed_version_is_told_from_a_deleted_one() -> None:
    """One class in the library, two codes here."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    deleted = problem_answer(
        SecretDeleted(path="a", version=2, destroyed=False, deleted_at=at), "r"
    )
    destroyed = problem_answer(SecretDeleted(path="a", version=2, destroyed=True), "r")

    assert body(deleted)["code"] == "secret_deleted"
    assert body(deleted)["deleted_at"] == "2026-01-01T00:00:00Z"
    assert body(destroyed)["code"] == "secret_destroyed"


def test_a_pointer_becomes_a_fragment() -> None:
    """The library points into a document, the problem into a resource."""
    answer = problem_answer(InvalidSecret(pointer="/data/k"), "r")

    assert body(answer)["errors"] == [{"pointer": "#/data/k", "code": "invalid"}]


@pytest.mark.parametrize(("asked", "said"), [(None, b"5"), (0.1, b"1"), (2.1, b"3")])
def test_503_says_when_to_come_back(asked: float | None, said: bytes) -> None:
    """Whole seconds, one at least; five where nothing is known."""
    answer = problem_answer(VaultUnavailable("sealed", retry_after=asked), "r")

    assert (b"retry-after", said) in answer.headers
    assert body(answer)["reason"] == "sealed"


def test_an_unknown_error_is_internal() -> None:
    """A class without a row, and what is nobody's own."""

    class New(SecretsError):
        code = "brand_new"

    assert body(problem_answer(New(), "r"))["code"] == "internal"
    assert problem_answer(RuntimeError(), "r").status == 500
