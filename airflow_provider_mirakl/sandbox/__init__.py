"""A local Mirakl: Connect, a Marketplace and Catalog Manager instance, the token server and DJUST.

``from airflow_provider_mirakl.sandbox import Sandbox`` is all that a test needs. The import is lazy, so that
naming this package never costs the web server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.machine.settings import Settings
    from airflow_provider_mirakl.sandbox.server import Sandbox

__all__ = ["Sandbox", "Settings"]


def __getattr__(name: str) -> Any:
    if name == "Sandbox":
        try:
            from airflow_provider_mirakl.sandbox.server import Sandbox
        except ModuleNotFoundError as error:
            hint = "the sandbox needs its extra: pip install 'airflow-provider-mirakl[sandbox]'"
            raise ImportError(f"{error}; {hint}") from error

        return Sandbox
    if name == "Settings":
        from airflow_provider_mirakl.sandbox.machine.settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
