from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.errors import InvalidRequest, VaultProtocolError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.transit_values import (
    AssociatedData,
    CiphertextItem,
    Encrypted,
    Plaintext,
    PlaintextItem,
    Signature,
    bound_to,
    encrypting_body,
    key_version_of,
    rewrapping_body,
)
from support.canary import new_canary, shown_in

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1).map(tuple)


@given(TEXTS, TEXTS)
def test_other_parts_are_other_associated_data(first, second):
    """No two lists of parts are bound to the same, however their texts join."""
    assert (bound_to(*first) == bound_to(*second)) == (first == second)


@given(TEXTS)
def test_associated_data_are_base64_of_the_parts(parts):
    """Another program can make the same: a JSON list without spaces, in base64."""
    assert tuple(json.loads(base64.b64decode(bound_to(*parts), validate=True))) == parts


def test_associated_data_are_the_same_for_ever():
    """What was bound years ago must still decrypt: the form is fixed."""
    assert bound_to("tenant", "ä/1") == "WyJ0ZW5hbnQiLCLDpC8xIl0="


@pytest.mark.parametrize("parts", [(), ("a", 1), (None,), ("\ud800",)])
def test_parts_that_cannot_be_bound_are_refused(parts):
    """Nothing, other types and lone surrogates are InvalidRequest."""
    with pytest.raises(InvalidRequest):
        bound_to(*parts)


@given(st.binary())
def test_any_octets_survive(octets):
    """Plaintext gives back the octets it was made of."""
    assert Plaintext.of(octets).reveal() == octets
    assert Plaintext.parsed(base64.b64encode(octets).decode()).reveal() == octets


def test_text_survives_and_stays_masked():
    """A text goes in as UTF-8 and comes out masked; octets that are no text come out as None."""
    assert Plaintext.of_text("ü").reveal() == b"\xc3\xbc"
    assert Plaintext.of_text(SecretValue("ü")).text() == SecretValue("ü")
    assert Plaintext.of(b"\xff").text() is None


@pytest.mark.parametrize("mask", [str, SecretValue])
def test_text_that_utf8_cannot_hold_is_refused_without_it(mask):
    """A lone surrogate is an error of the caller's, and the error does not carry the text."""
    canary = new_canary()

    with pytest.raises(InvalidRequest, match="lone surrogate") as caught:
        Plaintext.of_text(mask(f"{canary}\ud800"))

    assert caught.value.__context__ is None
    assert shown_in(repr(caught.value), canary) is None


def test_plaintext_does_not_show_itself():
    """The repr of a plaintext, and of an item with it, shows nothing of it."""
    canary = new_canary()
    item = PlaintextItem(Plaintext.of_text(canary))

    assert shown_in(repr(item), canary) is None


@pytest.mark.parametrize("encoded", [None, 1, "%%%", "YQ", "Y Q=="])
def test_plaintext_that_is_no_base64_is_a_protocol_error(encoded):
    """What Vault cannot have answered is noticed when it is parsed, and not repeated."""
    with pytest.raises(VaultProtocolError) as caught:
        Plaintext.parsed(encoded)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("vault:v1:AA==", 1),
        ("vault:v12:-_8=", 12),
        ("vault:v0:AA==", None),
        ("vault:v01:AA==", None),
        ("vault:v1:", None),
        ("vault:v1:AA==\n", None),
        (" vault:v1:AA==", None),
        ("vault:v1:A A", None),
        ("", None),
    ],
)
def test_key_version_is_read_strictly(text, version):
    """Only the exact form of a ciphertext names a version."""
    assert key_version_of(text) == version


def test_answer_without_its_form_is_a_protocol_error():
    """A ciphertext or signature of another form is not handed on."""
    assert Encrypted.parsed("vault:v3:AA==").key_version == 3
    for kind in (Encrypted, Signature):
        with pytest.raises(VaultProtocolError):
            kind.parsed("AA==")


def test_associated_data_by_hand_are_checked():
    """Text that is not base64 is refused before it is sent; none at all is left out."""
    item = PlaintextItem(Plaintext.of(b"x"), associated_data=AssociatedData("tenant"))
    with pytest.raises(InvalidRequest):
        encrypting_body(PlaintextItem(item.plaintext, associated_data=AssociatedData("%")))
    assert encrypting_body(PlaintextItem(item.plaintext)) == {"plaintext": "eA=="}


def test_bound_ciphertext_is_not_rewrapped():
    """Vault would fail at it, so it is refused here, with what to do instead."""
    with pytest.raises(InvalidRequest, match="decrypt and encrypt"):
        rewrapping_body(CiphertextItem("vault:v1:AA==", associated_data=bound_to("a")))
