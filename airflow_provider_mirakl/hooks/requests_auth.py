"""Mirakl's credentials for anything that uses ``requests``: an ``HttpOperator``, a dlt source, a script.

A Dag file may import this module: ``requests`` is imported when a task asks for the credentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mirakl.hooks._requests import MiraklRequestsAuth

__all__ = ["MiraklRequestsAuth", "MiraklRequestsAuthType", "mirakl_requests_auth"]


@dataclass(frozen=True, slots=True)
class MiraklRequestsAuthType:
    """Makes the credentials when it is called, as Airflow's ``HttpHook`` calls its ``auth_type``.

    :param conn_id: connection of type ``mirakl``, ``mirakl_connect`` or ``djust``.
    :param role: for ``mirakl``: ``shop``, ``operator`` or ``front``; default the connection's own.
    """

    conn_id: str
    role: str | None = None

    def __call__(self, *_: object) -> MiraklRequestsAuth:
        """The credentials. Login and password of the HTTP connection, which ``HttpHook`` hands over, are not used."""
        from airflow_provider_mirakl.hooks._requests import MiraklRequestsAuth

        return MiraklRequestsAuth(self.conn_id, role=self.role)


def mirakl_requests_auth(conn_id: str, *, role: str | None = None) -> MiraklRequestsAuthType:
    """The ``auth_type`` for an ``HttpOperator`` or ``HttpHook``.

    Nothing is read and nothing is sent when a Dag file calls this.

    :param conn_id: connection of type ``mirakl``, ``mirakl_connect`` or ``djust``.
    :param role: for ``mirakl``: ``shop``, ``operator`` or ``front``; default the connection's own.
    """
    return MiraklRequestsAuthType(conn_id, role)


def __getattr__(name: str) -> Any:
    if name == "MiraklRequestsAuth":
        from airflow_provider_mirakl.hooks._requests import MiraklRequestsAuth

        return MiraklRequestsAuth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
