from __future__ import annotations

from collections import UserDict

import pytest

from greenlang_secrets.content import (
    MAX_JSON,
    MAX_KEYS,
    check_custom_metadata,
    check_data,
    check_patch,
    check_version,
    check_versions,
)
from greenlang_secrets.errors import InvalidSecret, InvalidVersion, SecretTooLarge

# {"k": "..."} takes nine octets around the value.
FULL = MAX_JSON - 9

GOOD = {
    "nothing": {},
    "one text": {"password": "pw"},
    "empty text": {"password": ""},
    "text of any characters": {"password": 'pä\0\n"\\😀\u2028'},
    "key of any characters": {"pass wörd/~\n": "pw"},
    "key of 256 octets": {"k" * 256: "v"},
    "key of 256 octets in 128 characters": {"é" * 128: "v"},
    "256 keys": {f"key{number}": "v" for number in range(256)},
    "768 KiB": {"k": "v" * FULL},
    "another kind of mapping": UserDict({"password": "pw"}),
}

# what is sent, the text of the refusal, where it points
BAD = {
    "None": (None, "Secret data is a mapping of strings to strings.", "/data"),
    "a text": ("password=pw", "Secret data is a mapping of strings to strings.", "/data"),
    "a list": ([("password", "pw")], "Secret data is a mapping of strings to strings.", "/data"),
    "a key that is a number": ({1: "pw"}, "A key of the data is not a string.", "/data"),
    "a key that is None": ({None: "pw"}, "A key of the data is not a string.", "/data"),
    "a key of octets": ({b"k": "pw"}, "A key of the data is not a string.", "/data"),
    "an empty key": ({"": "pw"}, "A key has 1 to 256 octets.", "/data"),
    "a key of 257 octets": ({"k" * 257: "v"}, "A key has 1 to 256 octets.", "/data"),
    "a key of 258 octets in 129 characters": (
        {"é" * 129: "v"},
        "A key has 1 to 256 octets.",
        "/data",
    ),
    "a key with a lone surrogate": (
        {"k\ud800": "v"},
        "A key or value is not valid Unicode.",
        "/data",
    ),
    "a number": ({"port": 5432}, "A value of the data is not a string.", "/data/port"),
    "a float": ({"rate": 1.0}, "A value of the data is not a string.", "/data/rate"),
    "a truth value": ({"tls": True}, "A value of the data is not a string.", "/data/tls"),
    "octets": ({"pw": b"pw"}, "A value of the data is not a string.", "/data/pw"),
    "a list within": ({"hosts": ["a"]}, "A value of the data is not a string.", "/data/hosts"),
    "a mapping within": ({"db": {"pw": "x"}}, "A value of the data is not a string.", "/data/db"),
    "a key to be escaped": ({"a/b~c": 1}, "A value of the data is not a string.", "/data/a~1b~0c"),
    "an escape in a key": ({"~1": 1}, "A value of the data is not a string.", "/data/~01"),
    "a value with a lone surrogate": (
        {"good": "v", "bad": "\udcff"},
        "A key or value is not valid Unicode.",
        "/data/bad",
    ),
}


# ---------------------------------------------------------------- data


@pytest.mark.parametrize("check", [check_data, check_patch])
@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_faithful_data_is_accepted(data, check):
    """What Vault gives back unchanged may be stored, up to the limits."""
    assert check(data) is None


@pytest.mark.parametrize("check", [check_data, check_patch])
@pytest.mark.parametrize(("data", "text", "pointer"), BAD.values(), ids=BAD)
def test_data_that_would_change_is_refused(data, text, pointer, check):
    """What Vault would alter or refuse is refused here, with a pointer to the place."""
    with pytest.raises(InvalidSecret) as caught:
        check(data)

    assert str(caught.value) == text
    assert caught.value.facts == {"pointer": pointer}


def test_none_is_no_value_of_data():
    """A value that is None is refused: only a patch removes."""
    with pytest.raises(InvalidSecret) as caught:
        check_data({"password": None})  # type: ignore[dict-item]  # the mistake under test

    assert caught.value.facts == {"pointer": "/data/password"}


def test_none_in_a_patch_removes():
    """A value that is None takes the key away (RFC 7396)."""
    assert check_patch({"password": None, "username": "gl"}) is None


@pytest.mark.parametrize("key", ["", "k" * 257])
def test_removed_key_must_be_one_that_can_be(key):
    """A patch names keys that data could have."""
    with pytest.raises(InvalidSecret, match="A key has 1 to 256 octets"):
        check_patch({key: None})


@pytest.mark.parametrize("check", [check_data, check_patch])
@pytest.mark.parametrize(
    "data",
    [
        {f"key{number}": "v" for number in range(257)},
        {"k": "v" * (FULL + 1)},
        {"k": "é" * (FULL // 2 + 1)},
        {"k": "\n" * (FULL // 2 + 1)},
        {f"key{number}": "v" * 4000 for number in range(200)},
    ],
    ids=["257 keys", "one octet over", "octets, not characters", "escapes count", "in sum"],
)
def test_too_much_data_is_refused(data, check):
    """More than 256 keys or 768 KiB of JSON is refused: raft would answer 500."""
    with pytest.raises(SecretTooLarge):
        check(data)


def test_limits_are_the_published_ones():
    """The documentation and the REST interface name these numbers."""
    assert MAX_JSON == 786_432
    assert MAX_KEYS == 256


# ---------------------------------------------------------------- custom metadata


@pytest.mark.parametrize(
    "custom",
    [
        {},
        {"owner": "payments"},
        {"k" * 128: "v" * 512},
        {"é" * 64: "é" * 256},
        {f"key{number}": "v" for number in range(63)},
        {"types": "a", "my_type": "b", "gls": "c", "GLS_x": "d", "Type": "e"},
    ],
    ids=["nothing", "one", "longest", "longest in octets", "63 keys", "names that merely resemble"],
)
def test_custom_metadata_within_the_limits_is_accepted(custom):
    """Up to 63 keys of 1 to 128 octets with values of 1 to 512 may be set."""
    assert check_custom_metadata(custom) is None


LENGTHS = "Custom metadata has keys of 1 to 128 and values of 1 to 512 octets."


@pytest.mark.parametrize(
    ("custom", "text"),
    [
        (None, "Custom metadata is a mapping of at most 63 keys."),
        ([("owner", "a")], "Custom metadata is a mapping of at most 63 keys."),
        (
            {f"key{number}": "v" for number in range(64)},
            "Custom metadata is a mapping of at most 63 keys.",
        ),
        ({1: "v"}, "Custom metadata maps strings to strings."),
        ({"owner": 1}, "Custom metadata maps strings to strings."),
        ({"owner": None}, "Custom metadata maps strings to strings."),
        ({"": "v"}, LENGTHS),
        ({"k" * 129: "v"}, LENGTHS),
        ({"é" * 65: "v"}, LENGTHS),
        ({"owner": ""}, LENGTHS),
        ({"owner": "v" * 513}, LENGTHS),
        ({"owner": "é" * 257}, LENGTHS),
        ({"owner": "\ud800"}, "A key or value is not valid Unicode."),
        ({"\ud800": "v"}, "A key or value is not valid Unicode."),
        ({"owner": "a\nb"}, "Custom metadata has printable keys and values."),
        ({"\u0088": "v"}, "Custom metadata has printable keys and values."),
        (
            {"type": "database"},
            "The custom metadata key 'type' is reserved; the type has a field of its own.",
        ),
        (
            {"gls_rotation": "v"},
            "The custom metadata key 'gls_rotation' is reserved; the type has a field of its own.",
        ),
    ],
)
def test_custom_metadata_outside_the_limits_is_refused(custom, text):
    """Vault's limits, and the keys that are ours, are known before anything is sent."""
    with pytest.raises(InvalidSecret) as caught:
        check_custom_metadata(custom)

    assert str(caught.value) == text
    assert caught.value.facts == {"pointer": "/custom_metadata"}


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize("version", [1, 2, 10, 10**6, 2**63 - 1])
def test_whole_number_from_one_is_a_version(version):
    """Versions count from 1."""
    assert check_version(version) is None


@pytest.mark.parametrize(
    "version", [0, -1, True, False, 1.0, "1", b"1", None, [1], float("nan"), float("inf")]
)
def test_anything_else_is_no_version(version):
    """0, -1 (the latest, for Vault), truth values and texts are refused."""
    with pytest.raises(InvalidVersion) as caught:
        check_version(version)

    assert str(caught.value) == "A version is a whole number, 1 or greater."


@pytest.mark.parametrize("version", [2**63, 10**5000], ids=["2^63", "10^5000"])
def test_number_beyond_vaults_own_is_no_version(version):
    """A number over 64 bits is refused here: OpenBao 2.7.2 answers 400, Python fails to write it."""
    with pytest.raises(InvalidVersion):
        check_version(version)


@pytest.mark.parametrize(
    "versions",
    [1, [1], (3, 1, 2), range(1, 101)],
    ids=["a number", "one", "in any order", "a hundred"],
)
def test_different_versions_are_accepted(versions):
    """1 to 100 different versions may be named at once."""
    named = (versions,) if versions == 1 else tuple(versions)

    assert check_versions(versions) == named


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        (None, "Versions are a list of whole numbers."),
        (0, "A version is a whole number, 1 or greater."),
        (True, "A version is a whole number, 1 or greater."),
        ("12", "Versions are a list of whole numbers."),
        ({1, 2}, "Versions are a list of whole numbers."),
        (iter([1]), "Versions are a list of whole numbers."),
        ([], "Name 1 to 100 versions, each once."),
        ([1, 1], "Name 1 to 100 versions, each once."),
        ([1, 2, 1], "Name 1 to 100 versions, each once."),
        (range(1, 102), "Name 1 to 100 versions, each once."),
        ([0], "A version is a whole number, 1 or greater."),
        ([1, -1], "A version is a whole number, 1 or greater."),
        ([1, "2"], "A version is a whole number, 1 or greater."),
        ([True], "A version is a whole number, 1 or greater."),
        ([[1]], "A version is a whole number, 1 or greater."),
    ],
    ids=str,
)
def test_other_versions_are_refused(versions, text):
    """No versions, too many, one twice or something that is none: refused before sending."""
    with pytest.raises(InvalidVersion) as caught:
        check_versions(versions)

    assert str(caught.value) == text


@pytest.mark.parametrize("versions", [b"\x01\x02", bytearray(b"\x01")])
def test_octets_are_no_list_of_versions(versions):
    """Octets look like a sequence of numbers to Python, and are not meant so by anybody."""
    with pytest.raises(InvalidVersion):
        check_versions(versions)
