from __future__ import annotations

import pytest

from greenlang_secrets.cache_entries import CacheKey, Entry
from greenlang_secrets.cache_store import Store

FOR_EVER = float("inf")


def entry(value: str = "v1", *, size: int = 1, used: bool = False) -> Entry[str]:
    made: Entry[str] = Entry(asked_at=0.0)
    made.value, made.size, made.used = value, size, used
    made.refresh_at = made.fresh_until = FOR_EVER
    return made


def key(path: str, *, scope: str = "", version: int | None = None) -> CacheKey:
    return (scope, path, version)


@pytest.fixture
def store() -> Store[str]:
    return Store(max_entries=100, max_octets=1000)


def test_newest_version_is_on_its_scopes_shelf(store):
    """What is on it is the entry itself, by the path alone; pinned versions are not there."""
    newest = entry()
    store.insert(key("a", scope="acme"), newest)
    store.insert(key("a", scope="acme", version=1), entry("v0"))
    store.insert(key("b", scope="globex"), entry())

    assert dict(store.shelf("acme")) == {"a": newest}
    assert store.shelf("acme")["a"] is store.at_hand(key("a", scope="acme"))


def test_scope_without_entries_has_an_empty_shelf_of_its_own(store):
    """Looking leaves nothing behind, and what one puts on an empty shelf no other scope finds."""
    shelf = store.shelf("acme")
    assert shelf == {}

    store.insert(key("a", scope="acme"), entry())

    assert shelf == {}
    assert store.shelf("globex") == {}
    assert list(store.shelf("acme")) == ["a"]


def test_dropped_entry_is_gone_from_a_shelf_that_somebody_holds(store):
    """The dictionary is the same one: a view that was made before does not give it out."""
    store.insert(key("a"), entry())
    store.insert(key("b"), entry())
    shelf = store.shelf("")

    store.drop(key("a"))
    assert list(shelf) == ["b"]
    store.drop(key("b"))

    assert list(shelf) == []
    assert (len(store), store.octets) == (0, 0)


@pytest.mark.parametrize("empty", [Store.overtake_all, Store.clear])
def test_everything_is_gone_from_a_shelf_that_somebody_holds(store, empty):
    """Neither what was overtaken nor what was forgotten is taken for fresh."""
    store.insert(key("a"), entry())
    shelf = store.shelf("")

    empty(store)

    assert shelf == {}


def test_overtaken_entry_is_on_its_shelf_again_and_not_fresh(store):
    """Who asks for it has it back, to be given as stale."""
    store.insert(key("a"), entry())
    store.overtake_all()

    assert store.at_hand(key("a")) is None
    found = store.find(key("a"))

    assert found is not None
    assert (found.refresh_at, found.fresh_until) == (0.0, 0.0)
    assert store.shelf("")["a"] is found
    assert len(store) == 1


def test_overtaken_entry_that_was_not_asked_for_is_dropped(store):
    """It has left its shelf already, and the shelf may be another one by now."""
    store.insert(key("a"), entry())
    store.overtake_all()
    store.insert(key("b"), entry())

    store.drop(key("a"))

    assert list(store.shelf("")) == ["b"]
    store.overtake_all()
    store.drop(key("b"))
    assert len(store) == 0


def test_keys_of_a_path_are_its_newest_and_pinned_versions(store):
    """Other paths and scopes have none of them, and neither has what was dropped."""
    for version in (None, 1, 2):
        store.insert(key("a", version=version), entry())
    store.insert(key("a", scope="acme", version=3), entry())

    assert set(store.keys("", "a")) == {key("a"), key("a", version=1), key("a", version=2)}
    store.drop(key("a", version=1))
    assert set(store.keys("", "a")) == {key("a"), key("a", version=2)}
    store.drop(key("a", version=2))
    assert set(store.keys("", "a")) == {key("a")}


def test_entry_in_use_is_passed_over_once(store):
    """What is there for longest goes, unless it was read since the last time it was looked at."""
    store = Store(max_entries=2, max_octets=1000)
    store.insert(key("a"), entry(used=True))
    store.insert(key("b"), entry())
    store.insert(key("c"), entry())
    assert (store.at_hand(key("a")) is not None, store.at_hand(key("b"))) == (True, None)

    store.insert(key("d"), entry())
    store.insert(key("e"), entry())

    assert [name for name in "abcde" if store.at_hand(key(name))] == ["d", "e"]
    assert store.evictions == 3


def test_one_eviction_passes_over_64_entries_at_most():
    """With everything in use somebody has to go, and the loop is not kept for long."""
    store: Store[str] = Store(max_entries=100, max_octets=1000)
    for number in range(100):
        store.insert(key(f"s{number}"), entry(used=True))

    store.insert(key("one more"), entry(used=True))

    assert len(store) == 100
    assert store.at_hand(key("s64")) is None
    assert store.at_hand(key("s0")) is not None
