"""Assets: what a Dag changes in Mirakl, for other Dags to wait for.

An address names the connection and what changed there: ``mirakl-connect://<connection id>/<name>`` for Mirakl Connect,
and ``mirakl://<connection id>/<name>`` for an instance. :data:`NAMES` has the names. A ``/`` or ``#`` in a connection
id is percent-encoded.

An operator emits the event of an outlet only when something happened in Mirakl, and adds its result to ``extra``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_mirakl._compat import as_alias_extra

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset

NAMES: dict[str, tuple[str, ...]] = {
    "mirakl": ("products", "offers", "stock", "prices", "documents", "shops"),
    "mirakl-connect": ("products", "orders", "returns", "conversations"),
}
"""What each scheme can name."""

InstanceData = Literal["products", "offers", "stock", "prices", "documents", "shops"]
ConnectData = Literal["products", "orders", "returns", "conversations"]


def connect_catalog(mirakl_connect_conn_id: str = "mirakl_connect_default") -> Asset:
    """The catalog of Mirakl Connect of a connection, as an asset (a dataset in Airflow 2).

    Set it as an outlet of an operator; the operator adds its outcome to the event.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    """
    return connect_data("products", mirakl_connect_conn_id)


def connect_data(name: ConnectData, mirakl_connect_conn_id: str = "mirakl_connect_default") -> Asset:
    """Products, orders, returns or conversations of Mirakl Connect, as an asset (a dataset in Airflow 2).

    Set it as an outlet of an operator; the operator adds its outcome to the event.

    :param name: what changes.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    :raises ValueError: for another name.
    """
    return create_connect_asset(mirakl_connect_conn_id=mirakl_connect_conn_id, name=name)


def instance_data(name: InstanceData, mirakl_conn_id: str = "mirakl_default") -> Asset:
    """Products, offers, stock, prices, shop documents or shops of an instance, as an asset (a dataset in Airflow 2).

    Set it as an outlet of an operator; the operator adds its outcome to the event.

    :param name: what changes.
    :param mirakl_conn_id: connection of type ``mirakl``.
    :raises ValueError: for another name.
    """
    return create_instance_asset(mirakl_conn_id=mirakl_conn_id, name=name)


def create_connect_asset(
    *, mirakl_connect_conn_id: str, name: str = "products", extra: dict[str, Any] | None = None
) -> Asset:
    """Make an asset of the scheme ``mirakl-connect``; Airflow calls this as the scheme's factory.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    :param name: ``products``, ``orders``, ``returns`` or ``conversations``.
    :param extra: anything to keep with the asset.
    :raises ValueError: for another name.
    """
    return _asset("mirakl-connect", mirakl_connect_conn_id, name, extra)


def create_instance_asset(*, mirakl_conn_id: str, name: str, extra: dict[str, Any] | None = None) -> Asset:
    """Make an asset of the scheme ``mirakl``; Airflow calls this as the scheme's factory.

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param name: ``products``, ``offers``, ``stock``, ``prices``, ``documents`` or ``shops``.
    :param extra: anything to keep with the asset.
    :raises ValueError: for another name.
    """
    return _asset("mirakl", mirakl_conn_id, name, extra)


def _asset(scheme: str, conn_id: str, name: str, extra: dict[str, Any] | None) -> Asset:
    if name not in NAMES[scheme]:
        raise ValueError(f"name must be one of {', '.join(NAMES[scheme])}, not {name!r}")
    return Asset(uri=f"{scheme}://{in_address(conn_id)}/{name}", extra=extra or {})


def in_address(conn_id: str) -> str:
    """A connection id as an address has it: Airflow allows ids such as ``team/shop``, which would end the place."""
    return re.sub(r"[/?#\[\]%]", lambda sign: f"%{ord(sign[0]):02X}", conn_id)


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


def asset_of(conn_type: str, conn_id: str, name: str) -> Asset | None:
    """The asset of the system behind a connection.

    :param conn_type: type of the connection.
    :param conn_id: the connection.
    :param name: as in :data:`NAMES`.
    :return: ``None`` where the connection's type has no such asset.
    """
    scheme = conn_type.replace("_", "-")
    return _asset(scheme, conn_id, name, None) if name in NAMES.get(scheme, ()) else None


def happened(result: Mapping[str, Any]) -> bool:
    """Whether a result shows a change, or a possible change, in Mirakl.

    :param result: of an operator. A preview sends nothing, and of a sync that finds nothing new no item is sent. Items
        that failed changed nothing; items without an answer may have.
    """
    if "uploaded" in result:  # existing documents also count as succeeded
        return bool(result["uploaded"])
    if "sent" in result:
        return bool(result.get("succeeded") or result.get("unknown"))
    return not result.get("preview", False)


def withheld(outlets: Sequence[Any]) -> list[Any]:
    """The outlets whose events have nothing to do with Mirakl: Airflow emits an event for each outlet that is left."""
    return [outlet for outlet in outlets if not _is_mirakl(outlet)]


def annotate(
    outlet_events: Any, outlets: Sequence[Any], result: dict[str, Any], asset: Asset | None = None
) -> None:
    """Add a result to the events of the Mirakl assets among a task's outlets, and an event to each asset alias.

    :param outlet_events: the context's ``outlet_events``.
    :param outlets: the task's outlets.
    :param result: small and serializable as JSON.
    :param asset: what changed, for the aliases.
    """
    for outlet in outlets:
        if _is_mirakl(outlet):
            outlet_events[outlet].extra = result
        elif asset is not None and isinstance(outlet, AssetAlias):
            outlet_events[outlet].add(asset, extra=as_alias_extra(result))


def _is_mirakl(outlet: Any) -> bool:
    return str(getattr(outlet, "uri", "")).startswith(_SCHEMES)
