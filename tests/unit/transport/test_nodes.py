from __future__ import annotations

import pytest

from greenlang_secrets.transport.nodes import OPEN_FOR, SILENCES, Nodes

ADDRESSES = ("http://one:8200", "http://two:8200/", "https://three")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nodes(clock) -> Nodes:
    return Nodes(ADDRESSES, clock=clock)


# ---------------------------------------------------------------- order


def test_reads_stay_with_the_node_that_answers(nodes):
    """Without trouble the first address is asked, and the others are next in turn."""
    nodes.answered(2)

    assert nodes.order() == [0, 1, 2]
    assert (len(nodes), nodes.address(2)) == (3, "https://three")


def test_node_that_failed_is_passed_over(nodes):
    """After a failure that opens no circuit reads go to the next node, and stay there."""
    nodes.failed(0)
    nodes.failed(2)

    assert nodes.order() == [1, 2, 0]


def test_active_node_comes_first_when_wanted(nodes):
    """Where a read must be up to date the active node is asked first, if it is known."""
    assert nodes.order(active_first=True) == [0, 1, 2]

    nodes.active = 2

    assert nodes.order(active_first=True) == [2, 0, 1]
    assert nodes.order() == [0, 1, 2]


# ---------------------------------------------------------------- circuits


def test_unusable_node_is_asked_last_at_once(nodes):
    """A refused connection or a seal needs no second proof."""
    nodes.unusable(0)

    assert nodes.order() == [1, 2, 0]
    assert nodes.is_open(0)


def test_all_nodes_are_tried_though_all_circuits_are_open(nodes):
    """A circuit orders and never refuses."""
    for node in range(3):
        nodes.unusable(node)

    assert sorted(nodes.order()) == [0, 1, 2]


def test_few_silences_in_a_row_open_the_circuit(nodes):
    """One silence may be chance; an answer in between begins the count anew."""
    for _ in range(SILENCES - 1):
        nodes.silent(0)
    nodes.answered(0)
    for _ in range(SILENCES - 1):
        nodes.silent(0)
    assert not nodes.is_open(0)

    nodes.silent(0)

    assert nodes.is_open(0)


def test_circuit_lets_one_trial_in(nodes, clock):
    """After its time one attempt may go there, and the others stay away meanwhile."""
    nodes.unusable(0)
    clock.now += OPEN_FOR

    assert nodes.order() == [0, 1, 2]
    nodes.begin(0)
    assert nodes.order() == [1, 2, 0]


def test_trial_that_succeeds_closes_the_circuit(nodes, clock):
    """An answer ends the exile at once."""
    nodes.unusable(0)
    clock.now += OPEN_FOR
    nodes.begin(0)

    nodes.answered(0)

    assert nodes.order() == [0, 1, 2]


def test_trial_that_fails_begins_the_exile_anew(nodes, clock):
    """One more silence is enough for a node on trial."""
    nodes.unusable(0)
    clock.now += OPEN_FOR
    nodes.begin(0)
    clock.now += OPEN_FOR / 2

    nodes.silent(0)
    clock.now += OPEN_FOR / 2

    assert nodes.is_open(0)


def test_reads_move_to_a_node_that_answers(nodes, clock):
    """A preferred node with an open circuit loses its place to the one that answered, for good."""
    nodes.unusable(0)
    nodes.answered(1)
    clock.now += OPEN_FOR

    assert nodes.order() == [1, 2, 0]


def test_opening_is_told_once(nodes):
    """Who waits for a node hears of the moment its circuit opens, and of no further failure."""
    heard = []
    nodes.on_open = heard.append

    nodes.unusable(1)
    nodes.unusable(1)

    assert heard == [1]


# ---------------------------------------------------------------- writes


def test_single_address_always_takes_the_writes(clock):
    """With one address there is nothing to find out."""
    nodes = Nodes(ADDRESSES[:1], clock=clock)
    nodes.lost(0)

    assert nodes.writer == 0


def test_active_node_takes_the_writes_and_else_one_that_passed_them_on(nodes):
    """A standby that passes writes on will do, until the active node is known."""
    assert nodes.writer is None

    nodes.accepted(1)
    assert nodes.writer == 1

    nodes.active = 2
    nodes.accepted(1)
    assert nodes.writer == 2


@pytest.mark.parametrize("end", ["lost", "unusable"])
def test_node_that_takes_no_writes_is_forgotten(nodes, end):
    """Neither as the active one nor as one that passes on is it used any more."""
    nodes.accepted(1)
    nodes.active = 1

    getattr(nodes, end)(1)

    assert (nodes.active, nodes.writer) == (None, None)


@pytest.mark.parametrize(
    ("location", "active"),
    [
        ("http://two:8200/v1/secret/data/x", 1),
        ("HTTP://TWO:8200/v1/secret/data/x", 1),
        ("https://three:443/v1/x", 2),
        ("https://three/v1/x", 2),
        ("http://three/v1/x", None),
        ("http://two:8201/v1/x", None),
        ("http://elsewhere:8200/v1/x", None),
        ("http://two:8200.elsewhere/v1/x", None),
        ("//two:8200/v1/x", None),
        ("/v1/x", None),
        ("http://[two", None),
        ("", None),
    ],
)
def test_address_in_a_redirect_counts_if_it_is_ours(nodes, location, active):
    """Scheme, host and port must be those of a configured address; anything else is ignored."""
    nodes.named(location)

    assert nodes.active == active


def test_dead_leader_is_not_believed_in_again(nodes):
    """For seconds after a crash standbys name the dead one."""
    nodes.unusable(1)

    nodes.named("http://two:8200/v1/x")

    assert nodes.active is None


# ---------------------------------------------------------------- what metrics show


def test_name_is_host_and_port():
    """The port that the scheme implies is named; nothing else of the address is."""
    addresses = ("http://one:8200/", "https://two", "http://[::1]:8200", "http://user:pw@four:1")
    nodes = Nodes(addresses, clock=lambda: 0.0)

    assert [nodes.name(node) for node in range(4)] == [
        "one:8200",
        "two:443",
        "[::1]:8200",
        "four:1",
    ]


def test_address_that_is_none_has_a_name_all_the_same():
    """A metric is no reason to fail; the first request will say what is wrong."""
    assert Nodes(("nonsense",), clock=lambda: 0.0).name(0) == "invalid"


def test_circuits_are_told_until_a_node_answers(nodes, clock):
    """One in its trial has not closed."""
    nodes.unusable(1)
    clock.now += OPEN_FOR
    before = nodes.circuits()
    nodes.answered(1)

    assert before == {"one:8200": False, "two:8200": True, "three:443": False}
    assert nodes.circuits() == {"one:8200": False, "two:8200": False, "three:443": False}


def test_reads_that_go_over_to_another_node_are_counted(nodes):
    """Once for each time that another one is preferred, and not for failures elsewhere."""
    nodes.failed(2)
    assert nodes.failovers == 0

    nodes.failed(0)
    nodes.unusable(1)
    nodes.answered(2)

    assert nodes.failovers == 2


def test_another_active_node_is_counted(nodes):
    """The first one that is found is none, and neither is the same one found again."""
    nodes.active = 0
    nodes.lost(0)
    nodes.active = 0
    assert nodes.failovers == 0

    nodes.active = 1

    assert nodes.failovers == 1
    assert nodes.active == 1


def test_single_address_never_fails_over(clock):
    """There is nowhere to go."""
    nodes = Nodes(ADDRESSES[:1], clock=clock)
    nodes.failed(0)
    nodes.unusable(0)

    assert nodes.failovers == 0
