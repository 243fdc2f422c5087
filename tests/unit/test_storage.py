"""Paths from strings: an unknown file system is an error with the fix, before anything else is done."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.files.storage import writing
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator


@pytest.mark.parametrize(
    ("path", "module", "package"),
    [
        ("s3://aws_default@bucket/products.ndjson", "airflow.providers.amazon", "amazon[s3fs]"),
        ("gs://bucket/products.ndjson", "airflow.providers.google", "google"),
        ("abfss://bucket/products.ndjson", "airflow.providers.microsoft.azure", "microsoft-azure"),
    ],
)
def test_a_provider_that_is_missing_is_named(path: str, module: str, package: str) -> None:
    try:
        is_there = find_spec(module) is not None
    except ModuleNotFoundError:
        is_there = False
    if is_there:
        pytest.skip(f"needs an environment without {module}: make matrix")
    with pytest.raises(MiraklConfigurationError) as caught:
        storage_path(path)
    assert f"needs the package apache-airflow-providers-{package}" in str(caught.value)
    assert path in str(caught.value)


@pytest.mark.skipif(
    version("universal_pathlib") < "0.3",
    reason="needs universal_pathlib 0.3, which Airflow 3.2 and later install: make matrix MATRIX=3.3.2",
)
def test_a_file_system_that_nobody_has() -> None:
    with pytest.raises(MiraklConfigurationError, match="file system s4 does not exist"):
        storage_path("s4://bucket/products.ndjson")


@pytest.mark.parametrize("source", ["", " "])
def test_an_empty_source_is_no_folder(source: str) -> None:
    with pytest.raises(
        MiraklConfigurationError, match="source must be the path of a file, a list, or a Data"
    ):
        MiraklConnectUpsertProductsOperator(task_id="upsert", source=source)


def test_two_writers_of_a_file_never_mix(tmp_path: Path) -> None:
    """As two containers on one folder, whose processes have the same id: the later one wins, whole."""
    path = tmp_path / "manifest.json"
    with writing(path) as late:
        with writing(path) as early:
            early.write(b"early" * 10)
        assert path.read_bytes() == b"early" * 10
        late.write(b"late")
        late.flush()
        assert path.read_bytes() == b"early" * 10
    assert path.read_bytes() == b"late"
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
