from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    ObjectNotFound,
    VaultProtocolError,
    VaultRefused,
)
from greenlang_secrets.model import Lease
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import VaultResponse
from greenlang_secrets.vault.answers import (
    Fields,
    accepted,
    given,
    lease_of,
    names_of,
    plain,
    read_object,
    ttl_text,
    warnings_of,
    why_refused,
)
from support.canary import new_canary, shown_in
from support.mounts import answering

PATH = ApiPath.of("transit", "keys", "k")


def response(status: int, **body: object) -> VaultResponse:
    return VaultResponse(status=status, body=body, asked_at=0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 1),
        ("secret", ""),
        ("whole", True),
        ("whole", 1.5),
        ("seconds", "60"),
        ("flag", 1),
        ("texts", "a"),
        ("texts", [1]),
        ("moment", "yesterday"),
        ("moment", True),
        ("moment", 10**30),
        ("moment", None),
        ("part", []),
        ("rows", {}),
        ("rows", [1]),
    ],
)
def test_field_of_another_type_is_a_protocol_error(name, value):
    """A field of another type is VaultProtocolError, without the value in it or behind it."""
    with pytest.raises(VaultProtocolError) as caught:
        getattr(Fields({"f": value}), name)("f")
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "absent"),
    [("text", "x"), ("whole", 7), ("seconds", 7), ("flag", False), ("texts", ())],
)
@pytest.mark.parametrize("values", [{}, {"f": None}])
def test_absent_field_has_its_default_or_is_a_protocol_error(name, absent, values):
    """A missing or null field is the default where there is one, and an error otherwise."""
    read = getattr(Fields(values), name)

    assert read("f", absent=absent) == absent
    with pytest.raises(VaultProtocolError):
        read("f")


def test_default_does_not_hide_a_wrong_type():
    """A default stands for an absent field, not for a strange one."""
    for name, absent in (("text", ""), ("whole", 0), ("flag", False), ("texts", ())):
        with pytest.raises(VaultProtocolError):
            getattr(Fields({"f": {}}), name)("f", absent=absent)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-24T04:41:55.05144262Z", datetime(2026, 11, 24, 4, 41, 55, 51442, UTC)),
        ("2026-11-24T05:41:55+01:00", datetime(2026, 11, 24, 4, 41, 55, 0, UTC)),
        (1795495352, datetime(2026, 11, 24, 4, 42, 32, 0, UTC)),
    ],
)
def test_moments_are_read_however_vault_writes_them(value, moment):
    """RFC 3339 with any fraction or offset, and seconds since the epoch."""
    assert Fields({"t": value}).moment("t") == moment


@pytest.mark.parametrize("value", [None, "", 0])
def test_empty_moment_is_none(value):
    """Vault writes "never" in three ways."""
    assert Fields({"t": value}).moment_or_none("t") is None


def test_fields_show_no_value():
    """Neither the repr of an object nor that of its masked form shows what is in it."""
    canary = new_canary()
    fields = Fields({"password": canary, "list": [canary]})

    assert shown_in(repr(fields) + repr(fields.masked()), canary) is None
    assert fields.masked()["list"].reveal() == json.dumps([canary], ensure_ascii=False)


def test_choice_and_names_that_are_numbers_are_strict():
    """A text outside the choices, and a name that is no number, are protocol errors."""
    fields = Fields({"type": "c", "1": 2})

    assert fields.choice("type", ("b", "c")) == "c"
    assert fields.number_in_name("1") == 1
    with pytest.raises(VaultProtocolError):
        fields.choice("type", ("a", "b"))
    for name in ("v1", "", "²"):
        with pytest.raises(VaultProtocolError):
            fields.number_in_name(name)


def test_only_an_object_has_fields():
    """Anything but a JSON object is a protocol error."""
    for value in (None, [], "x", 1):
        with pytest.raises(VaultProtocolError):
            Fields(value)


def test_status_becomes_an_error():
    """403 is AccessDenied, another refusal VaultRefused with its status."""
    assert list(accepted(response(200, data={"a": 1}))) == ["a"]
    with pytest.raises(AccessDenied):
        accepted(response(403))
    with pytest.raises(VaultRefused) as caught:
        accepted(response(412, errors=["secret words"]))
    assert caught.value.status == 412
    assert "secret words" not in str(caught.value)


def test_names_are_sorted_and_an_empty_404_is_none_of_them():
    """A LIST's 404 is an empty listing, unless it says that the mount is wrong."""
    assert names_of(response(200, data={"keys": ["b", "a"]})) == ("a", "b")
    assert names_of(response(404, errors=[])) == ()
    for answer in (response(404, errors=["no handler"]), response(404, warnings=["use data/"])):
        with pytest.raises(VaultRefused):
            names_of(answer)
    with pytest.raises(VaultProtocolError):
        names_of(response(200, data={}))


def test_lease_stands_beside_the_data():
    """A lease is read from the envelope, strictly."""
    answer = response(200, lease_id="a/b", lease_duration=60, renewable=True)

    assert lease_of(answer) == Lease(id="a/b", duration=60.0, renewable=True)
    with pytest.raises(VaultProtocolError):
        lease_of(response(200, lease_id="a/b", lease_duration="60", renewable=True))


def test_warnings_may_be_absent():
    """Vault writes null where there are no warnings."""
    assert warnings_of(response(200, warnings=None)) == ()
    assert warnings_of(response(200, warnings=["capped"])) == ("capped",)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, None), (0.0, "0s"), (0.2, "1s"), (3600.0, "3600s"), (7_776_000.0, "7776000s")],
)
def test_durations_are_whole_seconds(seconds, text):
    """A duration is never written with an exponent or a fraction, and never rounded to 0."""
    assert ttl_text(seconds) == text


def test_body_has_what_was_given():
    """None leaves a field to Vault; False, 0 and empty are given."""
    assert given(a=None, b=False, c=0, d="") == {"b": False, "c": 0, "d": ""}
    assert (plain(SecretValue("x")), plain(3)) == ("x", 3)


async def test_object_is_missing_only_where_vault_says_so():
    """An empty 404 is ObjectNotFound; one about the mount is VaultRefused."""
    async with answering((404, b'{"errors":[]}')) as call:
        with pytest.raises(ObjectNotFound):
            await read_object(call, PATH, "key")
    async with answering((404, b'{"errors":["no handler for route"]}')) as call:
        with pytest.raises(VaultRefused):
            await read_object(call, PATH, "key")


async def test_refusal_is_explained_by_the_object_and_not_by_the_text():
    """A 400 is ObjectNotFound if the object is missing, whatever the words; else VaultRefused."""
    refused = response(400, errors=["unknown role: x"])
    async with answering((404, b'{"errors":[]}')) as call:
        missing = await why_refused(call, refused, PATH, "key")
    async with answering((200, b'{"data":{}}')) as call:
        there = await why_refused(call, refused, PATH, "key")
        denied = await why_refused(call, response(403), PATH, "key")

    assert isinstance(missing, ObjectNotFound)
    assert isinstance(there, VaultRefused)
    assert isinstance(denied, AccessDenied)
