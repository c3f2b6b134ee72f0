"""What manifests ask of Vault: each (role, path, capability), and the line that asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from greenlang_secrets.check.documents import Document, Value
from greenlang_secrets.check.findings import Finding, Place
from greenlang_secrets.check.templates import fields_of, fields_read, read_by

__all__ = ["Need", "Store", "needs", "stores"]

_INJECT = "vault.hashicorp.com/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing a manifest asks of Vault.

    Attributes:
        path: of Vault's API, without ``v1/``.
        secret: of a KV secret, mount and path; None for others.
        field: the property that is read of it; empty for all.
        makes: whether it makes the secret it names.
        within: whether it is a key that a template takes of a secret which another need reads: this
            one asks Vault for nothing more.
    """

    role: str
    path: str
    capability: str
    place: Place
    secret: str | None = None
    field: str = ""
    makes: bool = False
    within: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store of the External Secrets Operator that is a Vault.

    Attributes:
        role: empty where its login names none.
        mount: of KV.
        versioned: whether that is version 2.
    """

    kind: str
    namespace: str
    name: str
    role: str
    mount: str
    versioned: bool
    place: Place


def stores(found: Sequence[Document]) -> tuple[Store, ...]:
    """Return all stores whose provider is Vault; a patch of one, without a login, is none."""
    result = []
    for document in found:
        vault = document.value.at("spec", "provider", "vault")
        if document.kind in {"SecretStore", "ClusterSecretStore"} and vault.at("auth").members:
            result.append(
                Store(
                    kind=document.kind,
                    namespace=document.namespace,
                    name=document.name,
                    role=_role(vault),
                    mount=vault.at("path").text.strip("/"),
                    versioned=vault.at("version").text != "v1",
                    place=document.place(vault.line),
                )
            )
    return tuple(result)


def _role(vault: Value) -> str:
    auth = vault.at("auth")
    return auth.at("iam", "vaultRole").text or next(
        (text for kind in ("kubernetes", "jwt", "cert") if (text := auth.at(kind, "role").text)), ""
    )


def needs(found: Sequence[Document]) -> Iterator[Need | Finding]:
    """Yield what the documents ask for, and what cannot be known because a name leads nowhere."""
    known = stores(found)
    for store in known:
        if not store.role:
            yield _no_role(store.place)
    mounts = {store.mount for store in known if store.versioned and store.mount} or {"secret"}
    foreign = {
        (document.kind, document.name)
        for document in found
        if document.kind in {"SecretStore", "ClusterSecretStore"}
        and document.value.at("spec", "provider").members
        and not document.value.at("spec", "provider", "vault").members
    }
    for document in found:
        match document.kind:
            case "ExternalSecret" | "ClusterExternalSecret":
                yield from _external_secret(document, known, foreign)
            case "PushSecret" | "ClusterPushSecret":
                yield from _push_secret(document, known, foreign)
            case "VaultDynamicSecret":
                yield from _generator(document)
            case _:
                yield from _injected(document, mounts)


def _external_secret(
    document: Document, known: Sequence[Store], foreign: set[tuple[str, str]]
) -> Iterator[Need | Finding]:
    spec = document.value.at("spec")
    if document.kind == "ClusterExternalSecret":
        spec = spec.at("externalSecretSpec")
    own = spec.at("secretStoreRef")
    for item in [*spec.at("data").items, *spec.at("dataFrom").items]:
        find = item.at("find")
        remote = item.at("remoteRef") if item.at("remoteRef").members else item.at("extract")
        if not remote.members and not find.members:
            continue  # of a generator
        named = item.at("sourceRef", "storeRef")
        reference = named if named.members else own
        for store in _of(document, reference, known, foreign):
            if isinstance(store, Finding):
                yield store
            elif find.members:
                folder = f"{store.mount}/metadata/{find.at('path').text}".rstrip("/") + "/"
                place = document.place(find.line)
                yield Need(role=store.role, path=folder, capability="list", place=place)
            else:
                key = remote.at("key")
                # Instead of the secret, its custom metadata: their keys are in no tree.
                fetched = store.versioned and remote.at("metadataPolicy").text == "Fetch"
                asked = Need(
                    role=store.role,
                    path=_data(store, key.text, part="metadata" if fetched else "data"),
                    capability="read",
                    place=document.place(key.line),
                    secret=f"{store.mount}/{_relative(store, key.text)}",
                    field="" if fetched else remote.at("property").text,
                )
                yield asked
                if item.at("extract").members and not asked.field and not fetched:
                    for name, line in _taken(spec):
                        place = document.place(line)
                        yield replace(asked, field=name, place=place, within=True)


def _taken(spec: Value) -> Iterator[tuple[str, int]]:
    """Yield the keys, and their lines, that a template takes of the one secret that is extracted;
    none where they may come from somewhere else.
    """
    sources = spec.at("dataFrom").items
    if len(sources) != 1 or sources[0].at("rewrite").items:
        return
    if sources[0].at("extract", "conversionStrategy").text == "Unicode":
        return
    own = {item.at("secretKey").text for item in spec.at("data").items}
    for template in spec.at("target", "template", "data").members.values():
        for name, below in fields_of(template.text):
            if name not in own:
                yield name, template.line + below


def _push_secret(
    document: Document, known: Sequence[Store], foreign: set[tuple[str, str]]
) -> Iterator[Need | Finding]:
    spec = document.value.at("spec")
    if document.kind == "ClusterPushSecret":
        spec = spec.at("pushSecretSpec")
    for reference in spec.at("secretStoreRefs").items:
        for store in _of(document, reference, known, foreign):
            if isinstance(store, Finding):
                yield store
                continue
            for item in spec.at("data").items:
                key = item.at("match", "remoteRef", "remoteKey")
                if not key.text:
                    continue
                for part in ("data", "metadata") if store.versioned else ("",):
                    verbs = ["create", "read", "update"]
                    if spec.at("deletionPolicy").text == "Delete":
                        verbs.append("delete")
                    for verb in verbs:
                        yield Need(
                            role=store.role,
                            path=_data(store, key.text, part=part),
                            capability=verb,
                            place=document.place(key.line),
                            secret=f"{store.mount}/{_relative(store, key.text)}",
                            makes=True,
                        )


def _generator(document: Document) -> Iterator[Need | Finding]:
    spec = document.value.at("spec")
    path = spec.at("path")
    if not path.text:
        return  # a patch
    role = _role(spec.at("provider"))
    if not role:
        yield _no_role(document.place(spec.line))
        return
    verbs = {"GET": "read", "LIST": "list", "DELETE": "delete", "PATCH": "patch"}
    yield Need(
        role=role,
        path=path.text.strip("/"),
        capability=verbs.get(spec.at("method").text or "GET", "update"),
        place=document.place(path.line),
    )


def _injected(document: Document, mounts: set[str]) -> Iterator[Need | Finding]:
    for key, value in document.value.walk():
        if key != "annotations":
            continue
        own = {
            name.removeprefix(_INJECT): member
            for name, member in value.members.items()
            if name.startswith(_INJECT)
        }
        asked = list(_asked(own, mounts))
        role = own.get("role")
        if asked and (role is None or not role.text):
            yield _no_role(document.place(value.line))
            continue
        for path, capability, line, field in asked:
            mount, _, rest = path.partition("/")
            yield Need(
                role="" if role is None else role.text,
                path=path,
                capability=capability,
                place=document.place(line),
                secret=(
                    f"{mount}/{rest.removeprefix('data/')}"
                    if mount in mounts and rest.startswith("data/") and capability == "read"
                    else None
                ),
                field=field,
                within=bool(field),
            )


def _asked(own: dict[str, Value], mounts: set[str]) -> Iterator[tuple[str, str, int, str]]:
    for name, value in own.items():
        if name.startswith("agent-inject-template-"):
            for path, capability, below in read_by(value.text):
                yield _full(path, capability, mounts), capability, value.line + below, ""
            for path, field, below in fields_read(value.text):
                yield _full(path, "read", mounts), "read", value.line + below, field
        elif name.startswith("agent-inject-secret-"):
            suffix = name.removeprefix("agent-inject-secret-")
            # With a template the path is not read: the template says what is.
            if value.text and f"agent-inject-template-{suffix}" not in own:
                path = value.text.partition("?")[0]
                yield _full(path, "read", mounts), "read", value.line, ""


def _full(path: str, capability: str, mounts: set[str]) -> str:
    """As the agent does: the path of a KV version 2 mount gets the part it lacks."""
    mount, _, rest = path.strip("/").partition("/")
    if mount in mounts and not rest.startswith(("data/", "metadata/")):
        return f"{mount}/{'metadata' if capability == 'list' else 'data'}/{rest}"
    return path.strip("/")


def _of(
    document: Document, reference: Value, known: Sequence[Store], foreign: set[tuple[str, str]]
) -> list[Store | Finding]:
    kind = reference.at("kind").text or "SecretStore"
    name = reference.at("name").text
    found = [
        store
        for store in known
        if (store.kind, store.name) == (kind, name)
        and (kind == "ClusterSecretStore" or store.namespace in {"", document.namespace})
    ]
    if found:
        return [store for store in found if store.role]  # one without is told at the store
    if (kind, name) in foreign:
        return []
    return [
        Finding(
            rule="unknown_store",
            place=document.place(reference.line),
            what=f"names the {kind} {name or '(none)'}, which no manifest defines",
            fix="Correct the name or the kind, or check the folder of the store with it.",
        )
    ]


def _no_role(place: Place) -> Finding:
    return Finding(
        rule="unknown_role",
        place=place,
        what="its login to Vault names no role",
        fix="Name the role: what it may read cannot be checked without.",
    )


def _relative(store: Store, key: str) -> str:
    # The operator cuts the mount and `data/` off, of keys that begin with the mount.
    prefix = f"{store.mount}/"
    return key.removeprefix(prefix).removeprefix("data/") if key.startswith(prefix) else key


def _data(store: Store, key: str, *, part: str = "data") -> str:
    middle = f"{part}/" if store.versioned else ""
    return f"{store.mount}/{middle}{_relative(store, key)}"
