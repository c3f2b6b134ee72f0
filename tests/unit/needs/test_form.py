from __future__ import annotations

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.needs.form import Form


def test_a_form_is_read_from_the_line_it_prints() -> None:
    """The head of a file gives back all that it was printed with."""
    form = Form(
        artefact="external-secret",
        source="shop.orders.needs:Needs",
        name="orders",
        namespace="shop",
        kv_mount="kv",
        store="SecretStore/vault",
        refresh="1m",
    )

    assert form.head == (
        "# Printed by: greenlang-secrets needs shop.orders.needs:Needs --external-secret "
        "--name orders --namespace shop --kv-mount kv --store SecretStore/vault --refresh 1m"
    )
    assert Form.of(form.head) == form


def test_what_is_usual_is_left_out() -> None:
    """A short command is enough, and the name is the module's first part."""
    form = Form(artefact="policy", source="my_shop.needs:Needs")

    assert form.name == "my-shop"
    assert form.command == "greenlang-secrets needs my_shop.needs:Needs --policy"
    assert Form.of(form.head) == form


@pytest.mark.parametrize("line", ["", "apiVersion: v1", "# Printed by: somebody else"])
def test_another_line_is_no_form(line: str) -> None:
    """Files of others are left alone."""
    assert Form.of(line) is None


@pytest.mark.parametrize(
    "words",
    [
        "",
        "a:B",
        "a:B --fly",
        "a:B --policy --name",
        "a:B --policy --fly x",
        "a:B --policy 'x",
        "a.B --policy",
        "a:B --policy --name X_Y",
        "a:B --policy --namespace '*'",
        "a:B --policy --kv-mount a//b",
        "a:B --policy --store Secret/x",
        "a:B --policy --refresh soon",
    ],
)
def test_a_line_that_is_no_command_is_refused(words: str) -> None:
    """A head that was edited is told, and never guessed at."""
    with pytest.raises(ConfigurationError):
        Form.of(f"# Printed by: greenlang-secrets needs {words}")
