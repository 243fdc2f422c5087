"""Assets: what a Dag changes in Mirakl, for other Dags to wait for.

An address names the connection and what changed there: ``mirakl-connect://<connection id>/products`` for the catalog of
Mirakl Connect, and ``mirakl://<connection id>/<name>`` for an instance, with ``products``, ``offers``, ``stock``,
``prices`` or ``documents``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.common.compat.sdk import Asset

NAMES: dict[str, tuple[str, ...]] = {
    "mirakl": ("products", "offers", "stock", "prices", "documents"),
    "mirakl-connect": ("products",),
}
"""What each scheme can name."""

InstanceData = Literal["products", "offers", "stock", "prices", "documents"]


def connect_catalog(mirakl_connect_conn_id: str = "mirakl_connect_default") -> Asset:
    """The catalog of Mirakl Connect that a connection reaches, as an asset (a dataset in Airflow 2).

    Set it as an outlet of an operator; the operator adds its outcome to the event.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    """
    return create_connect_asset(mirakl_connect_conn_id=mirakl_connect_conn_id)


def instance_data(name: InstanceData, mirakl_conn_id: str = "mirakl_default") -> Asset:
    """Products, offers, stock, prices or shop documents of an instance, as an asset (a dataset in Airflow 2).

    Set it as an outlet of an operator; the operator adds its outcome to the event.

    :param name: what changes.
    :param mirakl_conn_id: connection of type ``mirakl``.
    :raises ValueError: for another name.
    """
    return create_instance_asset(mirakl_conn_id=mirakl_conn_id, name=name)


def create_connect_asset(*, mirakl_connect_conn_id: str, extra: dict[str, Any] | None = None) -> Asset:
    """Make an asset of the scheme ``mirakl-connect``; Airflow calls this as the scheme's factory.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    :param extra: anything to keep with the asset.
    """
    return _asset("mirakl-connect", mirakl_connect_conn_id, "products", extra)


def create_instance_asset(*, mirakl_conn_id: str, name: str, extra: dict[str, Any] | None = None) -> Asset:
    """Make an asset of the scheme ``mirakl``; Airflow calls this as the scheme's factory.

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param name: ``products``, ``offers``, ``stock``, ``prices`` or ``documents``.
    :param extra: anything to keep with the asset.
    :raises ValueError: for another name.
    """
    return _asset("mirakl", mirakl_conn_id, name, extra)


def _asset(scheme: str, conn_id: str, name: str, extra: dict[str, Any] | None) -> Asset:
    from airflow.providers.common.compat.sdk import Asset

    if name not in NAMES[scheme]:
        raise ValueError(f"name must be one of {', '.join(NAMES[scheme])}, not {name!r}")
    return Asset(uri=f"{scheme}://{conn_id}/{name}", extra=extra or {})


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check an address; Airflow calls this for every asset of the two schemes.

    :raises ValueError: for an address of another form.
    """
    names = NAMES.get(uri.scheme, ())
    name = uri.path.strip("/")
    if not uri.netloc or name not in names or uri.query or uri.fragment:
        raise ValueError(
            f"an asset of this scheme has the form {uri.scheme}://<connection id>/<name>, "
            f"where the name is one of {', '.join(names)}"
        )
    return uri._replace(path=f"/{name}")


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Dataset:
    """The asset as OpenLineage names it; Airflow calls this where OpenLineage is installed."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=f"{uri.scheme}://{uri.netloc}", name=uri.path.strip("/"))


_SCHEMES = tuple(f"{scheme}://" for scheme in NAMES)


def annotate(outlet_events: Any, outlets: list[Any], outcome: dict[str, Any]) -> None:
    """Add the outcome to the events of the Mirakl assets among a task's outlets.

    :param outlet_events: the context's ``outlet_events``.
    :param outlets: the task's outlets.
    :param outcome: small and JSON-able.
    """
    for outlet in outlets:
        if str(getattr(outlet, "uri", "")).startswith(_SCHEMES):
            outlet_events[outlet].extra = outcome
