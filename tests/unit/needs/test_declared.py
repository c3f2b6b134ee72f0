from __future__ import annotations

import pytest

import greenlang_secrets as gs


class Base(gs.Needs):
    stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")


class Needs(Base):
    limits: gs.Secret = gs.need("limits")


def test_a_class_has_the_needs_of_its_bases() -> None:
    """What a base declares comes first, and a base gets nothing of those below it."""
    assert list(Needs.declared) == ["stripe", "limits"]
    assert list(Base.declared) == ["stripe"]
    assert list(gs.Needs.declared) == []
    assert Needs.declared["stripe"].path == "api-keys/stripe"
    assert Needs.declared["stripe"].field == "key"


def test_a_class_of_two_bases_has_the_needs_of_both() -> None:
    """A mix of classes loses nothing, and what it declares itself counts instead of theirs."""

    class Other(gs.Needs):
        session: gs.Secret = gs.need("auth/session")

    class Both(Base, Other):
        stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key_id")

    assert {name: (each.path, each.field) for name, each in Both.declared.items()} == {
        "session": ("auth/session", None),
        "stripe": ("api-keys/stripe", "key_id"),
    }


@pytest.mark.parametrize("name", ["load", "hold", "declared"])
def test_a_need_does_not_hide_what_every_class_has(name: str) -> None:
    """A class that could not be loaded any more is refused where it is made."""
    with pytest.raises(TypeError, match=name):
        type("Hiding", (gs.Needs,), {name: gs.need("a")})


def test_a_test_gives_the_values_by_name() -> None:
    """Without Vault an instance is made of values, each by its name, and shows none of them."""
    needs = Base(stripe=gs.SecretValue("canary"))

    assert needs.stripe.reveal() == "canary"
    assert repr(needs) == "<Base stripe>"
    assert repr(Base.declared["stripe"]) == "<Need api-keys/stripe>"


@pytest.mark.parametrize("values", [{}, {"stripe": 1}, {"stripe": 1, "limits": 2, "more": 3}])
def test_values_that_do_not_fit_are_refused(values: dict[str, object]) -> None:
    """One that is not given, and one that is not declared, are both told."""
    with pytest.raises(TypeError, match=r"limits|more"):
        Needs(**values)  # type: ignore[arg-type]


def test_a_need_is_not_set() -> None:
    """What was loaded is not replaced by hand."""
    needs = Base(stripe=gs.SecretValue("a"))

    with pytest.raises(AttributeError, match="stripe is loaded"):
        needs.stripe = gs.SecretValue("b")  # type: ignore[misc]


def test_a_path_outside_the_grammar_is_refused_where_it_is_declared() -> None:
    """A wrong path fails at import, not at the start of the service."""
    with pytest.raises(gs.InvalidPath):
        gs.need("a//b")


def test_a_class_that_no_type_has_is_refused() -> None:
    """Only what `get_typed` knows may be asked for."""
    with pytest.raises(gs.InvalidRequest, match="is one of"):
        gs.need("a", gs.Secret)  # type: ignore[type-var]


def test_a_class_and_a_field_are_not_both_given() -> None:
    """A field is a value, so it has no class."""
    with pytest.raises(gs.InvalidRequest, match="not both"):
        gs.need("a", gs.ApiKey, field="key")  # type: ignore[call-overload]


@pytest.mark.parametrize("field", ["", "a b", 'a"', "ä", "a" * 254])
def test_a_field_that_kubernetes_does_not_take_is_refused(field: str) -> None:
    """A field is a key of a Kubernetes Secret, too, and stands in templates as it is."""
    with pytest.raises(gs.InvalidRequest, match="A field is"):
        gs.need("a", field=field)
