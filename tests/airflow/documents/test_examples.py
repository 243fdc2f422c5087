"""The example Dags on a real Airflow against the sandbox."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.mirakl_sandbox_settings(speed=1)]

EXAMPLES = Path(__file__).parents[3] / "example_dags"
PDF = b"%PDF-1.7 " + bytes(range(256)) * 20
REQUIRED = ("BUSINESS_REGISTRATION", "IDENTITY_PROOF", "BANK_DETAILS")


def operations(sandbox: Sandbox) -> Counter[str]:
    return Counter(call["operation"] for call in sandbox.journal())


def stored(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def test_the_archive_brings_every_shop_and_then_only_what_is_new(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    conf = {"target": str(tmp_path / "archive")}
    shops = sandbox.call(lambda world: sorted(world.instance.shops))
    for shop in shops:
        for kind in REQUIRED:
            sandbox.put_document(shop, kind, f"{kind}.pdf", PDF)
    dag = EXAMPLES / "mirakl_kyc_archive.py"
    run = run_dag(dag, conf=conf)
    assert run.state == "success", run.tasks
    assert run.returned("report") == {"shops": len(shops), "stored": 3 * len(shops), "unchanged": 0}
    assert {name.partition("/")[0] for name in stored(tmp_path / "archive")} == {str(s) for s in shops}
    assert len(stored(tmp_path / "archive")) == 3 * len(shops)
    manifest = json.loads((tmp_path / "archive" / str(shops[0]) / "manifest.json").read_text())["content"]
    assert {entry["type"] for entry in manifest["documents"]} == set(REQUIRED)

    sandbox.put_document(shops[0], "INSURANCE", "insurance.pdf", PDF)
    downloads = operations(sandbox)["S31"]
    run = run_dag(dag, conf=conf)
    assert run.returned("report") == {"shops": len(shops), "stored": 1, "unchanged": 3 * len(shops)}
    assert operations(sandbox)["S31"] == downloads + 1


def test_a_broken_shop_does_not_stop_the_archive_and_is_named(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, read_log: Callable[[], str]
) -> None:
    shops = sandbox.call(lambda world: sorted(world.instance.shops))
    for shop in shops:
        sandbox.put_document(shop, "BANK_DETAILS", "iban.pdf", PDF)
    broken = shops[0]
    folder = tmp_path / "archive" / str(broken)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("no manifest")
    source = (EXAMPLES / "mirakl_kyc_archive.py").read_text().replace('"retries": 2', '"retries": 0')
    run = run_dag(source, conf={"target": str(tmp_path / "archive")})
    states = Counter(state for task, state in run.tasks.items() if task.startswith("archive"))
    assert states == {"success": len(shops) - 1, "failed": 1}
    assert run.tasks["report"] == "failed"
    assert {name.partition("/")[0] for name in stored(tmp_path / "archive")} == {str(s) for s in shops[1:]}
    words = " ".join(read_log().split())
    assert f"1 of {len(shops)} shops were not archived: [{broken}]" in words


def test_new_documents_are_uploaded_once(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    for kind in ("BANK_DETAILS", "INSURANCE"):
        (papers / f"{kind}.pdf").write_bytes(PDF)
    dag, conf = EXAMPLES / "mirakl_upload_shop_documents.py", {"folder": str(papers), "shop_id": 2001}
    run = run_dag(dag, conf=conf)
    assert run.state == "success", run.tasks
    outcome = run.returned("upload")
    assert (outcome["uploaded"], outcome["skipped"], outcome["failed"]) == (2, 0, 0)

    (papers / "IDENTITY_PROOF.png").write_bytes(b"PNG")
    outcome = run_dag(dag, conf=conf).returned("upload")
    assert (outcome["uploaded"], outcome["skipped"]) == (1, 2)
    names = sandbox.call(lambda world: [d["name"] for d in world.instance.documents.of(2001)])
    assert names == ["BANK_DETAILS.pdf", "INSURANCE.pdf", "IDENTITY_PROOF.png"]
    # Asked once although two runs checked the types: DO01 is permitted once a day.
    assert operations(sandbox)["DO01"] == 1


def test_a_review_starts_when_the_documents_are_complete(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    for kind in REQUIRED[:-1]:
        sandbox.put_document(2000, kind, f"{kind}.pdf", PDF)

    def hand_in() -> None:
        """Upload the last document after the sensor's first poll has found too few."""
        while not sandbox.journal("S30"):
            stop.wait(0.1)
        sandbox.put_document(2000, REQUIRED[-1], "iban.pdf", PDF)

    stop, seller = threading.Event(), threading.Thread(target=hand_in, daemon=True)
    seller.start()
    source = (
        (EXAMPLES / "mirakl_shop_review.py").read_text().replace("poke_interval=15 * 60", "poke_interval=2")
    )
    run = run_dag(source, conf={"shop_id": 2000, "target": str(tmp_path / "review")})
    seller.join(10)
    assert run.state == "success", run.tasks
    review = run.returned("start_review")
    assert review["types"] == sorted(REQUIRED)
    assert review["shop_ids"] == [2000]
    assert len(stored(tmp_path / "review")) == 3
    assert operations(sandbox)["S30"] >= 2
