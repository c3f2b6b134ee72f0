from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

from greenlang_secrets.identifiers import new_id


def test_id_is_32_hexadecimal_digits():
    """Whether it is the first of a handful or a later one."""
    assert all(re.fullmatch("[0-9a-f]{32}", new_id()) for _ in range(200))


def test_no_two_threads_get_the_same_id():
    """10,000 ids of eight threads are 10,000."""
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: new_id(), range(10_000)))

    assert len(set(found)) == 10_000


def test_forked_process_gets_ids_of_its_own():
    """What is at hand at the fork is given out by one of the two."""
    new_id()  # there are some at hand now
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  # its coverage ends with it
        os.write(writing, "".join(new_id() for _ in range(32)).encode())
        os._exit(0)
    os.close(writing)
    theirs = os.read(reading, 4096).decode()
    os.close(reading)
    os.waitpid(child, 0)

    ours = {new_id() for _ in range(64)}

    assert len(theirs) == 32 * 32
    assert ours.isdisjoint(theirs[at : at + 32] for at in range(0, len(theirs), 32))
