"""Lineage of a task for OpenLineage: inputs, outputs, numbers of rows, failures, and Mirakl's ids.

Airflow asks when the provider ``apache-airflow-providers-openlineage`` is installed; nothing of it is imported before.

=========================  =======================================================================
inputs                     the source file, named as in OpenLineage; the data read from Mirakl
outputs                    the same for targets; what changed in Mirakl, as the asset of that name
``outputStatistics``       rows that Mirakl has now, or that were written
``dataQualityMetrics``     rows of the source
``dataQualityAssertions``  one that no item failed, and one for each of the most frequent errors
``externalQuery``          Mirakl's id of the job, with the connection
=========================  =======================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_mirakl.assets import NAMES, in_address

_SHOWN = 3
"""Number of errors with a separate assertion."""


def lineage_of(task: Any, result: Mapping[str, Any]) -> Any:
    """Inputs, outputs and facets.

    :param task: the operator or sensor.
    :param result: its result; empty if it has none.
    :return: ``OperatorLineage`` of the OpenLineage provider.
    """
    extractors: Any = import_module("airflow.providers.openlineage.extractors")
    facets: Any = import_module("openlineage.client.facet_v2")
    base: Any = import_module("openlineage.client.event_v2")

    rows, statistics, quality = {}, {}, _quality(facets, result)
    written = result.get("items")
    if isinstance(sent := result.get("sent"), int):
        written = result.get("succeeded", 0) + result.get("unknown", 0)
        kind = facets.data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet
        rows["dataQualityMetrics"] = kind(rowCount=sent, columnMetrics={})
    if isinstance(written, int):
        kind = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
        statistics["outputStatistics"] = kind(rowCount=written)
    return extractors.OperatorLineage(
        inputs=[base.InputDataset(namespace, name, inputFacets=rows) for namespace, name in _read_by(task)],
        outputs=[
            base.OutputDataset(namespace, name, facets=quality, outputFacets=statistics)
            for namespace, name in _written_by(task)
        ],
        run_facets=_job(facets, task, result),
    )


def _quality(facets: Any, result: Mapping[str, Any]) -> dict[str, Any]:
    failed = result.get("failed")
    if not isinstance(failed, int):
        return {}
    kind = facets.data_quality_assertions_dataset
    assertions = [kind.Assertion(assertion="no item failed", success=failed == 0)]
    for error in (result.get("errors") or ())[:_SHOWN]:
        words = ": ".join(str(error[name]) for name in ("code", "message") if error.get(name))
        assertions.append(kind.Assertion(assertion=f"no item failed with {words}", success=False))
    return {"dataQualityAssertions": kind.DataQualityAssertionsDatasetFacet(assertions=assertions)}


def _job(facets: Any, task: Any, result: Mapping[str, Any]) -> dict[str, Any]:
    ids = [str(found) for found in result.get("job_ids") or result.get("action_ids") or ()]
    if not ids:
        return {}
    conn_type, conn_id = _connection(task)
    return {
        "externalQuery": facets.external_query_run.ExternalQueryRunFacet(
            externalQueryId=",".join(ids), source=f"{conn_type.replace('_', '-')}://{in_address(conn_id)}"
        )
    }


def _read_by(task: Any) -> Iterator[tuple[str, str]]:
    if isinstance(source := getattr(task, "source", None), str):
        yield dataset_name(source)
    yield from _asset(task, getattr(task, "asset_read", None))


def _written_by(task: Any) -> Iterator[tuple[str, str]]:
    if isinstance(target := getattr(task, "target", None), str):
        yield dataset_name(target)
    yield from _asset(task, getattr(task, "asset_name", None))


def _asset(task: Any, name: str | None) -> Iterator[tuple[str, str]]:
    conn_type, conn_id = _connection(task)
    scheme = conn_type.replace("_", "-")
    if conn_id and name in NAMES.get(scheme, ()):
        yield f"{scheme}://{in_address(conn_id)}", str(name)


def _connection(task: Any) -> tuple[str, str]:
    for field in ("mirakl_connect_conn_id", "mirakl_conn_id"):
        if conn_id := getattr(task, field, None):
            return field.removesuffix("_conn_id"), str(conn_id)
    return "", ""


def dataset_name(path: str) -> tuple[str, str]:
    """The namespace and the name of a file, by OpenLineage's naming.

    :param path: a local path or object storage, with or without a connection in the address.
    """
    parts = urlsplit(path)
    if parts.scheme in ("", "file", "local"):
        return "file", str(Path(parts.path if parts.scheme else path).absolute())
    place, key = parts.netloc.rpartition("@")[2], parts.path.strip("/")
    if parts.scheme in ("abfs", "abfss", "wasb", "wasbs"):
        # Airflow writes only the container, or container@account; OpenLineage wants both, if both are known.
        container, at, account = parts.netloc.partition("@")
        known = at and account.endswith((".dfs.core.windows.net", ".blob.core.windows.net"))
        return f"{parts.scheme}://{container}@{account}" if known else f"{parts.scheme}://{place}", key
    scheme = "gs" if parts.scheme == "gcs" else parts.scheme
    return f"{scheme}://{place}", key
