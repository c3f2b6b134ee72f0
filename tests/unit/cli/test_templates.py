"""Templates of ``run``, without a Vault."""

from __future__ import annotations

import click
import pytest

import greenlang_secrets as gs
from greenlang_secrets.cli.fields import Reference
from greenlang_secrets.cli.templates import Template

VALUES = {Reference("a/b", "k"): 'x"y/é\n', Reference("c", "d.e"): "z"}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ secret a/b#k }}", 'x"y/é\n'),
        ("{{secret a/b#k}}{{ secret   c#d.e   }}", 'x"y/é\nz'),
        ("{{ secret a/b#k | json }}", '"x\\"y/é\\n"'),
        ("{{ secret a/b#k|url }}", "x%22y%2F%C3%A9%0A"),
        ("{{ other }} {% x %} ${y} {{ secrets }}", "{{ other }} {% x %} ${y} {{ secrets }}"),
        ("", ""),
    ],
)
def test_a_reference_is_replaced_and_nothing_else(text, rendered):
    """Values come as they are, or quoted as asked for; braces of others are left alone."""
    assert Template.parse("t", text).render(VALUES) == rendered


def test_a_value_is_no_template():
    """What a secret holds is not looked into."""
    template = Template.parse("t", "{{ secret c#d.e }}")

    assert template.render({Reference("c", "d.e"): "{{ secret a/b#k }}"}) == "{{ secret a/b#k }}"


def test_references_are_listed():
    """Every value that is asked for, as often as it stands there."""
    template = Template.parse("t", "{{ secret c#d.e }} {{ secret c#d.e | url }}")

    assert template.references == (Reference("c", "d.e"), Reference("c", "d.e"))


@pytest.mark.parametrize(
    "text",
    [
        "\n{{ secret }}",
        "\n{{ secret a }}",
        "\n{{ secret a#b c }}",
        "\n{{ secret a#b | upper }}",
        "\n{{ secret a#b",
        "\n{{- secret a#b }}",
        '\n{{ secret "a" "b" }}',
    ],
)
def test_what_begins_like_a_reference_must_be_one(text):
    """It would else be left in the file, as if nothing was wrong; the line is named."""
    with pytest.raises(click.UsageError, match=r"Line 2 of 't'"):
        Template.parse("t", text)


def test_a_path_outside_the_grammar_is_refused():
    """As everywhere, and before anything is asked."""
    with pytest.raises(gs.InvalidPath):
        Template.parse("t", "{{ secret a//b#k }}")
