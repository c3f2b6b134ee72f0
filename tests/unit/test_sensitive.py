from __future__ import annotations

import asyncio
import base64
import copy
import dataclasses
import gc
import io
import json
import logging
import pickle
import pprint
import reprlib
import string
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import rich
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from greenlang_secrets.credentials import (
    ApiKey,
    DatabaseCredentials,
    EncryptionKey,
    RedisCredentials,
    ServiceToken,
    TlsCertificate,
)
from greenlang_secrets.leases import HeldLease, Leased
from greenlang_secrets.leases.leased import Entry
from greenlang_secrets.lifetime import Term
from greenlang_secrets.model import Secret, SecretType
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets.sensitive import MASK, SecretMap, SecretValue
from greenlang_secrets.vault.auth import VaultToken
from greenlang_secrets.vault.live_token import LiveToken
from greenlang_secrets.vault.transit import Transit
from support.canary import new_canary, shown_in


@dataclass
class Leaky:
    """The control: what everybody writes at first, a plain dataclass with the text in it."""

    text: str

    def __iter__(self) -> Iterator[str]:
        return iter(self.text)


def as_secret(text: str) -> Secret:
    return Secret(
        path="database/postgresql",
        version=3,
        data=SecretMap({"username": "gl", "password": text}),
        type=SecretType.DATABASE,
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
        custom_metadata={"owner": "payments"},
    )


ENDLESS = Term(granted_at=0.0, duration=1e9, wanted=1e9, renewable=True)


def as_key(text: str) -> EncryptionKey:
    """A key whose way to Vault holds a token."""

    async def call(_: object) -> str:
        return text

    return EncryptionKey("pii", transit=Transit(call), scope=PLATFORM)


def as_live(text: str) -> LiveToken:
    made = VaultToken(
        value=SecretValue(text),
        accessor="a",
        term=ENDLESS,
        ours=True,
        limited=False,
        has_default=True,
    )
    return LiveToken(made, made_at=0.0, unused=lambda _: None)


def as_leased(text: str) -> Leased[DatabaseCredentials]:
    password = SecretValue(text)
    return Leased(
        value=DatabaseCredentials(username="gl", password=password),
        known_by=password,
        term=ENDLESS,
        lease_id="database/creds/app/1",
    )


def as_entry(text: str) -> Entry[DatabaseCredentials]:
    """One that has replaced another, and hangs on a token, which shows nothing either."""

    async def fetch(_: object) -> Leased[DatabaseCredentials]:
        return as_leased(text)

    entry = Entry("app", fetch, lambda: 0.0)
    for _ in range(2):
        entry.adopt(as_leased(text), as_live(text))
    return entry


def as_held_lease(text: str) -> HeldLease[DatabaseCredentials]:
    entry = as_entry(text)

    async def nothing() -> None: ...

    owner: Any = None  # it is asked for nothing here
    return HeldLease(
        look=entry.look,
        changes=entry.changes,
        supervisor=owner,
        release=nothing,
        refresh=nothing,
    )


GUARDED: dict[str, Callable[[str], object]] = {
    "SecretValue": SecretValue,
    "SecretMap": lambda text: SecretMap({"password": text}),
    "Secret": as_secret,
    "DatabaseCredentials": lambda text: DatabaseCredentials(
        username="gl", password=SecretValue(text), host="db"
    ),
    "a DSN": lambda text: DatabaseCredentials(
        username="gl", password=SecretValue(text), host="db"
    ).dsn(),
    "RedisCredentials": lambda text: RedisCredentials(host="db", password=SecretValue(text)),
    "ApiKey": lambda text: ApiKey(value=SecretValue(text)),
    "ServiceToken": lambda text: ServiceToken(value=SecretValue(text)),
    "TlsCertificate": lambda text: TlsCertificate(
        certificate="C", private_key=SecretValue(text), not_after=datetime(2030, 1, 1, tzinfo=UTC)
    ),
    "EncryptionKey": lambda text: [as_key(text), SecretValue(text)],
    "list": lambda text: [SecretValue(text)],
    "dict": lambda text: {"password": SecretValue(text)},
    "nested": lambda text: {"secrets": (as_secret(text), SecretMap({"password": text}))},
}


@pytest.fixture
def canary() -> str:
    return new_canary()


# ---------------------------------------------------------------- the ways out
#
# Each takes something that holds a canary and returns the text, or octets, that a log, a
# terminal or a file would get. What is refused with a TypeError is shown as a traceback.


def raised_by(do: Callable[[], object]) -> BaseException:
    try:
        do()
    except (RuntimeError, KeyError) as error:
        return error
    pytest.fail("nothing was raised")


def failing_with(held: object) -> BaseException:
    """An exception with `held` in its text, its arguments, its notes and its frames."""

    def fail() -> None:
        kept = [held]
        error = RuntimeError(f"lost {held!r}", kept)
        error.add_note(f"it was {held}")
        raise error

    return raised_by(fail)


def with_locals(error: BaseException) -> str:
    lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    return "".join(lines)


def rich_output(*things: object) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(*things)
    return console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO


def rich_inspected(held: object) -> str:
    console = Console(file=io.StringIO(), width=300)
    rich.inspect(held, console=console, methods=True, help=True, value=True)
    return console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO


def rich_traceback(held: object) -> str:
    error = failing_with(held)
    return rich_output(
        Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_string=None
        )
    )


class AsJson(logging.Formatter):
    """A formatter as services write it: the whole record as JSON, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(vars(record), message=record.getMessage())
        if record.exc_info:
            fields["exc_text"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=repr)


class WithLocals(logging.Formatter):
    """A formatter that shows the local variables of every frame."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's own name
        return with_locals(ei[1])


FORMATTERS: dict[str, Callable[[], logging.Formatter]] = {
    "percent": lambda: logging.Formatter("%(message)s %(held)s"),
    "brace": lambda: logging.Formatter("{message} {held!r} {held!s:>40}", style="{"),
    "dollar": lambda: logging.Formatter("$message ${held}", style="$"),
    "json": AsJson,
    "locals": WithLocals,
}


def unwatched_logger(handler: logging.Handler) -> logging.Logger:
    """A logger outside logging's tree, so that pytest's own handlers format nothing of it."""
    log = logging.Logger("canary", logging.DEBUG)  # noqa: LOG001  # outside the tree on purpose
    log.addHandler(handler)
    return log


def logged(make_formatter: Callable[[], logging.Formatter], held: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(make_formatter())
    log = unwatched_logger(handler)
    log.info("plain %s %r", held, held, extra={"held": held})
    log.info(held, extra={"held": held})
    try:
        raise failing_with(held)
    except RuntimeError:
        log.exception("failed", extra={"held": held})
    return stream.getvalue()


def mislogged(held: object, capsys: pytest.CaptureFixture[str]) -> str:
    """What logging itself prints when the format does not fit the arguments."""
    log = unwatched_logger(logging.StreamHandler(io.StringIO()))
    log.info("no %s room %s", held)  # noqa: PLE1206  # the mistake under test
    return capsys.readouterr().err


def warned(held: object) -> str:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn(f"about {held}", stacklevel=1)
        warnings.warn(UserWarning(held), stacklevel=1)
    texts = [str(one.message) + repr(one.message) + str(one) for one in seen]
    return "".join(
        texts + [warnings.formatwarning(one.message, UserWarning, "f", 1) for one in seen]
    )


def in_tasks(held: object) -> str:
    """The reprs of a task, a future and handles in debug mode, and the loop's own report."""
    shown: list[str] = []

    async def hold(kept: object) -> object:
        shown.append(repr(asyncio.current_task()))
        return kept

    async def fail(kept: object) -> object:
        raise RuntimeError(kept)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: shown.append(repr(context)))
        shown.append(repr(loop.call_later(60, print, held)))
        task = loop.create_task(hold(held))
        shown.append(repr(task))
        await task
        shown.append(repr(task))
        failing = loop.create_task(fail(held))
        await asyncio.wait([failing])
        shown.append(repr(failing))
        del failing  # now the loop reports an exception that nobody took
        gc.collect()

    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return "\n".join(shown)


def asserted(held: object) -> str:
    """What pytest prints of a failed comparison."""

    def compare() -> None:
        assert held == "something else"

    return str(raised_by_assertion(compare))


def raised_by_assertion(do: Callable[[], object]) -> AssertionError:
    with pytest.raises(AssertionError) as caught:
        do()
    return caught.value


def printed(held: object) -> str:
    stream = io.StringIO()
    print(held, [held], file=stream)
    return stream.getvalue()


def pickled_parts(held: object) -> bytes:
    """What a file holds after pickling to it, be it refused on the way."""
    file = io.BytesIO()
    try:
        pickle.dump(held, file)
    except TypeError as error:
        file.write(with_locals(error).encode())
    return file.getvalue()


WAYS: dict[str, Callable[[Any], str | bytes]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": format,
    "f-string": lambda held: f"{held}",
    "f-string, self-documenting": lambda held: f"{held=}",
    "f-string, !r and !a": lambda held: f"{held!r} {held!a}",
    "%s": lambda held: "%s" % (held,),  # noqa: UP031  # the way under test
    "%r": lambda held: "%r" % (held,),  # noqa: UP031  # the way under test
    "%.60s": lambda held: "%.60s" % (held,),  # noqa: UP031  # the way under test
    "str.format": lambda held: f"{held} {held!r} {held}",
    "string.Template": lambda held: string.Template("$held").substitute(held=held),
    "print": printed,
    "pprint": pprint.pformat,
    "reprlib": lambda held: reprlib.repr(held) + reprlib.repr([held]),
    "exception text": lambda held: str(failing_with(held)) + repr(failing_with(held)),
    "exception note": lambda held: str(failing_with(held).__notes__),
    "traceback": lambda held: "".join(traceback.format_exception(failing_with(held))),
    "traceback with locals": lambda held: with_locals(failing_with(held)),
    "rich.print": rich_output,
    "rich pretty": pretty_repr,
    "rich inspect": rich_inspected,
    "rich traceback with locals": rich_traceback,
    "json, default=repr": lambda held: json.dumps(held, default=repr),
    "json, default=str": lambda held: json.dumps(held, default=str),
    "json, default=vars": lambda held: json.dumps(held, default=vars),
    "json, default=asdict": lambda held: json.dumps(held, default=dataclasses.asdict),
    "json, default=list": lambda held: json.dumps(held, default="".join),
    "asdict": lambda held: repr(dataclasses.asdict(held)),
    "astuple": lambda held: repr(dataclasses.astuple(held)),
    "vars": lambda held: repr(vars(held)),
    "iteration": lambda held: "".join(map(str, held)),
    "copy": lambda held: repr(copy.copy(held)) + repr(pickled_parts(copy.copy(held))),
    "deepcopy": lambda held: repr(copy.deepcopy(held)),
    **{
        f"pickle, protocol {protocol}": lambda held, protocol=protocol: pickle.dumps(held, protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "pickle, written so far": pickled_parts,
    "warnings": warned,
    "asyncio": in_tasks,
    "failed assertion": asserted,
    **{
        f"logging, {name}": lambda held, formatter=formatter: logged(formatter, held)
        for name, formatter in FORMATTERS.items()
    },
}


def sent(way: Callable[[Any], str | bytes], held: object) -> str | bytes:
    try:
        return way(held)
    except (TypeError, ValueError) as error:
        return with_locals(error) + "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize("guard", GUARDED.values(), ids=GUARDED)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_value_does_not_come_out(way, guard, canary):
    """No ordinary way to show, log or store an object shows a value it guards."""
    output = sent(way, guard(canary))

    assert output
    assert shown_in(output, canary) is None


HOLDING: dict[str, Callable[[str], object]] = {
    "VaultToken": lambda text: VaultToken(
        value=SecretValue(text),
        accessor="a",
        term=ENDLESS,
        ours=True,
        limited=False,
        has_default=True,
    ),
    "LiveToken": as_live,
    "Leased": as_leased,
    "Ending": lambda text: as_entry(text).endings[0],
    "Entry": as_entry,
    "HeldLease": as_held_lease,
}
SHOWING = {
    name: way
    for name, way in WAYS.items()
    # With closures in them they cannot be copied or pickled, whatever they hold.
    if not name.startswith(("copy", "deepcopy", "pickle", "as"))
}


@pytest.mark.parametrize("holding", HOLDING.values(), ids=HOLDING)
@pytest.mark.parametrize("way", SHOWING.values(), ids=SHOWING)
def test_value_does_not_come_out_of_what_holds_it(way, holding, canary):
    """Tokens in use, leases and handles show no value either."""
    output = sent(way, holding(canary))

    assert output
    assert shown_in(output, canary) is None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_control_comes_out(way, canary):
    """The search is no formality: each of the same ways shows a plain dataclass's text."""
    assert shown_in(sent(way, Leaky(canary)), canary) is not None


@pytest.mark.parametrize("guard", GUARDED.values(), ids=GUARDED)
def test_value_does_not_come_out_of_a_log_call_gone_wrong(guard, canary, capsys):
    """When a format and its arguments do not fit, logging prints the arguments: masked."""
    output = mislogged(guard(canary), capsys)

    assert "Logging error" in output
    assert MASK in output
    assert shown_in(output, canary) is None


def test_control_comes_out_of_a_log_call_gone_wrong(canary, capsys):
    """The same call shows a plain dataclass's text."""
    assert shown_in(mislogged(Leaky(canary), capsys), canary) is not None


# ---------------------------------------------------------------- the search itself


DISGUISES: dict[str, Callable[[str], str | bytes]] = {
    "raw": str,
    "within a line": lambda text: f"password={text}; user=gl",
    "octets": lambda text: b"\x80\x04" + text.encode() + b".",
    "first 12": lambda text: f"starts with {text[:12]}...",
    "last 12": lambda text: f"... ends with {text[-12:]}",
    "reversed": lambda text: text[::-1],
    "reversed piece": lambda text: text[5:17][::-1],
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, one off": lambda text: base64.b64encode(b":" + text.encode()),
    "base64, two off": lambda text: base64.b64encode(b"u:" + text.encode() + b"\n").decode(),
    "base64, URL alphabet": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, piece": lambda text: base64.b64encode(text[3:15].encode()).decode(),
    "URL-encoded": lambda text: quote(text, safe=""),
    "URL-encoded, every octet": lambda text: "".join(f"%{octet:02x}" for octet in text.encode()),
    "JSON-escaped": json.dumps,
    "JSON-escaped, piece": lambda text: json.dumps(text[10:24]),
    "repr": repr,
    "repr of octets": lambda text: repr(text.encode()),
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_search_sees_through_a_disguise(disguise, canary):
    """`shown_in` finds a canary, or 12 characters of it, in every disguise it promises."""
    assert shown_in(disguise(canary), canary) is not None


@pytest.mark.parametrize(
    "innocent",
    [
        lambda text: "",
        lambda text: MASK,
        lambda text: text[:11],
        lambda text: f"{text[:11]} {text[11:22]}",
        lambda text: new_canary(),
        lambda text: f"{len(text)} characters, {text[0]}...{text[-1]}",
    ],
    ids=["nothing", "mask", "11 characters", "pieces of 11", "another canary", "a description"],
)
def test_search_raises_no_false_alarm(innocent, canary):
    """Fewer than 12 characters in a row are not a leak, and another canary is another."""
    assert shown_in(innocent(canary), canary) is None


def test_short_canary_is_searched_whole():
    """A value shorter than 12 characters is found as it is."""
    assert shown_in("the password is hunter2", "hunter2") == "raw"
    assert shown_in("the password is hunter", "hunter2") is None


def test_search_names_the_disguise(canary):
    """A failing leak test says how the value was shown."""
    assert shown_in(canary.encode().hex(), canary) == "hex"
    assert shown_in(canary[::-1], canary) == "reversed raw"


# ---------------------------------------------------------------- what is shown instead


def test_value_is_shown_as_a_mask():
    """A value of any length is shown as the same ten asterisks."""
    for value in (SecretValue(""), SecretValue("a"), SecretValue("a" * 100)):
        assert str(value) == "**********"
        assert repr(value) == "SecretValue('**********')"


def test_map_is_shown_with_its_key_names():
    """The names of the keys may be seen, their values not."""
    data = SecretMap({"username": "gl", "password": "pw"})

    assert str(data) == "**********"
    assert repr(data) == "SecretMap({'username': '**********', 'password': '**********'})"
    assert repr(SecretMap({})) == "SecretMap({})"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", "**********"),
        ("s", "**********"),
        (">12", "  **********"),
        ("_^14", "__**********__"),
        (".3", "***"),
    ],
)
@pytest.mark.parametrize("held", [SecretValue("pw"), SecretMap({"k": "pw"})], ids=type)
def test_format_spec_is_applied_to_the_mask(held, spec, expected):
    """Widths and alignments work, on the mask."""
    assert format(held, spec) == expected


@pytest.mark.parametrize("spec", ["d", "x", ".2f", "%Y"])
@pytest.mark.parametrize("held", [SecretValue("12"), SecretMap({"k": "12"})], ids=type)
def test_format_spec_for_numbers_is_refused(held, spec):
    """A value is no number, not even if it looks like one."""
    with pytest.raises(ValueError, match="format"):
        format(held, spec)


def test_key_of_a_map_in_a_format_is_masked(canary):
    """`"{0[password]}"` and `"%(password)s"` reach the value's mask and not its text."""
    data = SecretMap({"password": canary})

    assert f"{data['password']}" == "**********"  # the way under test
    assert "%(password)s" % data == "**********"  # noqa: UP031  # the same


def test_missing_key_shows_names_only(canary):
    """The message of a missing key names it and the keys there are, no value."""
    data = SecretMap({"password": canary, "user": canary})

    error = raised_by(lambda: data["pasword"])

    assert error.args == ("no key 'pasword' in this secret; it has: password, user",)
    assert error.__suppress_context__
    assert shown_in(with_locals(error), canary) is None


def test_missing_key_of_an_empty_map_says_so():
    """An empty secret has no names to offer."""
    error = raised_by(lambda: SecretMap({})["password"])

    assert error.args == ("no key 'password' in this secret; it has: none",)


# ---------------------------------------------------------------- what is refused


REFUSED: dict[str, Callable[[Any], object]] = {
    "json.dumps": json.dumps,
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "vars": vars,
    "iter": iter,
    "list": list,
    "tuple": tuple,
    "set": set,
    "sorted": sorted,
    "unpacking": lambda held: [*held],
    "bytes": bytes,
    "hash": hash,
    "asdict": dataclasses.asdict,
    "next": next,
    "__getstate__": lambda held: held.__getstate__(),
    "__reduce__": lambda held: held.__reduce__(),
    **{
        f"pickle.dumps, protocol {protocol}": lambda held, protocol=protocol: pickle.dumps(
            held, protocol
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("held", [SecretValue("pw"), SecretMap({"k": "pw"})], ids=type)
def test_guarded_value_refuses(held, refused):
    """What would make a second, unguarded copy of a value is a TypeError."""
    with pytest.raises(TypeError):
        refused(held)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("held", [SecretValue("pw"), SecretMap({"k": "pw"})], ids=type)
def test_refusal_to_pickle_says_what_to_do(held, protocol):
    """Who pickles by mistake, through multiprocessing say, is told the way."""
    with pytest.raises(TypeError) as caught:
        pickle.dumps(held, protocol)

    assert str(caught.value) == (
        f"{type(held).__name__} is not copied or serialised; use .reveal()"
    )


@pytest.mark.parametrize(
    "refused",
    [
        json.dumps,
        copy.copy,
        copy.deepcopy,
        vars,
        iter,
        list,
        dict,
        dataclasses.asdict,
        dataclasses.astuple,
        *(
            lambda held, protocol=protocol: pickle.dumps(held, protocol)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_whole_secret_refuses(refused):
    """A `Secret` cannot be pickled, copied, iterated or made a dict of."""
    with pytest.raises(TypeError):
        refused(as_secret("pw"))


@pytest.mark.parametrize("held", [SecretValue("pw"), SecretMap({"k": "pw"})], ids=type)
def test_guarded_value_cannot_be_changed(held):
    """A value shared between callers stays as it is: nothing is set, added or deleted."""
    name = type(held).__slots__[0]

    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(held, name, "other")
    with pytest.raises(AttributeError, match="cannot be changed"):
        held.note = "new"
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(held, name)
    assert held.reveal() in ("pw", {"k": "pw"})


@pytest.mark.parametrize(
    ("made", "kind"), [(b"pw", "bytes"), (12, "int"), (None, "NoneType"), (["pw"], "list")]
)
def test_value_holds_text_only(made, kind):
    """What is not a str is refused, named by its type and not by its content."""
    with pytest.raises(TypeError) as caught:
        SecretValue(made)

    assert str(caught.value) == f"a SecretValue holds a str, not {kind}"


@pytest.mark.parametrize("held", [SecretValue("pw"), SecretMap({"k": "pw"})], ids=type)
def test_membership_test_cannot_guess(held):
    """`"p" in value` is no oracle: it is refused, or about key names alone."""
    if isinstance(held, SecretMap):
        assert "pw" not in held
        assert "k" in held
    else:
        with pytest.raises(TypeError):
            "p" in held  # noqa: B015  # the test is that it raises


# ---------------------------------------------------------------- what works


def test_reveal_gives_the_text():
    """`reveal()` is the way to the text."""
    assert SecretValue("pä\n'\"").reveal() == "pä\n'\""


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("pw", "pw", True),
        ("pw", "pW", False),
        ("pw", "pw2", False),
        ("", "", True),
        ("pä", "pä", True),
        ("pä", "pa", False),
        ("\ud800", "\ud800", True),
        ("\ud800", "\ud801", False),
    ],
)
def test_values_are_equal_if_their_texts_are(left, right, expected):
    """Equality compares texts of any characters, even those that are not valid Unicode."""
    assert (SecretValue(left) == SecretValue(right)) is expected
    assert (SecretValue(left) != SecretValue(right)) is not expected


@pytest.mark.parametrize("other", ["pw", b"pw", None, SecretMap({"k": "pw"})])
def test_value_equals_no_plain_text(other):
    """A guarded value is equal to guarded values only, on either side."""
    assert SecretValue("pw") != other
    assert other != SecretValue("pw")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({}, {}, True),
        ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, True),
        ({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, False),
        ({"a": "1", "b": "2"}, {"a": "3", "b": "2"}, False),
        ({"a": "1"}, {"b": "1"}, False),
        ({"a": "1"}, {"a": "1", "b": "2"}, False),
    ],
)
def test_maps_are_equal_if_keys_and_texts_are(left, right, expected):
    """Two maps are equal if every key and every text is."""
    assert (SecretMap(left) == SecretMap(right)) is expected


@pytest.mark.parametrize("other", [{"k": "pw"}, None, SecretValue("pw")])
def test_map_equals_no_plain_dict(other):
    """A map is equal to maps only."""
    assert SecretMap({"k": "pw"}) != other


@pytest.mark.parametrize(("text", "expected"), [("", False), (" ", True), ("0", True)])
def test_value_is_true_unless_empty(text, expected):
    """`if value:` asks whether there is a text."""
    assert bool(SecretValue(text)) is expected


def test_value_can_be_weakly_referenced():
    """Caches may hold values without keeping them alive."""
    value = SecretValue("pw")

    assert weakref.ref(value)() is value


def test_map_gives_guarded_values():
    """A map answers with values that guard themselves, made from texts or taken as they are."""
    guarded = SecretValue("pw")

    data = SecretMap({"username": "gl", "password": guarded})

    assert data["username"] == SecretValue("gl")
    assert data["password"] is guarded
    assert data.get("password") is guarded
    assert data.get("port") is None


def test_map_tells_its_keys():
    """Names, number and membership of keys are open."""
    data = SecretMap({"username": "gl", "password": "pw"})

    assert list(data.keys()) == ["username", "password"]
    assert len(data) == 2
    assert "password" in data
    assert "port" not in data


def test_revealed_map_is_a_new_dict():
    """Changing what `reveal()` gave does not change the map."""
    data = SecretMap({"password": "pw"})

    data.reveal()["password"] = "other"

    assert data.reveal() == {"password": "pw"}


def test_map_does_not_follow_its_source():
    """Changing the dict a map was made of does not change the map."""
    source = {"password": "pw"}
    data = SecretMap(source)

    source["password"] = "other"

    assert data.reveal() == {"password": "pw"}


def test_selection_has_only_these_keys():
    """`select` gives a map of the named keys."""
    data = SecretMap({"host": "db", "username": "gl", "password": "pw"})

    assert data.select(["password", "host"]).reveal() == {"password": "pw", "host": "db"}


def test_selection_of_a_missing_key_is_refused():
    """`select` does not quietly give less than was asked for."""
    with pytest.raises(KeyError, match="no key 'port' in this secret; it has: host"):
        SecretMap({"host": "db"}).select(["host", "port"])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, 0),
        ({"password": "pw"}, 10),
        ({"a": "1", "b": "22"}, 5),
        ({"straße": "ü"}, 9),
        ({"k": "😀"}, 5),
    ],
)
def test_size_counts_octets(data, expected):
    """The size that bounds the cache is in octets of UTF-8, not in characters."""
    assert SecretMap(data).size == expected
