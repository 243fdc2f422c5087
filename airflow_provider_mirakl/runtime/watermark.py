"""Up to when an export has delivered what changed, kept from run to run in a small text file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_mirakl.exceptions import MiraklConfigurationError

if TYPE_CHECKING:
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.runtime.task_run import TaskRun


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to when an export has delivered everything.

    :param until: that moment.
    :param run: the task instance that moved it there; ``None`` where a person wrote the file.
    :param begin: where its window began. A retry begins there again: the target it writes replaces the first one.
    """

    until: datetime
    run: str | None = None
    begin: datetime | None = None

    def since(self, run: str, overlap: timedelta) -> datetime | None:
        """Where the window of a task instance begins."""
        return self.begin if run == self.run else self.until - overlap

    def save(self, path: StoragePath) -> None:
        """Write the file: the moment, and in a second line which task instance moved it."""
        from airflow_provider_mirakl.files.storage import write_bytes

        began = None if self.begin is None else self.begin.isoformat()
        note = json.dumps({"run": self.run, "since": began}, ensure_ascii=False)
        write_bytes(path, f"{self.until.isoformat()}\n{note}\n".encode())

    @classmethod
    def load(cls, path: StoragePath) -> Watermark | None:
        """The watermark in a file; ``None`` where there is no file.

        :raises MiraklConfigurationError: it cannot be read. To begin anew would export everything.
        """
        try:
            moment, _, note = path.read_bytes().decode().strip().partition("\n")
            until = _moment(moment.strip())
            kept = json.loads(note) if note else {}
            begin = kept.get("since")
            return cls(until, kept.get("run"), None if begin is None else _moment(begin))
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError, TypeError):
            raise MiraklConfigurationError(
                f"watermark: {path} cannot be read; leave only its first line in it, a date-time such as "
                "2026-01-31T10:00:00Z, or remove it to export everything",
                field="watermark",
            ) from None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def watermark_path(run: TaskRun, given: str | None) -> StoragePath:
    """The file of a task's watermark.

    :param given: as the operator has it; default one in the folder that all runs of the task share.
    """
    from airflow_provider_mirakl.files.paths import storage_path

    if given is not None:
        return storage_path(given)
    folder = run.lasting_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / (f"watermark-{run.map_index}.txt" if run.is_mapped else "watermark.txt")
