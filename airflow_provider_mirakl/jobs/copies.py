"""The copy of a task's input, which a later process sends: it must be what the task checked."""

from __future__ import annotations

from airflow_provider_mirakl.exceptions import MiraklNoteError
from airflow_provider_mirakl.files.sealed import Stamp, stamp_of
from airflow_provider_mirakl.files.storage import StoragePath


def check_copy(copy: StoragePath, noted: Stamp | None) -> None:
    """Compare a copy with what was noted of it.

    :param copy: the copy.
    :param noted: its stamp; ``None`` if the version before made it.
    :raises MiraklNoteError: it was changed, or a folder is in its place.
    :raises FileNotFoundError: it is missing.
    """
    if copy.is_dir() or noted not in (None, stamp_of(copy)):
        raise changed_copy(copy)


def changed_copy(copy: StoragePath) -> MiraklNoteError:
    """The error of a copy that is not as it was written."""
    return MiraklNoteError(
        f"{copy}, the copy of the source that is sent, was changed after it was written. Remove it: a retry copies the "
        "source again and sends the rest, and a cleared task sends all of it.",
        path=str(copy),
    )
