"""Airflow's paths: local ones, and object storage with an Airflow connection in the URL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow.configuration import AIRFLOW_HOME
from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl._compat import check_file_system
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.files.values import check_path, is_nothing

if TYPE_CHECKING:
    from airflow_provider_mirakl.files.storage import StoragePath

_AMAZON = "airflow.providers.amazon", "apache-airflow-providers-amazon[s3fs]"
_GOOGLE = "airflow.providers.google", "apache-airflow-providers-google"
_AZURE = "airflow.providers.microsoft.azure", "apache-airflow-providers-microsoft-azure"
_BROUGHT_BY = {
    **dict.fromkeys(("s3", "s3a", "s3n"), _AMAZON),
    **dict.fromkeys(("gs", "gcs"), _GOOGLE),
    **dict.fromkeys(("abfs", "abfss", "adl"), _AZURE),
}
"""Module and package of the provider of a file system; Airflow does not name it when it is missing."""

T = TypeVar("T")
_UNSAFE = r"[^\w.=+-]"


def path_or_data(source: T) -> T | StoragePath:
    """The path that a string names; a list or a table as it is.

    :param source: as it stands in the Dag.
    :raises MiraklConfigurationError: see :func:`storage_path`.
    """
    return storage_path(source) if isinstance(source, str) else source


def storage_path(path: str) -> StoragePath:
    """A path from a string: a local one, or any URL of Airflow's object storage, such as ``s3://conn@bucket/key``.

    :param path: the string.
    :raises MiraklConfigurationError: the file system is unknown or not installed.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    check_path("path", path)
    scheme, mark, place = path.partition("://")
    if not mark or scheme in ("file", "local"):
        return Path(place if mark else path)
    module, package = _BROUGHT_BY.get(scheme, (None, None))
    if module is not None and not _is_installed(module):
        raise MiraklConfigurationError(
            f"{path}: {scheme}:// needs the package {package}, which is not installed here; install it wherever "
            "Airflow runs"
        )
    try:
        check_file_system(scheme)
        return ObjectStoragePath(path)
    except ValueError as error:
        raise MiraklConfigurationError(
            f"{path}: file system {scheme} does not exist ({error}); use a local path, or a URL such as "
            "s3://aws_default@bucket/key"
        ) from None


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing too
        return False


def is_local(path: StoragePath) -> bool:
    """Whether a path is on a local disk, which other machines may not be able to access."""
    return isinstance(path, Path) and getattr(path, "protocol", "") in ("", "file", "local")


def reach(path: StoragePath) -> tuple[str, str]:
    """Which machines can access a path, and what to do if others must; both as text, the second may be empty."""
    if is_local(path):
        return (
            "on the disk of this machine",
            "with workers on several machines, set [mirakl] work_folder to storage that all can access",
        )
    return "on storage that every worker can access", ""


def lies_in(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is inside one of the folders, after resolving ``..`` and links.

    :param path: a path as :func:`storage_path` takes it.
    :param folders: folders as :func:`storage_path` takes them; object storage needs the same connection in the
        URL as the path, since the connection decides the access rights.
    """
    if "://" in path.removeprefix("file://"):
        return ".." not in path.split("/") and any(
            path.startswith(folder.rstrip("/") + "/") for folder in folders
        )
    place = Path(path.removeprefix("file://")).resolve()
    local = (folder.removeprefix("file://") for folder in folders)
    return any(place.is_relative_to(Path(folder).resolve()) for folder in local if "://" not in folder)


def task_folder(
    work_folder: str | None, dag_id: str, task_id: str, run_id: str, map_index: int | None
) -> StoragePath:
    """The folder for the files of a task instance.

    :param work_folder: the common folder; default ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``.
    :param map_index: map index of a mapped task; -1 or ``None`` for any other.
    """
    folder = folder_below(work_folder, dag_id, task_id, run_id)
    return folder / str(map_index) if map_index is not None and map_index >= 0 else folder


def folder_below(work_folder: str | None, *names: str) -> StoragePath:
    """A folder below the work folder.

    :param work_folder: as in :func:`task_folder`.
    :param names: names of the nested folders, as :func:`safe_folder` writes them.
    """
    folder = storage_path(_default_work_folder() if is_nothing(work_folder) else str(work_folder))
    for name in names:
        folder = folder / safe_folder(name)
    return folder


def safe_folder(name: str) -> str:
    """A name as a single folder name: it cannot leave its parent, and two names never share a folder.

    Unsafe characters become ``_``; then a hash of the whole name follows, because ``a:b`` and ``a~b``
    would become the same. A run id such as ``scheduled__2026-01-01T00:00:00+00:00`` keeps its readable part.
    """
    safe = re.sub(_UNSAFE, "_", name)
    if safe == name and name.strip("."):
        return name
    return f"{safe.strip('.')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _default_work_folder() -> str:
    configured: str | None = conf.get("mirakl", "work_folder", fallback=None)
    if configured:
        return configured
    return str(Path(AIRFLOW_HOME) / "mirakl")
