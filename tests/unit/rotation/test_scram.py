"""The verifier is that of the RFC's own example, and shows no password."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from greenlang_secrets.rotation.scram import scram_verifier
from greenlang_secrets.sensitive import SecretValue

# RFC 7677 §3: the example's salt, what both sides sign, the client's proof, the server's answer.
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
SIGNED = (
    "n=user,r=rOprNGfwEbeRWgbNEkqO,"
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
ANSWER = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_example_of_the_rfc() -> None:
    """Whoever has the verifier can check the example's proof, and give the example's answer."""
    verifier = scram_verifier(SecretValue("pencil"), salt=base64.b64decode(SALT)).reveal()

    name, iterations_and_salt, keys = verifier.split("$")
    stored_key, server_key = map(base64.b64decode, keys.split(":"))
    assert (name, iterations_and_salt) == ("SCRAM-SHA-256", f"4096:{SALT}")
    signature = hmac.digest(stored_key, SIGNED.encode(), "sha256")
    proof = base64.b64decode(PROOF)
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key
    answer = hmac.digest(server_key, SIGNED.encode(), "sha256")
    assert base64.b64encode(answer).decode() == ANSWER


def test_two_verifiers_of_one_password_differ() -> None:
    """Each has a salt of its own."""
    password = SecretValue("pencil")

    assert scram_verifier(password) != scram_verifier(password)


def test_verifier_does_not_show_itself() -> None:
    """It is a value as the password is."""
    assert repr(scram_verifier(SecretValue("pencil"))) == "SecretValue('**********')"


@pytest.mark.parametrize("password", ["", "pässword", "pass\nword"])
def test_password_that_would_have_to_be_prepared_is_refused(password: str) -> None:
    """Characters that SASLprep may change are refused, and none stands in the text."""
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        scram_verifier(SecretValue(password))

    assert not password or password not in str(caught.value)
