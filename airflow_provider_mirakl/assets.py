"""Assets: what a Dag updates in Mirakl Connect, for other Dags to wait for.

The address is ``mirakl-connect://<connection id>/products``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset

SCHEME = "mirakl-connect"


def connect_catalog(mirakl_connect_conn_id: str = "mirakl_connect_default") -> Asset:
    """The catalog that a connection reaches, as an asset (a dataset in Airflow 2).

    Give it to an operator's ``outlets``; the operator adds its outcome to the event.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    """
    return create_asset(mirakl_connect_conn_id=mirakl_connect_conn_id)


def create_asset(*, mirakl_connect_conn_id: str, extra: dict[str, Any] | None = None) -> Asset:
    """Make the asset; Airflow calls this as the factory of the scheme.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    :param extra: anything to keep with the asset.
    """
    from airflow.providers.common.compat.sdk import Asset

    return Asset(uri=f"{SCHEME}://{mirakl_connect_conn_id}/products", extra=extra or {})


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check an address; Airflow calls this for every asset of the scheme.

    :raises ValueError: for an address of another form.
    """
    if not uri.netloc or uri.path not in ("/products", "/products/") or uri.query or uri.fragment:
        raise ValueError(f"an asset of this scheme has the form {SCHEME}://<connection id>/products")
    return uri._replace(path="/products")


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Any:
    """The asset as OpenLineage names it; Airflow calls this where OpenLineage is installed."""
    from urllib.parse import urlsplit

    from airflow.providers.common.compat.openlineage.facet import Dataset

    return Dataset(namespace=f"{SCHEME}://{urlsplit(asset.uri).netloc}", name="products")


def annotate(outlet_events: Any, outlets: list[Any], outcome: dict[str, Any]) -> None:
    """Put the outcome into the events of the catalog assets among a task's outlets.

    :param outlet_events: the context's ``outlet_events``.
    :param outlets: the task's outlets.
    :param outcome: small and JSON-able.
    """
    for outlet in outlets:
        if str(getattr(outlet, "uri", "")).startswith(f"{SCHEME}://"):
            outlet_events[outlet].extra = outcome
