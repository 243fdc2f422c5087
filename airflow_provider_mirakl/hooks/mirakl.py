"""The hook of a Mirakl instance: Marketplace or Catalog Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mirakl.hooks.base import MiraklBaseHook

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client


class MiraklHook(MiraklBaseHook):
    """A Mirakl instance, as a shop, the operator or the front office.

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own. With ``front`` the
        connection's front-office key is used where it has one.

    Source: seeds 000, 003 and 004; facts sections 1 and 7.
    """

    conn_name_attr = "mirakl_conn_id"
    default_conn_name = "mirakl_default"
    conn_type = "mirakl"
    hook_name = "Mirakl"

    def __init__(self, mirakl_conn_id: str = default_conn_name, *, role: str | None = None) -> None:
        super().__init__(mirakl_conn_id)
        self.role = role

    @property
    def _role(self) -> str | None:
        return self.role

    def _probe(self, client: Client) -> str:
        """PC01 for every key of the connection: the password, and the front-office key where there is one."""
        from airflow_provider_mirakl.api.platform import get_platform_configuration

        answer = client.send(get_platform_configuration())
        word = f"Mirakl answers: {answer.get('platform_name')} ({answer.get('tenant_name')})."
        front = MiraklHook(self.conn_id, role="front")
        if self.role is None and front.settings.auth != self.settings.auth:
            with front.get_conn() as second:
                second.send(get_platform_configuration())
            word += " Both keys are accepted."
        return word
