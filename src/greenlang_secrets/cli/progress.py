"""How far long work is: on stderr, if that is a terminal, and nowhere else."""

# ruff: noqa: PLC0415  rich is 50 ms that a pipe does not need

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["counting", "stepping"]


@contextmanager
def counting(*, quiet: bool) -> Iterator[Callable[[str, int], None]]:
    """Yield what is told a name and how many there are by now, for work without a known end."""
    if quiet or not sys.stderr.isatty():
        yield lambda _name, _count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(name: str, count: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.update(tasks[name], completed=count)

        yield on_progress


@contextmanager
def stepping(steps: Sequence[str], *, quiet: bool) -> Iterator[Callable[[str, str], None]]:
    """Yield what is told a step and its moment: before, after, waiting or failed. Steps that are
    not among `steps` are not shown.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _step, _when: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(steps[0], total=len(steps))

        def on_step(step: str, when: str) -> None:
            if step not in steps:
                return
            done = steps.index(step) + (when == "after")
            shown = f"{step} failed" if when == "failed" else step
            progress.update(task, description=shown, completed=done)

        yield on_step
