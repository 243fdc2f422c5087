"""Reads an untrusted ZIP archive.

The whole archive is checked before the first byte is unpacked, and declared sizes are checked again while unpacking.
Rejected are names that leave the folder, absolute names, drive letters, links, devices, names that a file system may
treat as equal, encrypted entries, entries that overlap, and bombs by number, size or ratio.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_mirakl.exceptions import MiraklReplyError
from airflow_provider_mirakl.shops.names import folded

BLOCK = 1 << 20
ENTRY_BYTES = 1024
"""Average bytes per file in an archive's list of files, which is read into memory."""
SHOWN = 20
"""Number of problems in a message."""

_DRIVE = re.compile(r"[A-Za-z]:")
_UNIX = 3
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER = 30
_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_END_64 = struct.Struct("<4sQ2H2L4Q")
_END_64_MARK = b"PK\x06\x06"
_END_64_LOCATOR = 20


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """The limits of a download.

    :param max_files: number of files in one archive.
    :param max_file_bytes: size of one file, unpacked.
    :param max_total_bytes: size of all files of one archive, unpacked; and of the archive itself.
    :param max_ratio: unpacked size by packed size of one file. Checked from 1 MiB on: small files of one repeated
        character reach high ratios without being an attack.
    :param max_depth: folders in which a file may lie: one for each shop, by default.
    """

    max_files: int = 1_000
    max_file_bytes: int = 1 << 30
    max_total_bytes: int = 4 << 30
    max_ratio: float = 200.0
    max_depth: int = 1


DEFAULT_LIMITS = ArchiveLimits()


class ArchiveRefusedError(MiraklReplyError):
    """An archive is rejected. Nothing of it was used.

    :param problems: every problem found.
    """

    def __init__(self, problems: list[str]) -> None:
        shown = "; ".join(problems[:SHOWN])
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        super().__init__(f"The archive was rejected: {shown}{more}", operation="download", status=200)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    :param folder: its folder, which Mirakl names after the shop; empty at the top.
    :param name: its name in the archive. Not safe as a path.
    :param size: its declared size, which unpacking enforces.
    """

    folder: str
    name: str
    size: int
    _info: zipfile.ZipInfo


class Archive:
    """An archive that has passed every check.

    :param members: its files, in the order of the archive.
    """

    def __init__(self, packed: zipfile.ZipFile, members: list[Member]) -> None:
        self._packed = packed
        self.members = members

    def read(self, member: Member) -> Iterator[bytes]:
        """A member's content, in pieces.

        :raises ArchiveRefusedError: it differs from its declaration.
        """
        size = 0
        try:
            with self._packed.open(member._info) as file:
                while piece := file.read(BLOCK):
                    size += len(piece)
                    yield piece
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,
            NotImplementedError,
            OSError,
            ValueError,  # such as a local header with a name that is not UTF-8
        ) as error:
            raise ArchiveRefusedError([f"{member.name!r} cannot be unpacked ({error})"]) from None
        if size != member.size:
            raise ArchiveRefusedError(
                [f"{member.name!r} has {size:,} bytes, not {member.size:,} as declared"]
            )


@contextmanager
def opened(file: BinaryIO, limits: ArchiveLimits = DEFAULT_LIMITS) -> Iterator[Archive]:
    """Open an archive for reading.

    :param file: a seekable file.
    :param limits: the accepted sizes.
    :raises ArchiveRefusedError: it is rejected; every problem is listed, and nothing was unpacked.
    """
    try:
        size = _directory_size(file)
        if size > limits.max_files * ENTRY_BYTES:
            raise ArchiveRefusedError(
                [f"its list of files has {size:,} bytes; {limits.max_files:,} files are allowed"]
            )
        packed = zipfile.ZipFile(file)
    except (
        struct.error,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        ValueError,
        EOFError,
        OSError,
        NotImplementedError,
    ) as error:
        raise ArchiveRefusedError([f"it is not a valid ZIP file ({error})"]) from None
    with packed:
        entries = packed.infolist()
        problems = _faults(entries, limits)
        if problems:
            raise ArchiveRefusedError(problems)
        yield Archive(packed, [_member(entry) for entry in entries if not _is_folder(entry)])


def _directory_size(file: BinaryIO) -> int:
    """The size of the list of files, from the archive's last record; 0 without one."""
    length = file.seek(0, io.SEEK_END)
    tail_at = max(0, length - _END.size - 0xFFFF)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(_END_MARK)
    if at < 0:
        return 0
    size: int = _END.unpack_from(tail, at)[5]
    large_at = tail_at + at - _END_64_LOCATOR - _END_64.size
    if large_at >= 0:
        file.seek(large_at)
        record = file.read(_END_64.size)
        if record.startswith(_END_64_MARK):
            size = _END_64.unpack(record)[8]
    return size


def _faults(entries: list[zipfile.ZipInfo], limits: ArchiveLimits) -> list[str]:
    if len(entries) > limits.max_files:
        # Do not check them one by one: their number is the problem.
        return [f"it contains {len(entries):,} entries; {limits.max_files:,} are allowed"]
    problems = [f"{entry.filename!r} {fault}" for entry in entries for fault in _faults_of(entry, limits)]
    counts = Counter(folded(entry.filename) for entry in entries)
    problems += [f"a name occurs {count} times: {name!r}" for name, count in counts.items() if count > 1]
    total = sum(entry.file_size for entry in entries)
    if total > limits.max_total_bytes:
        problems.append(f"it unpacks to {total:,} bytes; {limits.max_total_bytes:,} are allowed")
    return problems + _overlaps(entries)


def _faults_of(entry: zipfile.ZipInfo, limits: ArchiveLimits) -> list[str]:
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    folder = _is_folder(entry)
    depth = len(parts) if folder else len(parts) - 1
    faults = {
        "is an absolute name": name.startswith(("/", "\\")),
        "begins with a drive letter": bool(_DRIVE.match(name)),
        "leaves the folder": ".." in re.split(r"[/\\]", name),
        "contains an empty or '.' path segment": "" in parts or "." in parts,
        "contains a control character": any(
            ord(letter) < 32 or ord(letter) == 127 for letter in entry.orig_filename
        ),
        f"is nested deeper than {limits.max_depth} folders": depth > limits.max_depth,
        "is a link or a special file": entry.create_system == _UNIX
        and kind not in (0, stat.S_IFREG, stat.S_IFDIR),
        "is encrypted": bool(entry.flag_bits & _ENCRYPTED),
        f"is compressed with method {entry.compress_type}": entry.compress_type not in _METHODS,
        f"has {entry.file_size:,} bytes; {limits.max_file_bytes:,} are allowed": entry.file_size
        > limits.max_file_bytes,
        f"unpacks to {entry.file_size / max(entry.compress_size, 1):,.0f} times its size; "
        f"{limits.max_ratio:g} times are allowed": not folder
        and entry.file_size > BLOCK
        and entry.file_size > limits.max_ratio * entry.compress_size,
        "is a folder with content": folder and entry.file_size > 0,
    }
    return [fault for fault, found in faults.items() if found]


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    # ZipInfo.is_dir fails on an empty name up to Python 3.11.
    return entry.filename.endswith("/")


def _overlaps(entries: list[zipfile.ZipInfo]) -> list[str]:
    """Entries that share their bytes, as in bombs whose declared sizes seem harmless."""
    problems, end = [], 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            problems.append(f"{entry.filename!r} overlaps another entry")
        end = max(end, entry.header_offset + _LOCAL_HEADER + entry.compress_size)
    return problems


def _member(entry: zipfile.ZipInfo) -> Member:
    folder, _, name = entry.filename.rpartition("/")
    return Member(folder, name, entry.file_size, entry)
