"""Object stores on this machine, reached as a user reaches theirs: with a connection of Airflow in the address.

S3 is part of every run (moto's server). Azure (Azurite) and Google (gcp-storage-emulator) are tried where
``MIRAKL_STORES`` names them: ``make stores``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, published account."""
STORES = ["s3", *filter(None, os.environ.get("MIRAKL_STORES", "").split(","))]


@dataclass
class Store:
    """A bucket.

    :param root: its address with the connection, such as ``s3://store@bucket``.
    :param client: of the vendor, for S3.
    """

    root: str
    name: str
    client: Any = None

    def path(self, key: str) -> Any:
        """A path of Airflow's below the bucket."""
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        return ObjectStoragePath(f"{self.root}/{key}")

    def write(self, key: str, text: str) -> str:
        """Write an object; returns its address."""
        with self.path(key).open("wb") as file:
            file.write(text.encode())
        return f"{self.root}/{key}"

    def read(self, address: str) -> str:
        """Read an object by its address."""
        assert address.startswith(self.root), address
        with self.path(address.removeprefix(f"{self.root}/")).open("rb") as file:
            return file.read().decode()

    def keys(self, below: str = "") -> list[str]:
        """Every object below a folder."""
        folder = self.path(below).path
        system = self.path("").fs
        system.invalidate_cache()
        return sorted(system.find(folder)) if system.exists(folder) else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def s3() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """moto's server."""
    boto3 = pytest.importorskip("boto3", reason="needs boto3 and moto: make venv installs them")
    server = pytest.importorskip(
        "moto.server", reason="needs boto3 and moto: make venv installs them"
    ).ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    try:
        yield {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}, "s3", client
    finally:
        server.stop()


@contextlib.contextmanager
def azure() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Azurite, from npm."""
    pytest.importorskip("adlfs", reason="needs adlfs: make stores installs it")
    program = shutil.which("azurite-blob") or pytest.skip("needs Azurite: make stores installs and runs it")
    port = free_port()
    command = [program, "--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]
    with running([*command, "--blobHost", "127.0.0.1", "--blobPort", str(port)], port):
        text = (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
        )
        yield {"conn_type": "wasb", "login": ACCOUNT, "extra": {"connection_string": text}}, "abfs", None


@contextlib.contextmanager
def gcs() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """gcp-storage-emulator, from PyPI."""
    # gcsfs, which reads this when it is imported, else asks for the kind of each bucket over gRPC, for a minute.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    pytest.importorskip("gcsfs", reason="needs gcsfs: make stores installs it")
    pytest.importorskip("gcp_storage_emulator", reason="needs gcp_storage_emulator: make stores installs it")
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory", "--host=127.0.0.1"]
    with running([*command, f"--port={port}"], port), pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        extra = {"project": "test", "is_anonymous": True}
        yield {"conn_type": "google_cloud_platform", "extra": extra}, "gs", None


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A server, from when it answers to the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


SERVERS = {"s3": s3, "azure": azure, "gcs": gcs}


@pytest.fixture(scope="session", params=STORES)
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A server of a store, and the connection to it."""
    with SERVERS[request.param]() as found:
        yield found


@pytest.fixture
def store(server: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty bucket, and the connection ``store`` to it.

    A connection of its own for each test: Airflow keeps the file system of a connection for the life of a process.
    """
    connection, scheme, client = server
    name, conn_id = f"b{uuid.uuid4().hex[:20]}", f"store_{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    made = Store(f"{scheme}://{conn_id}@{name}", name, client)
    if client is not None:
        client.create_bucket(Bucket=name)
    else:
        made.path("").fs.mkdir(name)
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", f"{made.root}/work")
    return made


@pytest.fixture
def local_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that stays empty: what was meant for the store is not written beside the process."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
