"""Files on an object store: whole or not there, whatever breaks off the writing."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from airflow_provider_mirakl.files.storage import StoragePath, writing


class Upload(AbstractBufferedFile):  # type: ignore[misc]
    """Buffers, uploads block by block, and shows the object with the last: as files of S3, GCS and Azure do."""

    def _initiate_upload(self) -> None:
        self.parts: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.parts.append(self.buffer.getvalue())
        if final:
            self.fs.objects[self.path] = b"".join(self.parts)
        return True


class Store(AbstractFileSystem):  # type: ignore[misc]
    """An object store without a way to discard an upload, as GCS (small files) and Azure are."""

    protocol = "gs"
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.objects: dict[str, bytes] = {}

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any) -> Upload:
        return Upload(self, path, mode=mode, block_size=1000)


@pytest.fixture
def path() -> StoragePath:
    """A path of Airflow's in an empty store."""
    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach  # type: ignore[no-redef]
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    attach("gs", fs=Store())
    path: StoragePath = ObjectStoragePath("gs://bucket/state.json")
    objects(path).clear()  # Airflow keeps the first store that was attached
    return path


def objects(path: StoragePath) -> dict[str, bytes]:
    """What the store of a path holds."""
    held: dict[str, bytes] = path.fs.objects  # type: ignore[attr-defined]
    return held


def break_off(path: StoragePath, part: bytes) -> None:
    with writing(path) as file:
        file.write(part)
        raise KeyboardInterrupt


@pytest.mark.parametrize("size", [10, 5000], ids=["one block", "several blocks"])
def test_a_write_that_is_broken_off_leaves_what_was_there(path: StoragePath, size: int) -> None:
    with writing(path) as file:
        file.write(b"whole")
    with pytest.raises(KeyboardInterrupt):
        break_off(path, b"x" * size)
    gc.collect()
    assert objects(path) == {"bucket/state.json": b"whole"}


def test_a_local_write_that_is_broken_off_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"whole")
    with pytest.raises(KeyboardInterrupt):
        break_off(path, b"part")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("state.json", b"whole")]
