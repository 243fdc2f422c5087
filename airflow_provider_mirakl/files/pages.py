"""The pages of a listing, stored one by one, so that a retry continues with the next page.

A page is a file next to the note with its checksum. A page that is missing or was changed is never read: the listing
would be incomplete without any sign of it.
"""

from __future__ import annotations

import itertools
from zlib import crc32

from airflow_provider_mirakl.exceptions import MiraklNoteError
from airflow_provider_mirakl.files.storage import StoragePath, remove, write_bytes


class Pages:
    """The stored pages of a listing.

    :param folder: their folder; created with the first page.
    """

    def __init__(self, folder: StoragePath) -> None:
        self._folder = folder

    def path(self, number: int) -> StoragePath:
        """The path of a page, from 0."""
        return self._folder / f"page-{number:06d}.ndjson"

    def keep(self, number: int, rows: bytes) -> int:
        """Write a page, or replace it, and return its checksum.

        :param rows: lines, each terminated.
        """
        write_bytes(self.path(number), rows)
        return crc32(rows)

    def add(self, checksums: list[int], rows: bytes) -> bool:
        """Write the next page and note its checksum, unless it is the last one once more: a token may lead to it again.

        :param checksums: of the pages so far.
        :param rows: lines, each terminated.
        :return: whether the page is new.
        """
        checksum = self.keep(len(checksums), rows)
        if rows and checksums[-1:] == [checksum]:
            return False
        checksums.append(checksum)
        return True

    def read(self, number: int, checksum: int) -> bytes:
        """The rows of a page.

        :param checksum: as :meth:`keep` returned it.
        :raises MiraklNoteError: the page is missing, or was changed after it was written.
        """
        path = self.path(number)
        try:
            rows = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise self._damaged(path, "is missing") from None
        if crc32(rows) != checksum:
            raise self._damaged(path, "was changed after it was written")
        return rows

    def forget(self) -> None:
        """Remove every page."""
        for number in itertools.count():
            path = self.path(number)
            if not path.exists():
                break
            remove(path)

    def _damaged(self, path: StoragePath, reason: str) -> MiraklNoteError:
        return MiraklNoteError(
            f"{path}, a page of the listing, {reason}. A retry reads the listing again. Check that every worker "
            "can access [mirakl] work_folder.",
            path=str(path),
        )
