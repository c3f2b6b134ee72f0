from __future__ import annotations

import pytest

from greenlang_secrets.errors import InvalidPath, InvalidTenant, ReservedName
from greenlang_secrets.paths import (
    PLATFORM,
    RESERVED_FIRST,
    RESERVED_LAST,
    ApiPath,
    FolderPath,
    KvPath,
    Platform,
    SecretPath,
    Tenant,
    TenantId,
)

ACME = Tenant(TenantId("acme"))

GOOD = {
    "one letter": "a",
    "one digit": "7",
    "two segments": "database/postgresql",
    "capitals": "Database/PostgreSQL",
    "dot, dash and underscore inside": "tls/api.example-1_2",
    "dots within a segment": "a..b/c...",
    "128 characters": "x" * 128,
    "16 segments": "/".join(["s"] * 16),
    "512 octets": "/".join(["x" * 127] * 3 + ["x" * 128]),
    "only digits": "1/2/3",
}

BAD = {
    "empty": "",
    "a slash": "/",
    "leading slash": "/a",
    "trailing slash": "a/",
    "double slash": "a//b",
    "double leading slash": "//a",
    "parent": "..",
    "parent first": "../a",
    "parent inside": "a/../b",
    "parent last": "a/..",
    "self": ".",
    "self inside": "a/./b",
    "three dots": "...",
    "hidden file": ".env",
    "encoded dots": "%2e%2e",
    "encoded dots inside": "a/%2e%2e/b",
    "encoded dots, capitals": "a/%2E%2E/b",
    "half-encoded dots": "a/.%2e/b",
    "doubly encoded dots": "a/%252e%252e/b",
    "encoded slash": "a%2Fb",
    "encoded slash, small": "a%2fb",
    "doubly encoded slash": "a%252Fb",
    "overlong dots": "a/%c0%ae%c0%ae/b",
    "lone percent": "a%",
    "backslash": "a\\b",
    "parent with backslash": "..\\a",
    "NUL": "a\0b",
    "NUL at the end": "a\0",
    "newline": "a\nb",
    "newline at the end": "a\n",
    "newline at a segment's end": "a\n/b",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "DEL": "a\x7f",
    "blank": "a b",
    "blank at the start": " a",
    "blank at the end": "a ",
    "only a blank": " ",
    "non-breaking blank": "a\xa0b",
    "zero-width space": "a\u200bb",
    "right-to-left mark": "a\u200fb",
    "byte order mark": "\ufeffa",
    "line separator": "a\u2028",
    "accent": "é",
    "accent, decomposed": "e\u0301",
    "cyrillic a": "\u0430",
    "sharp s": "straße",
    "fullwidth dots": "a/\uff0e\uff0e/b",
    "fullwidth letter": "\uff41",
    "fullwidth slash": "a\uff0fb",
    "division slash": "a\u2215b",
    "two-dot leader": "a/\u2025/b",
    "arabic digit": "\u0663",
    "kelvin sign": "\u212a",
    "lone surrogate": "a\ud800",
    "emoji": "🔑",
    "question mark": "a?version=1",
    "hash": "a#b",
    "colon": "a:b",
    "semicolon": "a;b",
    "star": "a/*",
    "plus": "a/+",
    "comma": "a,b",
    "at": "a@b",
    "equals": "a=b",
    "ampersand": "a&b",
    "tilde": "~a",
    "braces": "{a}",
    "quote": "a'b",
    "leading underscore": "_a",
    "leading dash": "-a",
    "dash in a second segment": "a/-b",
    "129 characters": "x" * 129,
    "17 segments": "/".join(["s"] * 17),
    "513 octets": "/".join(["x" * 127] * 2 + ["x" * 128] * 2),
    "600 octets": "/".join(["x" * 119] * 5),
}

RESERVED = [
    "health",
    "status",
    "stats",
    "rotate",
    "rotation",
    "health/x",
    "status/x",
    "stats/x",
    "rotate/database/postgresql",
    "rotation/schedule",
    "versions",
    "undelete",
    "a/versions",
    "database/postgresql/undelete",
    "health/versions",
]

MERELY_CONTAIN = [
    "healthy",
    "unhealth/x",
    "Health",
    "HEALTH/x",
    "health-check",
    "status2",
    "statistics",
    "rotates/x",
    "rotation.d/x",
    "app/health",
    "app/rotate/x",
    "app/status/stats/rotation",
    "versions/x",
    "undelete/x",
    "Versions",
    "a/Undelete",
    "a/versions1",
    "a/versions/b",
    "a/undelete/b",
    "a/my-versions",
]


# ---------------------------------------------------------------- SecretPath


@pytest.mark.parametrize("text", [*GOOD.values(), *MERELY_CONTAIN])
def test_path_in_the_grammar_keeps_its_text(text):
    """A good path is taken as it is: `str()` gives back what was parsed."""
    path = SecretPath.parse(text)

    assert str(path) == text
    assert path.segments == tuple(text.split("/"))


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_path_outside_the_grammar_is_refused(text):
    """A bad path is refused, never cleaned, because a cleaned path is another path."""
    with pytest.raises(InvalidPath) as caught:
        SecretPath.parse(text)

    assert caught.value.code == "invalid_path"


@pytest.mark.parametrize("text", RESERVED)
def test_reserved_word_is_refused(text):
    """A path that REST would take for something else is refused here as well."""
    with pytest.raises(ReservedName) as caught:
        SecretPath.parse(text)

    assert caught.value.code == "reserved_name"


def test_reserved_words_are_those_of_the_rest_interface():
    """The reserved words are these seven; one more would break somebody's path."""
    assert {"health", "status", "stats", "rotate", "rotation"} == RESERVED_FIRST
    assert {"versions", "undelete"} == RESERVED_LAST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "The path is empty."),
        ("x" * 513, "The path is longer than 512 octets."),
        ("/".join(["s"] * 17), "The path has more than 16 segments."),
        ("/a", "Segment 1 of the path is empty: no leading, trailing or double slash."),
        ("a//b", "Segment 2 of the path is empty: no leading, trailing or double slash."),
        ("a/b/", "Segment 3 of the path is empty: no leading, trailing or double slash."),
        (
            "a/hunter2!/c",
            (
                "Segment 2 of the path is not valid: 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', "
                "beginning with a letter or digit."
            ),
        ),
        ("rotate/x", "A path may not begin with 'rotate': the REST API uses that word."),
        ("x/versions", "A path may not end with 'versions': the REST API uses that word."),
    ],
)
def test_refusal_says_where_and_why_without_the_text(text, expected):
    """The error tells which segment is wrong; the text may be a value, so it is not repeated."""
    with pytest.raises(InvalidPath) as caught:
        SecretPath.parse(text)

    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("raw_path", "kind"), [(None, "NoneType"), (b"a", "bytes"), (7, "int"), (("a",), "tuple")]
)
def test_path_that_is_no_text_is_refused(raw_path, kind):
    """A path is a str: anything else is refused by its type, unhashable things too."""
    with pytest.raises(InvalidPath) as caught:
        SecretPath.parse(raw_path)

    assert str(caught.value) == f"A path is a str, not {kind}."


def test_unhashable_path_is_refused():
    """The memo before the parser does not turn a wrong type into a TypeError."""
    with pytest.raises(InvalidPath, match="A path is a str, not list"):
        SecretPath.parse(["a"])  # type: ignore[arg-type]  # the mistake under test


def test_parsed_path_is_the_same_object_again():
    """Parsing is memoised: a path in use costs one lookup."""
    assert SecretPath.parse("memo/one") is SecretPath.parse("memo/one")


def test_name_is_the_last_segment():
    """The name is what stands after the last slash."""
    assert SecretPath.parse("database/postgresql").name == "postgresql"
    assert SecretPath.parse("single").name == "single"


def test_ancestors_are_the_folders_on_the_way():
    """The ancestors of a path, nearest to the root first, are without the path itself."""
    assert [str(path) for path in SecretPath.parse("a/b/c/d").ancestors] == ["a", "a/b", "a/b/c"]
    assert SecretPath.parse("a").ancestors == ()


def test_ancestor_may_end_in_a_word_reserved_for_leaves():
    """A folder may be called `versions`: that word is reserved at the end only."""
    assert [str(path) for path in SecretPath.parse("versions/a").ancestors] == ["versions"]


# ---------------------------------------------------------------- FolderPath


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", ()),
        ("a/", ("a",)),
        ("database/eu/", ("database", "eu")),
        ("versions/", ("versions",)),
        ("health/", ("health",)),
        ("/".join(["s"] * 16) + "/", ("s",) * 16),
    ],
)
def test_prefix_is_nothing_or_ends_with_a_slash(text, segments):
    """A prefix is empty, for the whole scope, or segments and a final slash."""
    folder = FolderPath.parse(text)

    assert folder.segments == segments
    assert str(folder) == text


@pytest.mark.parametrize(
    "text",
    [
        "/",
        "//",
        "a",
        "a//",
        "/a/",
        "../",
        "a/../",
        "./",
        "%2e%2e/",
        "a%2F",
        "a/\n",
        "a\n/",
        " ",
        " /",
        "é/",
        "\uff0e\uff0e/",
        "a\0/",
        "*/",
        "x" * 129 + "/",
        "/".join(["s"] * 17) + "/",
        "/".join(["x" * 119] * 5) + "/",
    ],
)
def test_prefix_outside_the_grammar_is_refused(text):
    """A prefix is as strict as a path: what it names must be one folder, in one spelling."""
    with pytest.raises(InvalidPath):
        FolderPath.parse(text)


def test_prefix_without_its_slash_is_told_so():
    """A prefix is not guessed at: `a` could be meant as `a/` or as `a*`."""
    with pytest.raises(InvalidPath, match=r"A prefix is empty or ends with '/'\."):
        FolderPath.parse("a")


@pytest.mark.parametrize(("raw_prefix", "kind"), [(None, "NoneType"), (b"a/", "bytes")])
def test_prefix_that_is_no_text_is_refused(raw_prefix, kind):
    """A prefix is a str."""
    with pytest.raises(InvalidPath) as caught:
        FolderPath.parse(raw_prefix)

    assert str(caught.value) == f"A prefix is a str, not {kind}."


# ---------------------------------------------------------------- TenantId


@pytest.mark.parametrize("text", ["a", "0", "acme", "a-b", "a--b", "a-", "7-eleven", "x" * 63])
def test_tenant_id_keeps_its_text(text):
    """A tenant's id is 1 to 63 of a-z, 0-9 and '-', not beginning with '-'."""
    tenant = TenantId(text)

    assert tenant.value == text
    assert str(tenant) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "-a",
        "A",
        "Acme",
        "a_b",
        "a.b",
        "..",
        "a/b",
        "a/",
        "/a",
        "*",
        "a*",
        "+",
        "a+",
        "a%2fb",
        "a b",
        "a\n",
        "a\0",
        "é",
        "\u0430",
        "\uff41",
        "{{identity.entity.id}}",
        "x" * 64,
        None,
        b"acme",
        7,
    ],
)
def test_tenant_id_outside_the_grammar_is_refused(text):
    """No glob, slash, dot or capital gets into a tenant's id (CVE-2026-71543)."""
    with pytest.raises(InvalidTenant) as caught:
        TenantId(text)

    assert caught.value.code == "invalid_tenant"


# ---------------------------------------------------------------- scopes


def test_scopes_have_different_keys():
    """A cache keyed by a scope's key never mixes two scopes: no tenant's id is empty."""
    assert PLATFORM.key == ""
    assert ACME.key == "acme"


def test_scope_is_named_for_people():
    """A scope says which one it is."""
    assert str(PLATFORM) == "platform"
    assert str(ACME) == "tenant acme"


def test_equal_scopes_are_equal():
    """Scopes are values."""
    assert Platform() == PLATFORM
    assert Tenant(TenantId("acme")) == ACME
    assert Tenant(TenantId("acm")) != ACME


# ---------------------------------------------------------------- ApiPath


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("sys", "health"), "sys/health"),
        (("auth", "token", "lookup-self"), "auth/token/lookup-self"),
        (("auth", "team/approle", "login"), "auth/team/approle/login"),
        (("transit", "keys", "orders.v2"), "transit/keys/orders.v2"),
        (("pki_int", "issue", "web"), "pki_int/issue/web"),
        (("sys",), "sys"),
    ],
)
def test_api_path_joins_its_parts(parts, expected):
    """Engines make their paths of mounts, names and constants."""
    assert str(ApiPath.of(*parts)) == expected


@pytest.mark.parametrize(
    "part",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "..",
        "../sys",
        "a/..",
        "a/../b",
        "a.b/c",
        "%2e%2e",
        "a%2fb",
        "a\n",
        "a?list=true",
        "a b",
        "é",
        "*",
        "x" * 129,
    ],
)
def test_api_path_refuses_a_part_outside_the_grammar(part):
    """A role or key name cannot carry a path, a query or an escape."""
    with pytest.raises(InvalidPath):
        ApiPath.of("sys", part, "x")


# ---------------------------------------------------------------- KvPath

PG = SecretPath.parse("database/postgresql")


@pytest.mark.parametrize(
    ("scope", "endpoint", "expected"),
    [
        (PLATFORM, "data", "secret/data/greenlang/database/postgresql"),
        (PLATFORM, "metadata", "secret/metadata/greenlang/database/postgresql"),
        (PLATFORM, "delete", "secret/delete/greenlang/database/postgresql"),
        (PLATFORM, "undelete", "secret/undelete/greenlang/database/postgresql"),
        (PLATFORM, "destroy", "secret/destroy/greenlang/database/postgresql"),
        (PLATFORM, "subkeys", "secret/subkeys/greenlang/database/postgresql"),
        (ACME, "data", "secret/data/tenants/acme/database/postgresql"),
        (ACME, "metadata", "secret/metadata/tenants/acme/database/postgresql"),
    ],
)
def test_secret_lies_below_its_scope(scope, endpoint, expected):
    """Platform secrets lie below `greenlang/`, a tenant's below `tenants/<id>/`."""
    assert str(KvPath.of("secret", scope, PG).api(endpoint)) == expected


def test_mount_may_have_segments():
    """A mount may lie deeper, as Vault allows."""
    path = KvPath.of("team_a/kv-2", ACME, PG)

    assert str(path.api("data")) == "team_a/kv-2/data/tenants/acme/database/postgresql"


@pytest.mark.parametrize(
    "mount",
    [
        "",
        "/",
        "secret/",
        "/secret",
        "a//b",
        "..",
        "a/../b",
        "se cret",
        "secret\n",
        "a.b",
        "%2e",
        "é",
    ],
)
def test_mount_outside_the_grammar_is_refused(mount):
    """A wrong mount is refused before a request is made of it."""
    with pytest.raises(InvalidPath, match="The mount is not valid"):
        KvPath.of(mount, PLATFORM, PG)
    with pytest.raises(InvalidPath, match="The mount is not valid"):
        KvPath.folder(mount, PLATFORM, FolderPath(()))


def test_caller_sees_its_own_path():
    """What is shown to a caller is the path as it gave it, without the scope."""
    assert str(KvPath.of("secret", ACME, PG)) == "database/postgresql"


@pytest.mark.parametrize(
    ("scope", "prefix", "expected"),
    [
        (PLATFORM, "", "secret/metadata/greenlang/"),
        (PLATFORM, "database/", "secret/metadata/greenlang/database/"),
        (ACME, "", "secret/metadata/tenants/acme/"),
        (ACME, "database/eu/", "secret/metadata/tenants/acme/database/eu/"),
    ],
)
def test_folder_is_listed_with_its_final_slash(scope, prefix, expected):
    """A listing's path ends with the slash that Vault's policies see."""
    assert str(KvPath.folder("secret", scope, FolderPath.parse(prefix))) == expected


def test_secret_as_a_folder_is_listed_with_its_final_slash():
    """What lies below a secret's own path is asked for as a folder."""
    assert str(KvPath.of("secret", ACME, PG).as_folder()) == (
        "secret/metadata/tenants/acme/database/postgresql/"
    )


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (PLATFORM, ["secret/metadata/greenlang/a", "secret/metadata/greenlang/a/b"]),
        (ACME, ["secret/metadata/tenants/acme/a", "secret/metadata/tenants/acme/a/b"]),
    ],
)
def test_ancestors_stay_within_the_scope(scope, expected):
    """The places on the way to a secret begin below the scope's root, not at the mount's."""
    ancestors = KvPath.of("secret", scope, SecretPath.parse("a/b/c")).ancestors

    assert [str(place.api("metadata")) for place in ancestors] == expected
    assert [str(place) for place in ancestors] == ["a", "a/b"]


def test_top_level_secret_has_no_ancestors():
    """A secret at the top of a scope has nothing above it that could be a secret."""
    assert KvPath.of("secret", ACME, SecretPath.parse("a")).ancestors == ()


def test_the_services_own_entries_lie_where_no_caller_gets():
    """Below `_service` in the platform's scope, which the grammar refuses."""
    path = KvPath.of_service("secret", "keys")

    assert str(path.api("data")) == "secret/data/greenlang/_service/keys"
    assert str(path) == "_service/keys"
    with pytest.raises(InvalidPath):
        SecretPath.parse("_service/keys")


@pytest.mark.parametrize(("mount", "name"), [("se cret", "keys"), ("secret", "../keys")])
def test_a_name_outside_the_grammar_is_none_of_the_services(mount, name):
    """Mount and name are held to the grammar all the same."""
    with pytest.raises(InvalidPath):
        KvPath.of_service(mount, name)
