"""Long parts of a task log, which Airflow's log view folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

SHOWN = 10
"""Lines that are always visible."""


def log_lines(write: Callable[..., object], title: str, lines: Sequence[str]) -> None:
    """Log lines below a title: the first ones in the open, so that a folded group never hides all of them.

    :param write: a method of a logger, such as ``log.warning``.
    :param title: the first line.
    :param lines: one line for each item.
    """
    write("%s", title)
    for line in lines[:SHOWN]:
        write("%s", line)
    if rest := lines[SHOWN:]:
        write("%s", f"::group::{len(rest):,} more")
        for line in rest:
            write("%s", line)
        write("::endgroup::")
