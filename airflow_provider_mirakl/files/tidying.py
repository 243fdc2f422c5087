"""Finds old files in the work folder.

The work folder contains four kinds of files. Only the first two are ever removed:

====================================  ================================================================
``<dag>/<task>/<run>``                plans, copies, reports, rejects and outcomes of one run of a task
folders named in :data:`CLAIMS`       notes about which task sent something
files in ``<dag>/<task>``             watermarks, which every run of a task shares
the other folders of :data:`SHARED`   data that tasks share: states, positions, cached answers
====================================  ================================================================
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any, cast

from airflow_provider_mirakl.files.paths import is_local
from airflow_provider_mirakl.files.storage import StoragePath

log = logging.getLogger(__name__)

SHARED = frozenset({"actions", "platform", "state", "submitted", "watches", "watermarks"})
"""Folders in the work folder that belong to no Dag. A Dag of the same name is not tidied."""
CLAIMS = ("actions", "submitted")
"""Folders whose notes say which task sent an action or submitted a job, so that no other task takes it for its own."""
LAST_FILE = "cleaned"
"""File in the work folder, and next to the runs of a task, with the time of the last check."""
DAY = 86_400.0
CLAIMED = 30 * DAY
"""Seconds for which such a note is kept at least, longer than a task looks for what it may have sent."""


@dataclass(frozen=True, slots=True)
class OldRun:
    """The folder of a run without recent writes.

    :param path: the folder.
    :param written: time of the last write, in seconds since the epoch.
    :param size: bytes of its files.
    """

    path: StoragePath
    written: float
    size: int

    def remove(self) -> None:
        """Remove the folder and its content."""
        if isinstance(self.path, Path) and is_local(self.path):
            rmtree(self.path)
        else:
            cast("Any", self.path).rmdir(recursive=True)


def old_runs(
    work_folder: StoragePath, before: float, is_needed: Callable[[str, str, str], bool]
) -> Iterator[OldRun]:
    """The folders of runs without writes since a given time.

    :param work_folder: the common folder.
    :param before: that time, in seconds since the epoch.
    :param is_needed: whether a run may still need its folder, by the names of the folders of its Dag, task and run.
    """
    for dag in _folders(work_folder):
        if dag.name not in SHARED:
            for task in _folders(dag):
                yield from old_runs_of(task, before, partial(is_needed, dag.name, task.name))


def old_runs_of(task: StoragePath, before: float, is_needed: Callable[[str], bool]) -> Iterator[OldRun]:
    """The same for the folder of one task."""
    for run in _folders(task):
        if is_needed(run.name):
            continue
        written, size = 0.0, 0
        for file in _files(run):
            with suppress(FileNotFoundError):
                found = file.stat()
                written, size = max(written, float(found.st_mtime)), size + int(found.st_size)
        if written and written < before:
            yield OldRun(run, written, size)


def old_claims(work_folder: StoragePath, before: float) -> Iterator[StoragePath]:
    """The notes in the folders of :data:`CLAIMS` that are no longer needed.

    :param work_folder: the common folder.
    :param before: only notes from before this time, in seconds since the epoch, and older than :data:`CLAIMED`.
    """
    before = min(before, time.time() - CLAIMED)
    for name in CLAIMS:
        for file in _files(work_folder / name):
            with suppress(FileNotFoundError):
                if file.name.endswith(".json") and float(file.stat().st_mtime) < before:
                    yield file


def work_folder_within(folder: StoragePath) -> StoragePath | None:
    """A work folder in a folder, which therefore is none.

    In the folder around the right one, states would look like runs, and be removed.
    """
    return next((inner for inner in _folders(folder) if (inner / LAST_FILE).exists()), None)


def remove_claim(file: StoragePath) -> None:
    """Remove a note, and its folder if nothing else is in it. On object storage a folder is gone with its last file."""
    with suppress(FileNotFoundError):
        file.unlink()
    if isinstance(file, Path) and is_local(file):
        with suppress(OSError):  # it is not empty
            file.parent.rmdir()


def _folders(folder: StoragePath) -> list[StoragePath]:
    """The subfolders of a folder, without links."""
    try:
        found = sorted(folder.iterdir(), key=lambda path: path.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for path in found if path.is_dir() and not _is_link(path)]


def _files(folder: StoragePath) -> Iterator[StoragePath]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            if _is_link(path):
                continue
            if path.is_dir():
                yield from _files(path)
            else:
                yield path


def _is_link(path: StoragePath) -> bool:
    return isinstance(path, Path) and is_local(path) and path.is_symlink()
