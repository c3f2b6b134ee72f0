from __future__ import annotations

from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st
from yarl import URL

from greenlang_secrets.errors import InvalidPath, InvalidTenant
from greenlang_secrets.paths import (
    PLATFORM,
    RESERVED_FIRST,
    RESERVED_LAST,
    ApiPath,
    FolderPath,
    KvPath,
    Scope,
    SecretPath,
    Tenant,
    TenantId,
)

SEGMENTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
NASTY = st.sampled_from(
    [
        *(
            "..",
            ".",
            "",
            "%2e%2e",
            "%2F",
            "%252e",
            "a\n",
            "\0",
            "é",
            "\uff0e\uff0e",
            "*",
            "x" * 129,
        ),
        *sorted(RESERVED_FIRST | RESERVED_LAST),
    ]
)
GOOD_TEXTS = (
    st.lists(SEGMENTS, min_size=1, max_size=16)
    .map("/".join)
    .filter(lambda text: len(text) <= 512)
    .filter(lambda text: text.split("/")[0] not in RESERVED_FIRST)
    .filter(lambda text: text.split("/")[-1] not in RESERVED_LAST)
)
ONE_EDIT_AWAY = st.builds(
    lambda text, where, edit: text[: where % (len(text) + 1)] + edit + text[where % len(text) :],
    GOOD_TEXTS,
    st.integers(min_value=0, max_value=511),
    st.sampled_from(["/", "//", ".", "..", "/../", "%", "%2f", "\n", "\0", "é", "-", "_", " "]),
)
TEXTS = (
    GOOD_TEXTS
    | ONE_EDIT_AWAY
    | st.lists(SEGMENTS | NASTY, max_size=18).map("/".join)
    | st.text(alphabet="aA0./%_-\n\\ 2eEfF", max_size=40)
    | st.text()
)
TENANTS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
SCOPES = st.just(PLATFORM) | TENANTS.map(lambda text: Tenant(TenantId(text)))
ENDPOINTS = st.sampled_from(["data", "metadata", "delete", "undelete", "destroy", "subkeys"])


def parsed(parse: Any, text: str) -> Any:
    """The parsed text, or None where it is refused as it should be."""
    try:
        return parse(text)
    except (InvalidPath, InvalidTenant):
        return None


def root_of(scope: Scope) -> str:
    return "greenlang/" if scope is PLATFORM else f"tenants/{scope.key}/"


@given(TEXTS)
@example("a\n")
@example("health")
@example("a/versions")
def test_any_text_is_refused_or_kept(text):
    """A text is refused with `InvalidPath`, or kept to the letter: it is never cleaned."""
    path = parsed(SecretPath.parse, text)

    assert path is None or str(path) == text


@given(GOOD_TEXTS)
def test_every_text_of_the_grammar_is_taken(text):
    """The grammar is not narrower than promised."""
    assert str(SecretPath.parse(text)) == text


@given(TEXTS, SCOPES, ENDPOINTS)
def test_url_is_the_scope_and_the_segments(text, scope, endpoint):
    """The request path is the scope's prefix, then exactly the caller's segments."""
    path = parsed(SecretPath.parse, text)
    if path is None:
        return

    url = str(KvPath.of("secret", scope, path).api(endpoint))

    assert url == f"secret/{endpoint}/{root_of(scope)}{text}"


@given(TEXTS, SCOPES, ENDPOINTS)
def test_url_holds_nothing_that_is_rewritten_on_the_way(text, scope, endpoint):
    """No `..` segment, `//`, `%` or final slash: nothing that a client or server collapses."""
    path = parsed(SecretPath.parse, text)
    if path is None:
        return

    url = str(KvPath.of("secret", scope, path).api(endpoint))

    assert {".", ".."}.isdisjoint(url.split("/"))
    assert "//" not in url
    assert "%" not in url
    assert not url.endswith("/")
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url


@given(TEXTS, SCOPES, ENDPOINTS)
def test_http_client_sends_the_path_byte_for_byte(text, scope, endpoint):
    """yarl, told that it is encoded, keeps the path as it is."""
    path = parsed(SecretPath.parse, text)
    if path is None:
        return
    api_path = KvPath.of("secret", scope, path).api(endpoint)

    for address in ("http://h/v1/", "https://[::1]:8200/v1/"):
        url = URL(f"{address}{api_path}", encoded=True)

        assert url.raw_path == f"/v1/{api_path}"
        assert url.raw_path_qs == f"/v1/{api_path}"
        assert url.raw_fragment == ""


@given(TEXTS)
def test_client_that_cleans_paths_finds_nothing_to_clean(text):
    """Even a client that normalises and encodes by itself sends the same path."""
    path = parsed(SecretPath.parse, text)
    if path is None:
        return

    assert URL(f"http://h/v1/{path}").raw_path == f"/v1/{text}"


@given(TENANTS, TENANTS, GOOD_TEXTS, ENDPOINTS)
@example("a", "ab", "x", "data")
@example("a", "a-b", "x", "data")
@example("ab", "a-b", "x", "metadata")
@example("a", "b", "tenants/b/x", "data")
def test_two_tenants_never_share_a_prefix(one, other, text, endpoint):
    """Whatever one tenant's path is, it does not lie below another tenant's prefix."""
    assume(one != other)
    path = KvPath.of("secret", Tenant(TenantId(one)), SecretPath.parse(text))

    url = str(path.api(endpoint))

    assert url.startswith(f"secret/{endpoint}/tenants/{one}/")
    assert not url.startswith(f"secret/{endpoint}/tenants/{other}/")
    assert not url.startswith(f"secret/{endpoint}/greenlang/")


@given(GOOD_TEXTS, ENDPOINTS)
def test_platform_path_lies_in_no_tenant(text, endpoint):
    """A platform path never lies below `tenants/`, whatever its segments are."""
    url = str(KvPath.of("secret", PLATFORM, SecretPath.parse(text)).api(endpoint))

    assert url.startswith(f"secret/{endpoint}/greenlang/")


@given(GOOD_TEXTS, SCOPES)
def test_ancestors_lie_between_the_scope_and_the_secret(text, scope):
    """Each ancestor is a true part of the way, one segment longer than the one before."""
    path = KvPath.of("secret", scope, SecretPath.parse(text))

    places = [str(place.api("data")) for place in path.ancestors]

    root = f"secret/data/{root_of(scope)}"
    ways = text.split("/")
    assert places == [root + "/".join(ways[:count]) for count in range(1, len(ways))]


@given(TEXTS.map(lambda text: f"{text}/") | TEXTS, SCOPES)
@example("", PLATFORM)
@example("/", PLATFORM)
@example("a", PLATFORM)
def test_any_prefix_is_refused_or_kept(text, scope):
    """A prefix is refused, or kept to the letter behind the scope's root, with its slash."""
    folder = parsed(FolderPath.parse, text)
    if folder is None:
        return

    assert str(folder) == text
    assert str(KvPath.folder("secret", scope, folder)) == (
        f"secret/metadata/{root_of(scope)}{text}"
    )


@given(st.text() | TENANTS | st.text(alphabet="aA0-_.*+/\n", max_size=70))
@example("a\n")
def test_any_tenant_id_is_refused_or_kept(text):
    """A tenant's id is refused, or is 1 to 63 of a-z, 0-9 and '-'."""
    tenant = parsed(TenantId, text)
    if tenant is None:
        return

    assert str(tenant) == text
    assert 1 <= len(text) <= 63
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert text[0] != "-"


@given(st.lists(TEXTS | SEGMENTS, min_size=1, max_size=4))
def test_any_parts_are_refused_or_safe_to_send(parts):
    """An engine's path is refused, or is its parts, with nothing that is rewritten."""
    path = parsed(lambda _: ApiPath.of(*parts), "")
    if path is None:
        return

    assert str(path) == "/".join(parts)
    assert URL(f"http://h/v1/{path}").raw_path == f"/v1/{path}"


PLACED = ["data", "metadata", "delete", "undelete", "destroy", "subkeys"]
MOUNTS = st.sampled_from(["secret", "kv", "team/kv", "data", "secret/data"])


@given(MOUNTS, SCOPES, GOOD_TEXTS, ENDPOINTS)
@example("data", PLATFORM, "data/data", "data")
@example("secret", Tenant(TenantId("greenlang")), "tenants/b/x", "data")
def test_whose_secret_a_request_acts_on_is_read_back_from_it(mount, scope, text, endpoint):
    """What `api` makes, `placed` takes apart, to the same scope and path."""
    path = SecretPath.parse(text)

    api = str(KvPath.of(mount, scope, path).api(endpoint))

    assert KvPath.placed(mount, api) == (scope, path)


@given(st.sampled_from([*PLACED, "config", ""]), TEXTS | TENANTS, TEXTS)
@example("data", "tenants", "a/x")
@example("data", "greenlang", "x/")
@example("data", "greenlang", "health")
@example("data", "tenants", "A/x")
@example("data", "other", "x")
def test_what_is_no_request_of_ours_is_nobodys(endpoint, root, rest):
    """A text is one secret's place, and `api` makes that text of it again, or it is nobody's."""
    raw_path = f"secret/{endpoint}/{root}/{rest}"

    placed = KvPath.placed("secret", raw_path)

    assert placed is None or str(KvPath.of("secret", *placed).api(endpoint)) == raw_path


@given(SCOPES, GOOD_TEXTS)
def test_request_of_another_mount_is_nobodys(scope, text):
    """A mount whose name ends or goes on as ours is another one."""
    api = KvPath.of("secret", scope, SecretPath.parse(text)).api("data")

    for mount in ("kv", "secret/data", "ecret", "secre"):
        assert KvPath.placed(mount, str(api)) is None
    assert KvPath.placed("secret", f"a/{api}") is None
    assert KvPath.placed("secret", f"/{api}") is None
