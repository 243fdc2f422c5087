"""Common mistakes, made on a real Airflow: the task log says what happened, where, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.timeout(600)]

VERSION = version("apache-airflow")
IN_FRAMES = VERSION.startswith("3.0.")
"""``dag.test()`` prints tracebacks in frames, which cut what they show, and what it is told to mask."""
PRINTS_ONCE = not IN_FRAMES and not VERSION.startswith("2.")

HEAD = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.catalog_manager import MiraklSynchronizeProductsOperator as Synchronize
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectDeleteProductsOperator as Delete, MiraklConnectExportCatalogOperator as Export,
    MiraklConnectSyncCatalogOperator as Sync, MiraklConnectUpsertProductsOperator as Upsert,
    MiraklConnectVerifyProductsOperator as Verify)
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator as ExportOffers
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator as Import
from airflow_provider_mirakl.operators.request import MiraklRequestOperator as Request
from airflow_provider_mirakl.operators.resync import MiraklResyncProductsOperator as Resync
from airflow_provider_mirakl.operators.shop_documents import MiraklDownloadShopDocumentsOperator as Documents
from airflow_provider_mirakl.sensors.connect import MiraklConnectProductsSensor as ProductsSensor
from airflow_provider_mirakl.sensors.jobs import MiraklProductImportSensor as ImportSensor

PRODUCTS = [{"id": "A", "titles": [{"locale": "en_US", "value": "A"}]}]
with DAG("mistakes", schedule=None, start_date=datetime(2026, 1, 1)):
"""
FILES = {
    "empty.csv": b"",
    "sku.csv": b"Sku,title\nA,A\n",
    "locales.csv": b"id,title_fr-FR\nA,A\n",
    "rows.csv": b"id,title_en_US,gtin\nA,A,1\nB,B,4.00638E+12\n,C,\n",
    "broken.ndjson": b'{"id": "A"}\n{"id": \n',
    "utf16.csv": "id,title\nA,A\n".encode("utf-16-le"),
    "p41.csv": b"category;shop_sku;title;ean\nheadphones;A;A;2000000000015\n",
    "p41_bad.csv": b"category;shop_sku;title;ean\nnope;A;;1\n",
}
BLOCK = r"Where: task {} (.*?)What to do: (.*?)Read more: (.{{100}})"
UNWRITABLE = "/proc/nothing-can-be-made-here"


@dataclass(frozen=True)
class Mistake:
    """A task with one mistake, and what its block has to say.

    :param task: what makes the operator; ``FOLDER`` is the folder of the test.
    :param happened: a part of what happened.
    :param where: parts of where.
    :param fix: a part of what to do.
    """

    task: str
    happened: str
    where: tuple[str, ...]
    fix: str


MISTAKES = {
    # Connections
    "no_connection": Mistake(
        "Upsert(source=PRODUCTS, mirakl_connect_conn_id='mirakl_connet')",
        "Connection 'mirakl_connet' does not exist; create one of type 'mirakl_connect'",
        ("connection 'mirakl_connet'", "field mirakl_connect_conn_id"),
        "Correct mirakl_connect_conn_id in the Dag",
    ),
    "wrong_connection_type": Mistake(
        "Upsert(source=PRODUCTS, mirakl_connect_conn_id='mirakl_shop')",
        "conn_type: is 'mirakl'; here a connection of type mirakl_connect is needed",
        ("connection 'mirakl_shop'", "field conn_type"),
        "Correct conn_type of connection 'mirakl_shop' under Admin > Connections",
    ),
    "missing_host": Mistake(
        "Import(source='FOLDER/p41.csv', mirakl_conn_id='missing_host')",
        "host: is empty; enter an address such as https://your-instance.mirakl.net",
        ("connection 'missing_host'", "field host"),
        "Correct host of connection 'missing_host'",
    ),
    "unknown_role": Mistake(
        "Import(source='FOLDER/p41.csv', mirakl_conn_id='unknown_role')",
        "role: must be one of shop, operator, front, not 'seller'",
        ("connection 'unknown_role'", "field role"),
        "Correct role of connection 'unknown_role'",
    ),
    "bad_extra": Mistake(
        "Import(source='FOLDER/p41.csv', mirakl_conn_id='bad_extra')",
        # Airflow 3.0 skips a connection of the environment that it cannot read.
        "Its extra must be a JSON object" if IN_FRAMES else "extra: must be a JSON object",
        ("connection 'bad_extra'", "field extra"),
        "Correct extra of connection 'bad_extra'",
    ),
    # What answers
    "wrong_client": Mistake(
        "Upsert(source=PRODUCTS, mirakl_connect_conn_id='wrong_client')",
        "answered 401 invalid_client",
        ("connection 'wrong_client' (http://127.0.0.1:", "operation token", "status 401"),
        "The client id (login) or client secret (password) was rejected",
    ),
    "wrong_key": Mistake(
        "Import(source='FOLDER/p41.csv', mirakl_conn_id='wrong_key')",
        "P41: POST /api/products/imports answered 401",
        ("connection 'wrong_key' (http://127.0.0.1:", "operation P41", "status 401"),
        "Enter a valid key in password",
    ),
    "wrong_host": Mistake(
        "Import(source='FOLDER/p41.csv', mirakl_conn_id='wrong_host')",
        "P41: Mirakl could not be reached",
        ("connection 'wrong_host' (https://mirakl.invalid)", "operation P41"),
        "The host name is unknown: check host",
    ),
    "nothing_listens": Mistake(
        "Import(source='FOLDER/p41.csv', mirakl_conn_id='nothing_listens')",
        "Connection refused",
        ("connection 'nothing_listens' (http://127.0.0.1:9)", "operation P41"),
        "Nothing listens there: check host and the port",
    ),
    "not_the_api": Mistake(
        "Import(source='FOLDER/p41.csv', mirakl_conn_id='not_the_api')",
        "answered 404",
        ("connection 'not_the_api' (http://127.0.0.1:", "status 404"),
        "If every call fails like this, check the host",
    ),
    "key_of_another_role": Mistake(
        "Synchronize(source=[{'product_sku': 'a'}], mirakl_conn_id='mirakl_shop')",
        "role must be 'operator' or 'front' for CM21, but connection 'mirakl_shop' has the key of role 'shop'",
        ("connection 'mirakl_shop'", "field role"),
        "Use a connection with the key of such a role",
    ),
    "shop_of_somebody_else": Mistake(
        "Documents(shop_ids=[99], target='FOLDER/documents')",
        "S30: GET /api/shops/documents answered 403",
        ("connection 'mirakl_default'", "operation S30", "status 403"),
        "The key is valid, but may not do this",
    ),
    "unknown_path": Mistake(
        "Request(path='/api/nope', mirakl_conn_id='mirakl_shop')",
        "GET /api/nope answered 404",
        ("connection 'mirakl_shop'", "status 404"),
        "Check the ids",
    ),
    "unknown_job": Mistake(
        "ImportSensor(job_ids='999999')",
        "P42: GET /api/products/imports/999999 answered 404",
        ("connection 'mirakl_default'", "operation P42"),
        "Check the ids, and shop_id",
    ),
    # Files
    "missing_file": Mistake(
        "Upsert(source='FOLDER/nothing.csv')",
        "source: 'FOLDER/nothing.csv' does not exist",
        ("file FOLDER/nothing.csv",),
        "Check the path as the worker sees it",
    ),
    "missing_import_file": Mistake(
        "Import(source='FOLDER/nothing.csv')",
        "source: 'FOLDER/nothing.csv' does not exist",
        ("file FOLDER/nothing.csv",),
        "Check the path as the worker sees it",
    ),
    "a_folder": Mistake(
        "Upsert(source='FOLDER')",
        "source: 'FOLDER' is a folder; name one file in it",
        ("file FOLDER",),
        "Correct the input",
    ),
    "empty_file": Mistake(
        "Upsert(source='FOLDER/empty.csv')", "is empty", ("file FOLDER/empty.csv",), "Correct the input"
    ),
    "empty_import_file": Mistake(
        "Import(source='FOLDER/empty.csv')", "is empty", ("file FOLDER/empty.csv",), "Correct the input"
    ),
    "wrong_column": Mistake(
        "Upsert(source='FOLDER/sku.csv', columns={'mapping': {'Sku': 'id', 'Titel': 'titles[en_US]'}})",
        "Titel: the source does not have this column; did you mean 'title'?; it has 'Sku', 'title'",
        ("file FOLDER/sku.csv", "field Titel"),
        "Correct the input",
    ),
    "locale_of_a_column": Mistake(
        "Upsert(source='FOLDER/locales.csv')",
        "title_fr-FR: is not a field of a product; did you mean 'title_fr_FR'?",
        ("file FOLDER/locales.csv", "field title_fr-FR"),
        "Correct the input",
    ),
    "wrong_setting": Mistake(
        "Upsert(source='FOLDER/sku.csv', columns={'mappings': {}})",
        "mappings: is not a setting; did you mean 'mapping'?; the settings are mapping, ",
        ("field columns",),
        "Correct columns in the Dag",
    ),
    "bad_rows": Mistake(
        "Upsert(source='FOLDER/rows.csv')",
        "line 3, id 'B', gtins[0].value: '4.00638E+12' is a number as a spreadsheet shows it",
        ("file FOLDER/rows.csv", "line 2 (and 2 more)", "field gtins[0].value"),
        "or set on_invalid='reject'",
    ),
    "not_json": Mistake(
        "Upsert(source='FOLDER/broken.ndjson')",
        "line 2: not JSON",
        ("file FOLDER/broken.ndjson", "line 2"),
        "Correct the rows",
    ),
    "utf_16": Mistake(
        "Upsert(source='FOLDER/utf16.csv')",
        "set encoding='utf-16-le'",
        ("file FOLDER/utf16.csv",),
        "Correct the input",
    ),
    "no_file_system": Mistake(
        "Upsert(source='s4://bucket/key.csv')",
        "file system s4 does not exist",
        ("connection 'mirakl_connect_default'",),
        "Correct the connection or the argument",
    ),
    "nothing_to_verify": Mistake(
        "Verify(submitted='FOLDER/elsewhere')",
        "does not contain a plan: this worker finds no plan.json there",
        ("file FOLDER/elsewhere",),
        "another machine or container may not have the file",
    ),
    "free_text_of_a_form": Mistake(
        "Resync(products='nonsense', route='direct')",
        "products: 1 problem; nothing was sent",
        ("line 1",),
        "Correct the input",
    ),
    # Templates
    "rendered_to_none": Mistake(
        "Upsert(source='{{ none }}')",
        "source must be the path of a file, a list, or a DataFrame, not 'None'",
        ("field source",),
        "Airflow's tab Rendered Templates shows its value",
    ),
    "not_rendered": Mistake(
        "Upsert(source='{{ \"{{ x }}\" }}')",
        "source is '{{ x }}' after rendering",
        ("field source",),
        "Correct source in the Dag",
    ),
    "rendered_to_a_word": Mistake(
        "Upsert(source=PRODUCTS, max_failed_items='{{ \"many\" }}')",
        "max_failed_items must be a whole number, 0 or more, not 'many'",
        ("field max_failed_items",),
        "Correct max_failed_items in the Dag",
    ),
    "id_that_is_none": Mistake(
        "ImportSensor(job_ids='{{ none }}')",
        "set either job_ids or newest_since",
        ("field job_ids",),
        "Correct job_ids in the Dag",
    ),
    # Storage
    **{
        f"work_folder_of_{name.lower()}": Mistake(
            f"{name}({arguments}, work_folder='{UNWRITABLE}')",
            UNWRITABLE,
            (f"file {UNWRITABLE}",),
            "let the user that runs Airflow write to it",
        )
        for name, arguments in (
            ("Upsert", "source=PRODUCTS"),
            ("Delete", "source=['A']"),
            ("Sync", "source=PRODUCTS"),
            ("Import", "source='FOLDER/p41.csv'"),
            ("Resync", "products='1;A', route='direct', mirakl_conn_id='mirakl_operator'"),
        )
    },
    "work_folder_below_a_file": Mistake(
        "Upsert(source=PRODUCTS, work_folder='FOLDER/empty.csv/work')",
        "Not a directory",
        ("file FOLDER/empty.csv/work",),
        "let the user that runs Airflow write to it",
    ),
    "target_that_is_a_folder": Mistake(
        "Export(target='FOLDER')",
        "target must be a file, not the folder 'FOLDER'",
        ("field target",),
        "Correct target in the Dag",
    ),
    # Its result
    "too_many_failed": Mistake(
        "Import(source='FOLDER/p41_bad.csv')",
        "1 of 1 item failed; 0 are allowed",
        ("(MiraklImportProductsOperator)",),
        "allow more failures with max_failed_items",
    ),
    "too_long": Mistake(
        "ProductsSensor(product_ids=['never'], timeout=0, poke_interval=60)",
        "timed out",
        ("connection 'mirakl_connect_default'",),
        "raise timeout",
    ),
}


def connections(found: dict[str, dict[str, Any]], url: str) -> dict[str, dict[str, Any]]:
    """Connections with a mistake each."""
    shop = found["mirakl_shop"]
    once = shop["extra"] | {"max_attempts": 1}
    return {
        "wrong_client": found["mirakl_connect_default"] | {"password": "not-the-secret"},
        "wrong_key": shop | {"password": "not-the-key"},
        "wrong_host": shop | {"host": "https://mirakl.invalid", "extra": once},
        "not_the_api": shop | {"host": f"{url}/elsewhere"},
        "nothing_listens": shop | {"host": "http://127.0.0.1:9", "extra": once},
        "missing_host": {name: value for name, value in shop.items() if name != "host"},
        "unknown_role": shop | {"extra": shop["extra"] | {"role": "seller"}},
        "bad_extra": shop | {"extra": "{not json"},
    }


def dag(mistakes: dict[str, Mistake], folder: Path) -> str:
    """A Dag with a task for each mistake, named after it."""
    tasks = [
        mistake.task.replace("FOLDER", str(folder)).replace("(", f"(task_id={name!r}, ", 1)
        for name, mistake in mistakes.items()
    ]
    return HEAD + "".join(f"    {task}\n" for task in tasks)


@pytest.mark.mirakl_sandbox_settings(speed=6000.0, token_seconds=1e9)
def test_every_mistake_is_explained_in_the_log_and_in_the_exception(
    run_dag: Any,
    mirakl_sandbox: Sandbox,
    mirakl_sandbox_connections: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    read_log: Callable[[], str],
) -> None:
    for conn_id, connection in connections(mirakl_sandbox_connections, mirakl_sandbox.url).items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    run = run_dag(dag(MISTAKES, tmp_path))
    assert set(run.tasks.values()) == {"failed"}

    # Lines are wrapped, and Airflow 2 also prints their repr, or the repr of that, with quotes escaped.
    log = re.sub(r"\\+(['\"])", r"\1", read_log().replace(str(tmp_path), "FOLDER"))
    words = " ".join(re.sub(r"\\+n", " ", log).split())
    faults = []
    for name, mistake in MISTAKES.items():
        blocks = list(re.finditer(BLOCK.format(name), words))
        missing = []
        for block in blocks:
            happened = words[max(0, block.start() - 1_500) : block.start()]
            where, fix, more = block.groups()
            parts = (
                (happened, mistake.happened),
                *((where, part) for part in mistake.where),
                (fix, mistake.fix),
                (more, "Messages > "),
            )
            missing.append(
                [f"{name}: {part!r} is not in {text!r}" for text, part in parts if part not in text]
            )
        # In the log, and as the text of the exception, which older versions print again.
        whole = missing.count([])
        if whole < 2 or (whole != len(blocks) and not IN_FRAMES) or (len(blocks) != 2 and PRINTS_ONCE):
            faults.append(f"{name}: explained {len(blocks)} times, {whole} of them whole: {missing}")
    assert faults == []
    if IN_FRAMES:
        words = re.sub(r"Sending request msg=MaskSecret\(.*?\)", "", words)
    assert not re.search(r"not-the-(key|secret)|sandbox-secret", words)
    if not IN_FRAMES:
        assert re.findall(r".{600}During handling of the above exception.{200}", words) == []
