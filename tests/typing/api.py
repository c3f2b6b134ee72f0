"""What users type, checked by ``mypy --strict`` and never run.

A wrong call carries ``type: ignore`` with its code: were it to become right, mypy would
report the ignore as unused.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import assert_type

import greenlang_secrets as gs
from greenlang_secrets.rotation.api_key import ApiKeyRotation
from greenlang_secrets.rotation.certificate import CertificateRotation
from greenlang_secrets.rotation.handler import RotationHandler
from greenlang_secrets.rotation.manual import ManualRotation
from greenlang_secrets.rotation.partner_api_key import PartnerApiKeyRotation
from greenlang_secrets.rotation.service_token import ServiceTokenRotation
from greenlang_secrets.rotation.transit_key import TransitKeyRotation

Stop = Callable[[], None]


async def opening(config: gs.SecretsServiceConfig) -> None:
    """A service is opened from a configuration, or from the environment."""
    assert_type(gs.SecretsServiceConfig.from_env(), gs.SecretsServiceConfig)
    opened: AbstractAsyncContextManager[gs.SecretsService] = gs.SecretsService.open()
    async with opened as secrets:
        assert_type(secrets, gs.SecretsService)
    async with gs.SecretsService.open(config) as secrets:
        assert_type(await secrets.health(), gs.Health)
        assert_type(secrets.client, gs.VaultClient)
        assert_type(secrets.cache, gs.SecretCache[gs.Secret])
    async with gs.SecretsService.open("https://vault:8200"):  # type: ignore[arg-type]  # no address
        pass


def configuring() -> None:
    """A configuration is made of typed parts, by name."""
    gs.SecretsServiceConfig(
        environment=gs.Environment.PRODUCTION,
        addresses=("https://vault:8200",),
        auth=gs.AuthConfig(token=gs.SecretValue("t")),
        cache=gs.CacheConfig(fresh_for=10.0),
    )
    gs.AuthConfig(token="t")  # type: ignore[arg-type]  # a bare token would show itself
    gs.AuthConfig(method="kerberos")  # type: ignore[arg-type]  # unknown
    gs.CacheConfig(10.0)  # type: ignore[call-arg]  # by name only


async def reading(secrets: gs.SecretsService) -> None:
    """A read gives a secret, its values guarded until revealed."""
    secret = await secrets.get("database/postgresql")
    assert_type(secret, gs.Secret)
    assert_type(secret["password"], gs.SecretValue)
    assert_type(secret["password"].reveal(), str)
    assert_type(secret.data, gs.SecretMap)
    assert_type(secret.data.reveal(), dict[str, str])
    assert_type(secret.data.get("port"), gs.SecretValue | None)
    assert_type(secret.data.select(["host"]), gs.SecretMap)
    assert_type(secret.version, int)
    assert_type(secret.type, gs.SecretType)
    assert_type(secret.stale, bool)
    assert_type(secret.age, float)
    await secrets.get("a", version=3)
    await secrets.get("a", min_version=3, max_age=5.0)
    await secrets.get("a", fresh=True)

    assert_type(await secrets.get_or_none("a"), gs.Secret | None)
    assert_type(await secrets.explain("a"), gs.Explanation)
    assert_type(await secrets.get_many(["a", "b"]), dict[str, gs.Secret])
    assert_type(await secrets.metadata("a"), gs.SecretMetadata)
    assert_type(await secrets.versions("a"), tuple[gs.SecretVersion, ...])


async def reading_by_type(secrets: gs.SecretsService, view: gs.SecretsView) -> None:
    """A class asked for is the class that comes; without one it is one of seven."""
    assert_type(await secrets.get_typed("a"), gs.TypedSecret)
    assert_type(await view.get_typed("a", fresh=True, version=3), gs.TypedSecret)
    assert_type(await secrets.get_typed("a", gs.ApiKey), gs.ApiKey)
    assert_type(await secrets.get_typed("a", gs.TlsCertificate, max_age=5.0), gs.TlsCertificate)
    assert_type((await secrets.get_typed("a", gs.ServiceToken)).value, gs.SecretValue)
    pg = await secrets.get_typed("a", gs.DatabaseCredentials, min_version=2)
    assert_type(pg.dsn(), gs.SecretValue)
    assert_type(pg.sqlalchemy_url("psycopg", options={"sslmode": "require"}), gs.SecretValue)
    assert_type(pg.version, int | None)
    assert_type((await secrets.get_typed("a", gs.RedisCredentials)).url(), gs.SecretValue)
    match await secrets.get_typed("a"):
        case gs.ApiKey(value=value):
            assert_type(value, gs.SecretValue)
        case gs.Secret() as secret:
            assert_type(secret.data, gs.SecretMap)
        case _:
            pass
    gs.DatabaseCredentials(username="u", password=gs.SecretValue("p"))

    await secrets.get_typed("a", gs.Secret)  # type: ignore[type-var]  # that is what get is for
    await secrets.get_typed("a", gs.SecretType.API_KEY)  # type: ignore[call-overload]  # a class
    assert (await secrets.get_typed("a")).value  # type: ignore[union-attr]  # of which class?
    gs.DatabaseCredentials(username="u", password="p")  # type: ignore[arg-type]  # it shows itself


class Declared(gs.Needs):
    """What a program reads."""

    database: gs.DatabaseCredentials = gs.need("a", gs.DatabaseCredentials)
    key: gs.SecretValue = gs.need("b", field="key")
    limits: gs.Secret = gs.need("c")
    bare = gs.need("d", gs.ApiKey)
    wrong: gs.ApiKey = gs.need("d")  # type: ignore[assignment]  # a Secret, without its class
    other: gs.Secret = gs.need("b", field="key")  # type: ignore[assignment]  # a value
    both: gs.ApiKey = gs.need("b", gs.ApiKey, field="key")  # type: ignore[call-overload]  # which?


async def declaring(secrets: gs.SecretsService, view: gs.SecretsView) -> None:
    """Needs have the types that they are declared with, loaded or held."""
    needs = await Declared.load(view)
    assert_type(needs, Declared)
    assert_type(needs.database, gs.DatabaseCredentials)
    assert_type(needs.key.reveal(), str)
    assert_type(needs.limits["a"], gs.SecretValue)
    assert_type(needs.bare, gs.ApiKey)
    async with Declared.hold(secrets) as held:
        assert_type(held, Declared)
        assert_type(held.key, gs.SecretValue)
    assert_type(view.as_typed(needs.limits, gs.ServiceToken), gs.ServiceToken)

    class One(gs.Needs):
        key: gs.SecretValue = gs.need("b", field="key")

    One(key=gs.SecretValue("a"))
    One(key="a")  # type: ignore[arg-type]  # it shows itself
    One()  # type: ignore[call-arg]  # a value for each need
    needs.key = gs.SecretValue("b")  # type: ignore[misc]  # loaded, not set


async def encrypting(secrets: gs.SecretsService, view: gs.SecretsView) -> None:
    """A key takes octets and texts, and gives masked plaintexts."""
    pii = view.encryption_key("pii")
    assert_type(pii, gs.EncryptionKey)
    encrypted = await pii.encrypt(b"x", bound_to=("users.email",))
    assert_type(encrypted, gs.Encrypted)
    assert_type(encrypted.ciphertext, str)
    assert_type(await pii.decrypt(encrypted.ciphertext, bound_to=["users.email"]), gs.Plaintext)
    assert_type((await pii.decrypt(encrypted)).reveal(), bytes)
    assert_type(
        await pii.encrypt_many(["x", b"y", gs.Bound("z", ("1",))]),
        tuple[gs.Encrypted | gs.SecretsError, ...],
    )
    assert_type(
        await pii.decrypt_many([encrypted, gs.Bound(encrypted.ciphertext, ("1",))]),
        tuple[gs.Plaintext | gs.SecretsError, ...],
    )
    assert_type(await pii.rewrap(encrypted), gs.Encrypted)
    assert_type(await secrets.certificate("web", common_name="a"), gs.TlsCertificate)

    await pii.encrypt(5432)  # type: ignore[arg-type]  # no text
    view.certificate("web", common_name="a")  # type: ignore[attr-defined]  # the platform's alone


async def misreading(secrets: gs.SecretsService, secret: gs.Secret) -> None:
    """What would show or change a value, or ask for it wrongly, does not type-check."""
    await secrets.get(gs.SecretPath.parse("a"))  # type: ignore[arg-type]  # the text is parsed inside
    await secrets.get("a", 3)  # type: ignore[call-arg]  # which number?
    await secrets.get("a", version="3")  # type: ignore[arg-type]  # a text
    (await secrets.get_or_none("a"))["password"]  # type: ignore[index]  # may be None
    "password=" + secret["password"]  # type: ignore[operator]  # not revealed
    secret.version = 4  # type: ignore[misc]  # frozen
    secret.data["password"] = "x"  # type: ignore[index]  # no assignment


async def following(secrets: gs.SecretsService) -> None:
    """Changes are iterated over, looked at, or told to a function that stays what it is."""
    async for secret in secrets.watch("a"):
        assert_type(secret, gs.Secret)
    assert_type(secrets.watch("a"), gs.Watch)
    async with aclosing(secrets.watch("a")) as watch:
        assert_type(await anext(watch), gs.Secret)

    handle = await secrets.hold("a")
    assert_type(handle, gs.Held[gs.Secret])
    assert_type(handle.current, gs.Secret)
    assert_type(handle.current["k"].reveal(), str)
    async with await secrets.for_tenant("acme").hold("a") as held:
        assert_type([each.version async for each in held.changes()], list[int])
    assert_type(handle.on_change(lambda old, new: None), Stop)
    assert_type(await handle.release(), None)

    subscription = secrets.on_change("a")
    assert_type(subscription, gs.Subscription)

    @subscription
    async def reload(old: gs.Secret, new: gs.Secret) -> None: ...

    @secrets.on_change("a")
    def note(old: gs.Secret, new: gs.Secret) -> None: ...

    assert_type(await reload(handle.current, handle.current), None)
    note(handle.current, handle.current)
    assert_type(subscription.stop(), None)


async def holding_leases(secrets: gs.SecretsService, successor: gs.SecretsService) -> None:
    """What is held under a lease is what was asked for, looked at without waiting."""
    held = await secrets.database_credentials("app", static=True, at="a", mount="database")
    assert_type(held, gs.HeldLease[gs.DatabaseCredentials])
    assert_type(held.current, gs.DatabaseCredentials)
    assert_type([each.username async for each in held.changes()], list[str])
    assert_type(await held.refresh(), gs.DatabaseCredentials)
    assert_type(held.on_change(lambda old, new: None), Stop)
    certificate = await secrets.hold_certificate("web", common_name="a", alt_names=["b"], ttl=60.0)
    assert_type(certificate, gs.HeldLease[gs.TlsCertificate])
    assert_type(certificate.current, gs.TlsCertificate)
    async with certificate as same:
        assert_type(same, gs.HeldLease[gs.TlsCertificate])
    anything: gs.Held[gs.TlsCertificate] = certificate
    assert_type(await anything.release(), None)
    assert_type(await secrets.hand_over(successor), None)

    secrets.database_credentials("app").refresh()  # type: ignore[attr-defined]  # not awaited
    await secrets.database_credentials("app", True)  # type: ignore[call-arg]  # by name only
    (await secrets.hold("a")).refresh()  # type: ignore[attr-defined]  # a secret is no lease
    secrets.for_tenant("a").hand_over(successor)  # type: ignore[attr-defined]  # the service's


async def misfollowing(secrets: gs.SecretsService) -> None:
    """What would never be called, or never be awaited, does not type-check."""
    (await secrets.watch("a"))  # type: ignore[misc]  # it is iterated over
    secrets.hold("a").release()  # type: ignore[attr-defined]  # not awaited
    secrets.watch("a", version=3)  # type: ignore[call-arg]  # a pinned version does not change

    @secrets.on_change("a")  # type: ignore[type-var]  # a callback has two arguments
    def reload(new: gs.Secret) -> None: ...

    secrets.on_change(reload)  # type: ignore[arg-type]  # of which path?


async def writing(secrets: gs.SecretsService) -> None:
    """A write takes texts by key and gives the version it made."""
    written = await secrets.create(
        "a", {"password": "pw"}, type=gs.SecretType.DATABASE, custom_metadata={"owner": "payments"}
    )
    assert_type(written, gs.SecretWritten)
    assert_type(written.version, int)
    assert_type(await secrets.put("a", {"k": "v"}), gs.SecretWritten)
    assert_type(await secrets.put("a", {"k": "v"}, expected_version=3), gs.SecretWritten)
    assert_type(await secrets.patch("a", {"k": None, "l": "v"}), gs.SecretWritten)
    assert_type(await secrets.undelete("a", [1, 2]), gs.Undeleted)
    await secrets.delete("a")
    await secrets.delete("a", [1], expected_version=3)
    await secrets.destroy("a", (1, 2), reason="leaked")


async def miswriting(secrets: gs.SecretsService) -> None:
    """What Vault would change, or what is too easily done by mistake, does not type-check."""
    await secrets.create("a", {"port": 5432})  # type: ignore[dict-item]  # Vault changes numbers
    await secrets.create("a", {"k": None})  # type: ignore[dict-item]  # only a patch removes
    await secrets.create("a", {"k": "v"}, type="database")  # type: ignore[arg-type]  # a text
    await secrets.put("a", {"k": "v"}, 3)  # type: ignore[call-arg]  # which number?
    await secrets.destroy("a", [1])  # type: ignore[call-arg]  # without a reason
    await secrets.undelete("a", "1")  # type: ignore[arg-type]  # a text


async def listing(secrets: gs.SecretsService) -> None:
    """A listing is iterated over, or taken page by page."""
    async for entry in secrets.list("database/"):
        assert_type(entry, gs.SecretEntry)
        assert_type(entry.path, str)
        assert_type(entry.metadata, gs.SecretMetadata | None)
    assert_type([entry.path async for entry in secrets.list()], list[str])
    page = await secrets.page("database/", limit=10)
    assert_type(page, gs.Page)
    assert_type(page.items, tuple[gs.SecretEntry, ...])
    assert_type(page.next, str | None)


async def mislisting(secrets: gs.SecretsService) -> None:
    """A listing is asynchronous, and awaited nowhere."""
    await secrets.list()  # type: ignore[misc]  # it is iterated over
    for _ in secrets.list():  # type: ignore[attr-defined]  # asynchronously
        pass


async def acting_for_tenants(secrets: gs.SecretsService) -> None:
    """Views of tenants and principals offer what the service offers."""
    tenant = secrets.for_tenant("acme")
    assert_type(tenant, gs.SecretsView)
    assert_type(await tenant.get("a"), gs.Secret)

    principal = gs.Principal(
        subject="somebody",
        permissions=frozenset({gs.Permission.READ}),
        tenant=gs.TenantId("acme"),
    )
    assert_type(secrets.for_tenant("acme", principal=principal), gs.SecretsView)

    scope: gs.Scope = gs.Tenant(gs.TenantId("acme"))
    context = gs.TenantContext(principal=principal, scope=scope)
    assert_type(secrets.scoped(context), gs.SecretsView)
    assert_type(secrets.context, gs.TenantContext)
    view: gs.SecretsView = secrets
    view.scoped(context)  # type: ignore[attr-defined]  # a view gives no wider view

    gs.Tenant("acme")  # type: ignore[arg-type]  # not parsed
    gs.TenantContext(principal=principal, scope="acme")  # type: ignore[arg-type]  # not a scope
    gs.Principal(subject="s", permissions=frozenset({"secrets:read"}))  # type: ignore[arg-type]  # a text
    gs.TenantContext(principal, scope)  # type: ignore[call-arg]  # by name only


def naming_scopes(scope: gs.Scope) -> str:
    """A scope is one of two, and a match over both is complete."""
    match scope:
        case gs.Platform():
            return "platform"
        case gs.Tenant(id=tenant):
            return assert_type(tenant, gs.TenantId).value


async def failing(secrets: gs.SecretsService) -> None:
    """Errors are told apart by class and carry typed facts."""
    try:
        await secrets.get("a")
    except gs.SecretDeleted as error:
        assert_type(error.version, int)
        assert_type(error.destroyed, bool)
    except gs.SecretUnavailable as error:
        assert_type(error.path, str | None)
    except gs.VaultRefused as error:
        assert_type(error.status, int)
    except gs.SecretsError as error:
        assert_type(error.code, str)
        assert_type(error.retryable, bool)
        assert_type(error.facts, dict[str, str | int | bool])


def handling(client: gs.VaultClient) -> list[RotationHandler]:
    """Each kind of rotation is what the manager takes."""
    return [
        kind(client, kv_mount="secret")
        for kind in (
            ApiKeyRotation,
            CertificateRotation,
            ManualRotation,
            PartnerApiKeyRotation,
            ServiceTokenRotation,
            TransitKeyRotation,
        )
    ]


def a_name_that_is_not_there() -> object:
    """Is an error of the type checker too, although names are looked up when asked for."""
    return gs.SecretService  # type: ignore[attr-defined]
