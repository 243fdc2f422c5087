"""The job table knows every state, flag and counter that Mirakl's documents publish, and no other."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest

from airflow_provider_mirakl.jobs.table import DONE, FAILED, JOBS
from tests.contract.client.conftest import SHARED

# name of the row: document, schema, field of the state
WHERE = {
    "product_synchronization": ("mirakl-mcm-operator-openapi.json", "CM22_Response_200", "status"),
    "product_import": ("mirakl-mcm-seller-openapi.json", "P42", "import_status"),
    "product_export": ("mirakl-mcm-operator-openapi.json", "CM53_Response_200", "status"),
    "offer_import": ("mirakl-mmp-seller-openapi.json", "OF02", "status"),
    "stock_import": ("mirakl-mmp-seller-openapi.json", "STO02", "status"),
    "price_import": ("mirakl-mmp-seller-openapi.json", "PRI02", "status"),
    "offer_export": ("mirakl-mmp-seller-openapi.json", "OF53", "status"),
}


@cache
def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SHARED / "openapi" / name).read_text(encoding="utf-8"))
    return loaded


def status_schema(name: str) -> dict[str, Any]:
    """The object that one job is told by."""
    file, where, _ = WHERE[name]
    spec = document(file)

    def resolve(schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (
            spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        )
        return found

    if where in spec["components"]["schemas"]:
        return resolve(spec["components"]["schemas"][where])
    for operations in spec["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict) and operation.get("operationId") == where:
                schema = resolve(operation["responses"]["200"]["content"]["application/json"]["schema"])
                items = schema["properties"].get("data")
                return resolve(items["items"]) if items else schema
    raise AssertionError(where)


@pytest.mark.parametrize("name", sorted(WHERE))
def test_every_published_state_is_known(name: str) -> None:
    kind = JOBS[name]
    field = status_schema(name)["properties"][kind.state]
    assert kind.state == WHERE[name][2]
    words = set(field.get("enum") or re.findall(r"\b[A-Z][A-Z_]{3,}\b", field["description"]))
    assert words
    assert words <= kind.in_progress | kind.early | DONE | FAILED
    assert words & DONE
    deprecated = {"TRANSFORMATION_QUEUED", "QUEUED"} - words
    assert kind.in_progress - deprecated <= words
    assert kind.early <= words


@pytest.mark.parametrize("name", sorted(WHERE))
def test_flags_of_reports_are_fields_of_the_status(name: str) -> None:
    properties = status_schema(name)["properties"]
    for report in JOBS[name].reports:
        assert properties[report.flag]["type"] == "boolean"


@pytest.mark.parametrize("name", sorted(WHERE))
def test_every_published_counter_of_failures_is_counted(name: str) -> None:
    """A status whose counters are all 1 has as many failures as there are counters that name one."""
    kind, schema = JOBS[name], status_schema(name)
    numbers = {key: 1 for key, value in schema["properties"].items() if value.get("type") == "integer"}
    status: dict[str, Any] = {kind.state: "COMPLETE", **numbers, "transform_lines_read": 100}
    failing = {key for key in numbers if re.search(r"(^failed|lines_in_error)$", key)}
    if name == "product_import":
        spec = document(WHERE[name][0])
        details = spec["components"]["schemas"]["P42_Response_200_IntegrationDetails"]["properties"]
        status["integration_details"] = dict.fromkeys(details, 1)
        good = {"products_successfully_synchronized", "products_reimported"}
        failing |= details.keys() - good
    assert kind.count(status).failed == len(failing)
