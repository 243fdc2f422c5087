"""A sandbox with its connections in Airflow, and a work folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.sandbox import Sandbox


@pytest.fixture
def sandbox(
    mirakl_sandbox: Sandbox,
    mirakl_sandbox_connections: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Sandbox:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    PACER.forget()
    return mirakl_sandbox
