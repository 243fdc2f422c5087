"""Airflow connections that point at a sandbox."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.sandbox.machine.settings import Settings


def connections(url: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """Connections by their ids, as Airflow reads them from JSON.

    :param url: where the sandbox answers, without a trailing slash.
    """
    factor = 1 / settings.speed
    client = settings.clients[0]
    found: dict[str, dict[str, Any]] = {
        "mirakl_connect_default": {
            "conn_type": "mirakl_connect",
            "host": f"{url}/connect",
            "login": client.client_id,
            "password": client.secret,
            "extra": {"token_url": f"{url}/auth/oauth/token", "interval_factor": factor},
        },
        "djust_default": {"conn_type": "djust", "host": f"{url}/djust", "password": settings.djust_keys[0]},
    }
    for key in settings.keys:
        found.setdefault(
            f"mirakl_{key.role}",
            {
                "conn_type": "mirakl",
                "host": f"{url}/mirakl",
                "password": key.key,
                "extra": {"role": key.role, "interval_factor": factor},
            },
        )
    found["mirakl_default"] = found[f"mirakl_{settings.keys[0].role}"]
    return found
