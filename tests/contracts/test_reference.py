"""The reference pages and the code agree, both ways: nothing is missing, nothing invented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

import pytest

import greenlang_secrets as gs
import greenlang_secrets_api as api
from contracts import inventory, inventory_values
from contracts.markdown import ROOT, rows, section
from greenlang_secrets_api.openapi import REQUEST_HEADERS

Row = tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """One table: where it stands, which of its columns are compared, and with what."""

    page: str
    heading: str
    columns: tuple[int, ...]
    expected: Callable[[], Iterable[Row]]

    def __str__(self) -> str:
        return f"{self.page} {self.heading}"

    @property
    def text(self) -> str:
        """The page."""
        return (ROOT / "docs" / "reference" / f"{self.page}.md").read_text("utf-8")

    def shown(self, text: str) -> list[Row]:
        """Return the compared cells of each row."""
        table = rows(section(text, self.heading))
        return [tuple(row[column] for column in self.columns) for row in table]

    def differences(self, text: str) -> list[str]:
        """Return what the page and the code disagree on, one line each."""
        shown, expected = Counter(self.shown(text)), set(self.expected())
        return [
            *(f"not in the page: {row}" for row in sorted(expected - set(shown))),
            *(f"not in the code: {row}" for row in sorted(set(shown) - expected)),
            *(f"twice in the page: {row}" for row, times in shown.items() if times > 1),
        ]


CHECKS = [
    Check("configuration", "Vault's variables", (0,), inventory.vault_variables),
    Check("configuration", "Variables of the library", (0,), inventory.library_variables),
    Check("configuration", "Variables of the service", (0,), inventory.service_variables),
    Check("configuration", "Variables of the audit log", (0,), inventory.audit_variables),
    Check("configuration", "Variables of invalidation", (0,), inventory.invalidation_variables),
    Check("configuration", "Variables of rotation", (0,), inventory.rotation_variables),
    Check("configuration", "Variables of the ESO watch", (0,), inventory.eso_variables),
    Check("configuration", "Variables of the catalogue", (0,), inventory.catalogue_variables),
    Check("catalogue", "Tables", (0, 1, 2), inventory.catalogue_tables),
    Check("catalogue", "Revisions", (0,), inventory.catalogue_revisions),
    Check("catalogue", "Obstacles", (0,), inventory.catalogue_obstacles),
    Check("configuration", "Environments", (0, 1, 2, 3), inventory.environments),
    Check("errors", "Classes", (0, 1, 2, 3), inventory.error_classes),
    Check("errors", "Reasons of VaultUnavailable", (0,), inventory.unavailable_reasons),
    Check("permissions", "Permissions", (0,), inventory.permissions),
    Check("permissions", "Actions", (0, 1), inventory.actions),
    Check("metrics", "Metrics", (0, 1, 2), inventory.metrics),
    Check("metrics", "Label values", (0, 1), inventory.label_values),
    Check("metrics", "External secrets", (0, 1, 2), inventory.eso_metrics),
    Check("metrics", "Reasons of a watch", (0,), inventory.eso_reasons),
    Check("metrics", "Metrics of the service", (0, 1, 2), inventory.service_metrics),
    Check("metrics", "Label values of the service", (0, 1), inventory.service_label_values),
    Check("metrics", "Beside them", (0,), inventory.process_metrics),
    Check("paths", "Limits", (0, 1), inventory.path_limits),
    Check("paths", "Reserved words", (0, 1), inventory.reserved),
    Check("paths", "Scopes", (0, 1), inventory.scopes),
    Check("python-api", "Names", (0,), inventory.public_names),
    Check("python-api", "SecretsView", (0,), inventory.view_methods),
    Check("python-api", "SecretsService", (0,), inventory.service_methods),
    Check("python-api", "Integrations", (0,), inventory_values.integration_names),
    Check("python-api", "The service as a library", (0,), inventory_values.service_names),
    Check("rotation", "Settings", (0, 1), inventory_values.rotation_settings),
    Check("rotation", "States", (0,), inventory_values.rotation_states),
    Check("rotation", "Why a step fails", (0,), inventory_values.rotation_reasons),
    Check("rest", "Endpoints", (0, 1, 2, 3), inventory.endpoints),
    Check("rest", "Query parameters", (0, 1, 2), inventory.parameters),
    Check("rest", "Outside the prefix", (0,), inventory.routes),
    Check("rest", "Headers of answers", (0,), inventory_values.answer_headers),
    Check("rest", "Problems", (0, 1, 2, 3), inventory.problems),
    Check("rest", "Limits", (0, 1), inventory.request_limits),
    Check("rest", "Rate limits", (0, 2), inventory.rate_limits),
    Check("testing", "Fixtures", (0, 1), inventory.fixtures),
    Check("testing", "Names", (0,), inventory.testing_names),
    Check("testing", "Variables", (0,), inventory.testing_variables),
    Check("audit", "A record", (0,), inventory.record_members),
    Check("audit", "Values", (0, 1), inventory_values.audit_values),
    Check("audit", "What verification finds", (0,), inventory.audit_flaws),
    Check("audit", "What the log says of itself", (0,), inventory.audit_notices),
    Check("audit", "In the service's own log", (0,), inventory.audit_log_lines),
    Check("cli", "Commands", (0,), inventory.commands),
    Check("cli", "Options and arguments", (0, 1), inventory.command_parameters),
    Check("cli", "Exit codes", (0, 1), inventory.exit_codes),
    Check("cli", "What doctor finds", (0,), inventory.doctor_causes),
    Check("cli", "The ready file", (0,), inventory.ready_file_members),
]

of_each_table = pytest.mark.parametrize("check", CHECKS, ids=str)


@of_each_table
def test_a_table_lists_what_there_is(check: Check) -> None:
    """Each table has a row for everything the code offers, and no other row."""
    assert check.differences(check.text) == []


@of_each_table
def test_a_missing_row_is_found(check: Check) -> None:
    """The control: without its first row, a table no longer agrees."""
    dropped = check.shown(check.text)[0]

    found = check.differences(_without_first_row(check.text, check.heading))

    assert found == [f"not in the page: {dropped}"]


@of_each_table
def test_a_superfluous_row_is_found(check: Check) -> None:
    """The control: with an invented row, a table no longer agrees."""
    width = max(check.columns) + 1
    invented = "| " + " | ".join(["invented"] * width) + " |"

    found = check.differences(_with_row(check.text, check.heading, invented))

    assert found == [f"not in the code: {('invented',) * len(check.columns)}"]


@of_each_table
def test_a_row_that_is_there_twice_is_found(check: Check) -> None:
    """The control: a copied row is told, although it says nothing wrong."""
    lines = check.text.splitlines()
    line = lines[_first_row(lines, check.heading)]

    found = check.differences(_with_row(check.text, check.heading, line))

    assert found == [f"twice in the page: {check.shown(check.text)[0]}"]


def _first_row(lines: list[str], heading: str) -> int:
    begin = lines.index(f"## {heading}")
    table = next(n for n in range(begin, len(lines)) if lines[n].startswith("|"))
    return table + 2  # after the head and the line under it


def _without_first_row(text: str, heading: str) -> str:
    lines = text.splitlines()
    del lines[_first_row(lines, heading)]
    return "\n".join(lines)


def _with_row(text: str, heading: str, row: str) -> str:
    lines = text.splitlines()
    lines.insert(_first_row(lines, heading), row)
    return "\n".join(lines)


def test_every_variable_of_the_source_is_read_and_the_other_way_round() -> None:
    """What the code is seen to read is what its source names, so no table rests on a guess."""
    assert inventory.variables_read() == inventory.variables_in_source()


def headers_of_requests(text: str) -> set[str]:
    """Return the headers that the page of REST has for requests, without their examples."""
    return {row[0].partition(" ")[0].rstrip(":") for row in rows(section(text, "Preconditions"))}


def test_headers_of_requests_are_those_of_the_document() -> None:
    """The page has each header that a request may carry, beside `Accept`, and no other."""
    text = (ROOT / "docs/reference/rest.md").read_text("utf-8")
    described = {str(header["name"]) for header in REQUEST_HEADERS.values()}

    assert headers_of_requests(text) == described | {"Accept"}
    assert headers_of_requests(text.replace("| `If-Match`", "| `If-Fly`")) - described == {
        "Accept",
        "If-Fly",
    }


SERVICE = {
    "GREENLANG_SECRETS_JWT_ISSUER": "i",
    "GREENLANG_SECRETS_JWT_AUDIENCE": "a",
    "GREENLANG_SECRETS_JWT_JWKS_URL": "https://issuer.example/jwks",
}
BASE = {"VAULT_TOKEN": "t", "VAULT_ADDR": "http://127.0.0.1:8200"}


def test_defaults_are_those_of_the_code() -> None:
    """The library's table of variables shows each default as the configuration has it."""
    text = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    config = gs.SecretsServiceConfig.from_env(environ=BASE)

    for variable, default, attribute, *_ in rows(section(text, "Variables of the library")):
        assert _spelled(attrgetter(attribute)(config)) == default, variable


def test_numbers_arrive_where_the_table_says() -> None:
    """Setting a variable that takes a number changes the attribute named beside it."""
    text = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    table = rows(section(text, "Variables of the library"))
    numbers = [row for row in table if row[0].endswith(("_SECONDS", "_ENTRIES", "_BYTES"))]

    for variable, _, attribute, *_ in numbers:
        config = gs.SecretsServiceConfig.from_env(environ={**BASE, variable: "7"})
        assert attrgetter(attribute)(config) == 7, variable
    assert len(numbers) == 9


def test_the_limits_of_the_service_are_those_of_the_code() -> None:
    """Variables, defaults and attributes of the limits, and what each variable changes."""
    text = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    shown = {
        (variable, default, attribute)
        for variable, default, attribute, *_ in rows(section(text, "Variables of the service"))
        if attribute.startswith("rate_limits.")
    }

    assert shown == inventory.rate_limit_defaults()
    for variable, _, attribute in shown:
        environ = {**SERVICE, variable: "7/h"}
        found = attrgetter(attribute)(api.ApiConfig.from_env(environ=environ))
        assert (found.quota, found.window) == (7, 3600), variable


def _spelled(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)
