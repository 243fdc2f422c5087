"""The hook of a Mirakl instance: Marketplace or Catalog Manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_mirakl.hooks.base import MiraklBaseHook

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client


class MiraklHook(MiraklBaseHook):
    """A Mirakl instance, as a shop, the operator or the front office.

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own. With ``front`` the
        connection's front-office key is used where it has one.

    Source: :ref:`authentication <facts-authentication>`, :ref:`PC01 <facts-pc01>`.
    """

    conn_name_attr = "mirakl_conn_id"
    default_conn_name = "mirakl_default"
    conn_type = "mirakl"
    hook_name = "Mirakl"

    def __init__(self, mirakl_conn_id: str = default_conn_name, *, role: str | None = None) -> None:
        super().__init__(mirakl_conn_id)
        self.role = role

    def _one_per_key(self) -> Sequence[MiraklHook]:
        roles = self.values.roles if self.role is None else (self.role,)
        return [MiraklHook(self.conn_id, role=role) for role in roles]

    def _probe(self, client: Client) -> str:
        """PC01, which may be called at any time. For a seller it needs the rights of a shop administrator.

        Without them Mirakl answers 403, and only to a key that it knows.
        """
        from airflow_provider_mirakl.api.platform import get_platform_configuration
        from airflow_provider_mirakl.exceptions import MiraklPermissionError, MiraklReplyError

        role = self.values.role
        try:
            answer = client.send(get_platform_configuration())
        except MiraklPermissionError as error:
            if role != "shop" or error.is_page:
                raise
            return (
                "Mirakl accepts the key of role shop. Its user is not a shop administrator, so PC01, which tells the "
                "name of the instance, is not permitted."
            )
        name = answer.get("platform_name")
        if not isinstance(name, str):
            raise MiraklReplyError("PC01: the reply has no platform_name", operation="PC01", status=200)
        return f"{name} ({answer.get('tenant_name')}) accepts the key of role {role}."
