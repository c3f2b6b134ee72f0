"""What the code offers, asked of the code itself: settings, codes, metrics, names, endpoints.

Each function returns the rows that a reference table must have, cells as plain text.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args

import click
from prometheus_client.parser import text_string_to_metric_families

import greenlang_secrets as gs
import greenlang_secrets_api as api
from contracts.markdown import ROOT
from greenlang_secrets import access, config, content, errors, listing, paths, telemetry, testing
from greenlang_secrets.audit import AuditConfig, log_file, records
from greenlang_secrets.audit.findings import Flaw
from greenlang_secrets.auth_config import AuthMethodName
from greenlang_secrets.catalogue import CatalogueConfig, tables
from greenlang_secrets.catalogue.gate import Obstacle
from greenlang_secrets.catalogue.grants import RIGHTS
from greenlang_secrets.catalogue.schema import REVISIONS
from greenlang_secrets.cli.group import EXIT_CODES, cli
from greenlang_secrets.development.ready import Running
from greenlang_secrets.doctor import Cause
from greenlang_secrets.invalidation import InvalidationConfig
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.observing import Step
from greenlang_secrets.rotation_model import RotationKind, RotationOutcome, RotationState
from greenlang_secrets.telemetry.labels import RETRY_REASONS, CircuitState, Renewal
from greenlang_secrets.testing import plugin
from greenlang_secrets_api import auth, health_routes, overload, rotation_routes, secrets_routes
from greenlang_secrets_api.endpoints import Endpoint, Public
from greenlang_secrets_api.eso_config import EsoConfig
from greenlang_secrets_api.eso_watch import EsoWatch
from greenlang_secrets_api.metrics import Metrics
from greenlang_secrets_api.problem_table import PROBLEMS
from greenlang_secrets_api.refusal_metrics import LimitScope
from greenlang_secrets_api.targets import Target, methods, render
from support.kubernetes_api import kubernetes_api

PROGRAM = "greenlang-secrets"

Rows = set[tuple[str, ...]]


class RecordingEnviron(dict[str, str]):
    """An environment that remembers which variables were looked at."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Return a variable, and remember its name."""
        self.read.add(key)
        return super().get(key, default)


def variables_read() -> Rows:
    """The variables that the two `from_env` look at, `BAO_*` as their `VAULT_*` twins."""
    jwt = {"JWT_ISSUER": "i", "JWT_AUDIENCE": "a", "JWT_JWKS_URL": "https://issuer.example/jwks"}
    needed = {
        "AUTH_ROLE": "r",
        "AUTH_USERNAME": "u",
        "AUTH_JWT_FILE": __file__,
        "AUTH_PASSWORD_FILE": __file__,
    }
    vault = {
        "VAULT_TOKEN": "t",
        "VAULT_ADDR": "https://vault:8200",
        "VAULT_CLIENT_CERT": __file__,
        "VAULT_CLIENT_KEY": __file__,
    }
    library = [
        RecordingEnviron(
            {
                **vault,
                **{config.PREFIX + name: value for name, value in needed.items()},
                config.PREFIX + "AUTH_METHOD": method,
            }
        )
        for method in get_args(AuthMethodName)
    ]
    service = RecordingEnviron({config.PREFIX + name: value for name, value in jwt.items()})
    for environ in library:
        gs.SecretsServiceConfig.from_env(environ=environ)
    api.ApiConfig.from_env(environ=service)
    environments = [*library, service]
    names = {name for environ in environments for name in environ.read}
    names |= {name for (name,) in audit_variables() | catalogue_variables()}
    names |= {name for (name,) in invalidation_variables() | rotation_variables()}
    names |= {name for (name,) in eso_variables()}
    return {
        (name.replace("BAO_", "VAULT_", 1) if name.startswith("BAO_") else name,) for name in names
    }


def vault_variables() -> Rows:
    """Vault's own variables that are read."""
    return {row for row in variables_read() if row[0].startswith("VAULT_")}


def service_variables() -> Rows:
    """Our variables that only the service reads."""
    library, service = (
        ROOT / "src" / name for name in ("greenlang_secrets", "greenlang_secrets_api")
    )
    return variables_in_source([service]) - variables_in_source([library]) - eso_variables()


def audit_variables() -> Rows:
    """Our variables that say where the audit log is."""
    environ = RecordingEnviron({config.PREFIX + "STATE_DIR": "/state"})
    AuditConfig.from_env(environ=environ)
    return {(name,) for name in environ.read}


def invalidation_variables() -> Rows:
    """Our variables that say where changes are heard of."""
    environ = RecordingEnviron({})
    InvalidationConfig.from_env(environ=environ)
    return {(name,) for name in environ.read}


def rotation_variables() -> Rows:
    """Our variables of rotation."""
    environ = RecordingEnviron({})
    RotationConfig.from_env(environ=environ)
    return {(name,) for name in environ.read} - {(config.PREFIX + "ENVIRONMENT",)}


def eso_variables() -> Rows:
    """Our variables of the watch of ExternalSecrets, and Kubernetes' own that a pod has."""
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    files = {config.PREFIX + name: __file__ for name in ("ESO_TOKEN_FILE", "ESO_CA_FILE")}
    environ = RecordingEnviron({**pod, **files, config.PREFIX + "ESO_WATCH": "true"})
    EsoConfig.from_env(environ=environ)
    return {(name,) for name in environ.read}


def record_members() -> Rows:
    """The members of an audit record."""
    return {(name,) for name in (*records._CHAIN_MEMBERS, *records._CHECKS)}


def audit_flaws() -> Rows:
    """What the verification of an audit log can find."""
    return {(flaw.value,) for flaw in Flaw}


def audit_notices() -> Rows:
    """What the audit log can say of itself."""
    names = [name for name in log_file.__all__ if name.isupper()]
    return {(getattr(log_file, name),) for name in names}


def audit_log_lines() -> Rows:
    """What the audit log says in the log of the process."""
    return {
        (node.args[0].value,)
        for file in (ROOT / "src" / "greenlang_secrets" / "audit").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("_log.")
        and isinstance(node.args[0], ast.Constant)
    }


def library_variables() -> Rows:
    """Our variables that the library reads."""
    elsewhere = vault_variables() | service_variables() | audit_variables() | catalogue_variables()
    elsewhere |= eso_variables()
    return variables_read() - elsewhere - invalidation_variables() - rotation_variables()


def catalogue_variables() -> Rows:
    """Our variables that say where the catalogue is."""
    environ = RecordingEnviron({config.PREFIX + "STATE_DIR": "/state"})
    CatalogueConfig.from_env(environ=environ)
    shared = audit_variables() | {(config.PREFIX + "ENVIRONMENT",)}
    return {(name,) for name in environ.read} - shared


def catalogue_tables() -> Rows:
    """Tables, what the service may do with each, and whether its rows are guarded."""
    guarded = {table.name for table in tables.TENANT_TABLES}
    return {(name, rights, "yes" if name in guarded else "no") for name, rights in RIGHTS.items()}


def catalogue_revisions() -> Rows:
    """The schema's revisions."""
    return {(revision,) for revision in REVISIONS}


def catalogue_obstacles() -> Rows:
    """What may keep the catalogue from being used."""
    return {(obstacle,) for obstacle in get_args(Obstacle)}


def variables_in_source(folders: Iterable[Path] | None = None) -> Rows:
    """The variables that a call of a `Settings` method names anywhere in the source."""
    found: Rows = set()
    for folder in folders or [ROOT / "src"]:
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    found |= _setting(node)
    return found


def _setting(call: ast.Call) -> Rows:
    function = ast.unparse(call.func)
    names = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    if not names or not isinstance(names[0], str):
        return set()
    match function.partition("."):
        case "settings" | "self", _, "text" | "number" | "flag" | "file":
            return {(config.PREFIX + names[0],)}
        case "settings", _, "vault" | "vault_file":
            return {("VAULT_" + names[0],)}
        case "settings", _, "kubernetes":
            return {("KUBERNETES_" + names[0],)}
        case "_required", _, _:
            return {(config.PREFIX + names[0],)}
        case _:
            return set()


def environments() -> Rows:
    """The numbers of each environment, in words."""
    spelled = {
        "vault_replicas": str,
        "eso_refresh": lambda value: f"{value:g} s",
        "rotation_interval": _hours,
        "lease_ttl": _hours,
        "audit_retention": _hours,
    }
    return {
        (name, *(say(getattr(place.defaults, name)) for place in config.Environment))
        for name, say in spelled.items()
    }


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:g} d" if hours % 24 == 0 and hours > 24 else f"{hours:g} h"


def error_classes() -> Rows:
    """Class, code, whether a retry helps, and the HTTP status of that code."""
    classes = [getattr(errors, name) for name in errors.__all__]
    return {
        (
            cls.__name__,
            cls.code,
            "yes" if cls.retryable else "no",
            str(PROBLEMS[cls.code].status),
        )
        for cls in classes
        if inspect.isclass(cls)
    }


def unavailable_reasons() -> Rows:
    """The reasons of `VaultUnavailable`."""
    return {(reason,) for reason in errors.UnavailableReason.__args__}


def permissions() -> Rows:
    """The permissions that can be granted."""
    return {(str(permission),) for permission in access.Permission}


def actions() -> Rows:
    """Each action, and the permissions of which one is enough."""
    return {
        (str(action), " or ".join(str(each) for each in access.Permission if _allows(each, action)))
        for action in access.Action
    }


def _allows(permission: access.Permission, action: access.Action) -> bool:
    principal = access.Principal(subject="s", permissions=frozenset({permission}))
    return access.decide(access.TenantContext(principal=principal, scope=gs.PLATFORM), action)


@cache
def scrape() -> str:
    """What ``/metrics`` answers in Prometheus' text format, of a service that has everything."""
    metrics = Metrics()

    async def once() -> bytes:
        metrics.http.ended("GET", "/api/v1/secrets", 200, 0.001)  # a histogram has no seed
        metrics.rotation.told(PROMOTED)
        tally = _tally_of_everything()
        try:
            return (await metrics.render(""))[0]
        finally:
            tally.close()
            await metrics.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(once()).decode()


def _tally_of_everything() -> telemetry.Tally:
    tally = telemetry.Tally()
    life = telemetry.Life(secret_type=gs.SecretType.SERVICE_TOKEN, left=1.0, granted=2.0)
    tally.sources.token = lambda: life
    tally.sources.circuits = lambda: {"host:8200": False}
    tally.sources.nodes = lambda: {"host:8200": telemetry.NodeState.ACTIVE}
    tally.sources.canary = lambda: True
    with tally.counting(access.Action.READ):
        telemetry.asked_vault()
    return tally


def _samples() -> list[tuple[str, dict[str, str]]]:
    samples = []
    for line in scrape().splitlines():
        if line.startswith("#"):
            continue
        name, _, rest = line.partition("{")
        labels = {}
        if rest:
            pairs = rest.rpartition("}")[0].split(",")
            labels = {
                pair.partition("=")[0]: pair.partition("=")[2].strip('"') for pair in pairs if pair
            }
        samples.append((name.split(" ")[0], labels))
    return samples


PROMOTED = Step(
    scope=gs.PLATFORM,
    path="a",
    kind=RotationKind.POSTGRESQL,
    secret_type=gs.SecretType.DATABASE,
    rotation_id="",
    fence=1,
    step="promote",
    when="after",
    state=RotationState.PROMOTED,
    started_at=datetime.now(UTC),
)

_OF_SERVICE = (
    *("gl_http_", "gl_event_loop_", "gl_secrets_audit_", "gl_secrets_rate_limited"),
    *("gl_secrets_access_denied", "gl_secrets_denied_principals", "gl_secrets_rotation_duration"),
)


def metrics() -> Rows:
    """The library's metrics as scraped: name, type and labels."""
    return {row for row in _metrics() if not row[0].startswith(_OF_SERVICE)}


def service_metrics() -> Rows:
    """The service's own."""
    return _metrics() - metrics()


def service_label_values() -> Rows:
    """The closed sets of their labels, without templates, methods and statuses."""
    values = {
        *(("scope", scope) for scope in get_args(LimitScope)),
        *(("reason", reason) for reason in (*get_args(errors.DenialReason), "token")),
    }
    return values | {("sink", labels["sink"]) for _, labels in _samples() if "sink" in labels}


def _metrics() -> Rows:
    types = dict(
        line.split(" ")[2:4] for line in scrape().splitlines() if line.startswith("# TYPE gl_")
    )
    labels: dict[str, set[str]] = {}
    for name, found in _samples():
        # Of a histogram each series has a suffix, and its buckets a label of their own.
        family = name if name in types else name.rpartition("_")[0]
        labels.setdefault(family, set()).update(found.keys() - {"le"})
    return {(name, kind, ", ".join(sorted(labels[name])) or "none") for name, kind in types.items()}


@cache
def eso_scrape() -> str:
    """What ``/metrics`` answers while ExternalSecrets are watched, of a cluster that has one."""

    async def once() -> bytes:
        async with kubernetes_api() as kubernetes:
            kubernetes.succeed("shop", "database", "2026-11-26T01:00:00Z")
            metrics = await asyncio.to_thread(Metrics)
            try:
                async with EsoWatch.open(
                    EsoConfig(enabled=True, api_url=kubernetes.url), metrics
                ) as watch:
                    async with asyncio.timeout(10):
                        while watch is None or not watch.connected:
                            await asyncio.sleep(0.01)
                    return (await metrics.render(""))[0]
            finally:
                await metrics.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(once()).decode()


def eso_metrics() -> Rows:
    """The metrics that there are only while ExternalSecrets are watched."""
    found: Rows = set()
    always = {family.name for family in text_string_to_metric_families(scrape())}
    for family in text_string_to_metric_families(eso_scrape()):
        if family.name in always:
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels}
        found.add((name, family.type, ", ".join(sorted(labels)) or "none"))
    return found


def eso_reasons() -> Rows:
    """Each reason that is on such a scrape, whether it was met or not."""
    return {
        (sample.labels["reason"],)
        for family in text_string_to_metric_families(eso_scrape())
        if family.name == "gl_eso_watch_errors"
        for sample in family.samples
    }


def process_metrics() -> Rows:
    """The families beside ours, by their prefix."""
    names = {name for name, _ in _samples() if not name.startswith("gl_")}
    return {
        ("target_info",) if name == "target_info" else (name.partition("_")[0] + "_*",)
        for name in names
    }


def label_values() -> Rows:
    """Each label's closed set of values."""
    seeded = {labels["operation"] for _, labels in _samples() if "operation" in labels}
    return {
        *(("operation", operation) for operation in seeded),
        *(("secret_type", telemetry.type_label(type_)) for type_ in gs.SecretType),
        *(("result", str(result)) for result in telemetry.Result),
        *(("status", str(outcome)) for outcome in RotationOutcome),
        *(("status", str(status)) for status in Renewal),
        *(("reason", reason) for reason in RETRY_REASONS),
        *(("state", str(state)) for state in (*telemetry.NodeState, *CircuitState)),
    }


def path_limits() -> Rows:
    """Bounds of the grammar, and their numbers."""
    return {
        ("segments of a path", str(paths._MAX_SEGMENTS)),
        ("octets of a path", str(paths._MAX_OCTETS)),
        ("characters of a segment", _repeated(paths._SEGMENT)),
        ("characters of a tenant id", _repeated(paths._TENANT)),
    }


def _repeated(pattern: re.Pattern[str]) -> str:
    """How many characters ``[first][rest]{0,N}`` takes."""
    return str(int(re.findall(r"\{0,(\d+)\}", pattern.pattern)[-1]) + 1)


def reserved() -> Rows:
    """Where a word is reserved, and which."""
    return {
        *(("first", word) for word in paths.RESERVED_FIRST),
        *(("last", word) for word in paths.RESERVED_LAST),
    }


def scopes() -> Rows:
    """Where a relative path of each scope lies in the mount."""
    path = gs.SecretPath.parse("api-keys/stripe")
    tenant = gs.Tenant(gs.TenantId("acme"))
    return {
        (name, str(paths.KvPath.of("secret", scope, path).api("data")))
        for name, scope in (("platform", gs.PLATFORM), ("tenant acme", tenant))
    }


def public_names() -> Rows:
    """What ``import greenlang_secrets`` gives."""
    return {(name,) for name in gs.__all__}


def view_methods() -> Rows:
    """The public methods and attributes of `SecretsView` that are not a service's alone."""
    parts = [part for part in gs.SecretsView.__mro__ if part is not object]
    return {(name,) for part in parts for name in vars(part) if not name.startswith("_")}


def service_methods() -> Rows:
    """What `SecretsService` adds."""
    return {(name,) for name in vars(gs.SecretsService) if not name.startswith("_")}


def endpoints() -> Rows:
    """Method, address, actions (of which one is enough) and whether a body is read."""
    return {
        (
            row.method,
            _address(row),
            "none" if isinstance(row.access, Public) else " or ".join(_permissions(row)),
            "JSON" if row.takes_body else "none",
        )
        for row in _endpoints()
    }


def parameters() -> Rows:
    """Method, address and query parameter."""
    return {(row.method, _address(row), name) for row in _endpoints() for name in row.parameters}


def _endpoints() -> tuple[Endpoint, ...]:
    return (*secrets_routes.ENDPOINTS, *rotation_routes.ENDPOINTS, *health_routes.ENDPOINTS)


def _address(row: Endpoint) -> str:
    bare = Target(row.kind)
    with_path = Target(row.kind, "{path}")
    target = bare
    if row.kind in {"secret", "versions", "undelete", "rotate"} or row.method not in methods(bare):
        target = with_path
    return render(target)


def _permissions(row: Endpoint) -> list[str]:
    return [
        str(each)
        for each in access.Permission
        if any(_allows(each, action) for action in row.access or ())
    ]


def routes() -> Rows:
    """The routes outside the prefix."""
    app = api.create_app(
        service_config=gs.SecretsServiceConfig(auth=gs.AuthConfig(token=gs.SecretValue("t"))),
        api_config=api.ApiConfig(
            jwt_issuer="i", jwt_audience="a", jwks_url="https://issuer.example/jwks"
        ),
    )
    return {(route.path,) for route in app.routes}


def problems() -> Rows:
    """Code, status, whether a retry helps, and the facts shown."""
    return {
        (
            code,
            str(row.status),
            "yes" if row.retryable else "no",
            ", ".join(row.facts) or "none",
        )
        for code, row in PROBLEMS.items()
    }


def request_limits() -> Rows:
    """Bounds of a request, and their numbers."""
    config = api.ApiConfig(jwt_issuer="i", jwt_audience="a", jwks_url="https://i.example/j")
    return {
        ("octets of a body", str(config.max_body)),
        ("octets of all header fields", str(config.max_headers)),
        ("seconds for a body to arrive", f"{config.body_timeout:g}"),
        ("seconds for one request after that", f"{overload.REQUEST_DEADLINE:g}"),
        ("requests in work at once", str(overload.MAX_REQUESTS)),
        ("long polls that wait at once", str(overload.MAX_WAITING)),
        ("keys of a secret", str(content.MAX_KEYS)),
        ("entries of a page", str(listing.MAX_PAGE)),
        ("octets of a bearer", str(auth.MAX_TOKEN)),
        ("seconds between iat and exp", f"{auth.MAX_LIFETIME:g}"),
        ("seconds the issuer's clock may be ahead", f"{auth.LEEWAY:g}"),
    }


def fixtures() -> Rows:
    """The fixtures of the pytest plugin, with their scope."""
    markers = {
        name: getattr(value, "_fixture_function_marker", None)
        for name, value in vars(plugin).items()
    }
    return {(name, str(marker.scope)) for name, marker in markers.items() if marker is not None}


def testing_names() -> Rows:
    """What ``greenlang_secrets.testing`` gives."""
    return {(name,) for name in testing.__all__}


def testing_variables() -> Rows:
    """The variables that the plugin reads."""
    constants = {
        node.targets[0].id: node.value.value
        for node in ast.walk(ast.parse(inspect.getsource(plugin)))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    found: Rows = set()
    for node in ast.walk(ast.parse(inspect.getsource(plugin))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
            [name] = node.args
            found.add((name.value if isinstance(name, ast.Constant) else constants[name.id],))
    return found


def commands() -> Rows:
    """Every command of the command line, by its full name."""
    return {(name,) for name, _ in command_tree(cli)}


def command_parameters() -> Rows:
    """Every option and argument, with the command it belongs to; ``--help`` is everywhere."""
    return {
        (name, spelling)
        for name, command in [(PROGRAM, cli), *command_tree(cli)]
        for parameter in command.params
        for spelling in _spellings(parameter)
    }


def _spellings(parameter: click.Parameter) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [parameter.human_readable_name]
    return [*parameter.opts, *parameter.secondary_opts]


def command_tree(group: click.Group, name: str = PROGRAM) -> list[tuple[str, click.Command]]:
    """Return every command below `group`, by its full name."""
    found: list[tuple[str, click.Command]] = []
    for each, command in group.commands.items():
        found.append((f"{name} {each}", command))
        if isinstance(command, click.Group):
            found += command_tree(command, f"{name} {each}")
    return found


def exit_codes() -> Rows:
    """Exit codes and the classes they stand for."""
    return {
        (str(code), ", ".join(kind.__name__ for kind in kinds))
        for code, kinds in EXIT_CODES.items()
    }


def doctor_causes() -> Rows:
    """What ``doctor`` can name."""
    return {(cause.value,) for cause in Cause}


def ready_file_members() -> Rows:
    """What the ready file of ``greenlang-secrets dev`` tells."""
    nothing = Path("nothing")
    running = Running(
        folder=nothing,
        api_url="",
        vault_addr="",
        vault_token=gs.SecretValue(""),
        postgres_url=None,
        valkey_url=None,
        audit_log=nothing,
        openbao_audit_log=nothing,
    )
    return {(member,) for member in json.loads(running.ready_file())}


def rate_limits() -> Rows:
    """The limits by the names that answers use, and their defaults."""
    policies = api.ApiConfig(
        jwt_issuer="i", jwt_audience="a", jwks_url="https://i.example/j"
    ).rate_limits
    return {
        (policy.name, f"{policy.quota} in {policy.window} s")
        for name in policies.__dataclass_fields__
        for policy in [getattr(policies, name)]
    }


def rate_limit_defaults() -> Rows:
    """Each limit's variable, its default as it would be written, and its attribute."""
    policies = api.ApiConfig(
        jwt_issuer="i", jwt_audience="a", jwks_url="https://i.example/j"
    ).rate_limits
    return {
        (
            f"{config.PREFIX}RATE_LIMIT_{name.upper()}",
            str(getattr(policies, name)),
            f"rate_limits.{name}",
        )
        for name in policies.__dataclass_fields__
    }
