"""Judges a call against Mirakl's own OpenAPI documents. Add a call to the table of ``test_calls.py``, nothing more."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import yaml

from airflow_provider_mirakl.api.call import ANY, Call, Multipart, Reply

SHARED = Path(os.environ.get("MIRAKL_SHARED") or Path(__file__).parents[4] / "shared")
FILES = {
    "connect": ["mirakl-connect-openapi.yaml"],
    "shop": ["mirakl-mcm-seller-openapi.json", "mirakl-mmp-seller-openapi.json"],
    "operator": ["mirakl-mcm-operator-openapi.json", "mirakl-mmp-operator-openapi.json"],
    "front": ["mirakl-mcm-front-openapi.yaml"],
}
# The documents leave these to their general notes.
PAGING = {"max", "offset", "sort", "order", "limit", "page_token"}
LOCALE = {"locale"}
# Schemas without a path; the paths are in the facts sheet, section 4.
PATHS = {
    "CM21": ("POST", "/api/mcm/products/synchronization"),
    "CM22": ("GET", "/api/mcm/products/synchronization/{tracking_id}"),
    "CM23": ("GET", "/api/mcm/products/synchronization/{tracking_id}/report"),
    "CM51": ("GET", "/api/mcm/products/export"),
    "CM52": ("POST", "/api/mcm/products/export/async"),
    "CM53": ("GET", "/api/mcm/products/export/async/status/{tracking_id}"),
    "CM61": ("GET", "/api/mcm/products/deleted/export"),
}
INTERVALS = {
    "once per day": 86_400.0,
    "every 4 hours": 14_400.0,
    "every hour": 3_600.0,
    "every 15 minutes": 900.0,
    "once every 15 minutes": 900.0,
    "every 5 minutes": 300.0,
    "once per minute": 60.0,
    "once every 15 seconds": 15.0,
    "every 10 seconds": 10.0,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.contract)
            if not (SHARED / "openapi").is_dir():
                reason = "needs Mirakl's OpenAPI documents: set MIRAKL_SHARED to their folder"
                item.add_marker(pytest.mark.skip(reason=reason))


# Slips of the documents, which a client must not follow: these values are declared as objects and are not.
# Facts, sections 2.4 and 4.
SLIPS = [("Attribute", "value"), ("CM21_Request", "data")]


@cache
def load(name: str) -> dict[str, Any]:
    text = (SHARED / "openapi" / name).read_text(encoding="utf-8")
    document = dict(json.loads(text) if name.endswith("json") else yaml.load(text, yaml.CSafeLoader))
    for schema, member in SLIPS:
        properties = document["components"]["schemas"].get(schema, {}).get("properties", {})
        if member in properties:
            properties[member] = {}
    return document


@dataclass(frozen=True)
class Described:
    """An operation as its document describes it.

    :param operation: the document's own words; empty for operations whose path is not published.
    """

    document: dict[str, Any] = field(repr=False)
    code: str
    method: str
    path: str
    operation: dict[str, Any] = field(repr=False)

    def errors(self, schema: dict[str, Any], value: Any) -> list[str]:
        """What is wrong with a value, by a schema that may refer into the document."""
        whole = {**schema, "components": self.document["components"]}
        found = jsonschema.Draft202012Validator(whole).iter_errors(value)
        return [f"{error.json_path}: {error.message}" for error in found]

    def query_errors(self, params: list[tuple[str, str]]) -> Iterator[str]:
        """What is wrong with the query of a call."""
        declared = {p["name"]: p for p in self.operation.get("parameters", ()) if p.get("in") == "query"}
        sent = [name for name, _ in params]
        for name, parameter in declared.items():
            if parameter.get("required") and name not in sent:
                yield f"{name} is required"
        for name in dict.fromkeys(sent):
            values = [value for key, value in params if key == name]
            if name not in declared:
                if name not in PAGING | LOCALE:
                    yield f"{name} is not declared"
                continue
            schema = declared[name]["schema"]
            value: Any = values if schema.get("type") == "array" else typed(schema, values[0])
            if schema.get("type") != "array" and len(values) > 1:
                yield f"{name} is sent {len(values)} times"
            yield from self.errors(schema, value)

    def body_errors(self, call: Call[Any]) -> Iterator[str]:
        """What is wrong with the body of a call."""
        content = self.operation.get("requestBody", {}).get("content", {})
        if call.body is None:
            if content:
                yield "a body is declared, and none is sent"
        elif isinstance(call.body, Multipart):
            yield from self._form_errors(call.body, content.get("multipart/form-data", {}).get("schema"))
        elif "application/json" not in content:
            yield f"a JSON body is sent, and only {list(content)} is declared"
        else:
            yield from self.errors(content["application/json"]["schema"], json.loads(call.body))

    def _form_errors(self, body: Multipart, schema: dict[str, Any] | None) -> Iterator[str]:
        if schema is None:
            yield "a form is sent, and none is declared"
            return
        names = [part.name for part in body.parts]
        for name in schema.get("required", ()):
            if name not in names:
                yield f"the part {name} is required"
        for part in body.parts:
            declared = schema["properties"].get(part.name)
            if declared is None:
                yield f"the part {part.name} is not declared"
            elif declared.get("format") != "binary" and declared.get("type") != "array":
                assert isinstance(part.content, bytes)
                text = part.content.decode()
                value = json.loads(text) if "$ref" in declared else typed(declared, text)
                yield from self.errors(declared, value)
                enum = re.search(r"Enum: (.*)", declared.get("description", ""))
                if enum and f'"{text}"' not in enum[1]:
                    yield f"the part {part.name} is {text!r}; declared are {enum[1]}"

    def accept_errors(self, accept: str) -> Iterator[str]:
        """Whether the wanted format is one that the operation has."""
        offered = {kind for _, kind, _ in self._contents()}
        if offered and accept != ANY and accept not in offered:
            yield f"{accept} is wanted; offered are {sorted(offered)}"

    def samples(self) -> Iterator[tuple[int, bytes]]:
        """Published replies: status and body."""
        for status, kind, content in self._contents():
            examples = content.get("examples", {}).values()
            for example in examples if kind == "application/json" else ():
                yield status, json.dumps(example["value"]).encode()

    def maximum(self) -> str | None:
        """The published maximum frequency, in the document's words."""
        said = re.search(r"Maximum usage:(.*?)</div>", self.operation.get("description") or "", re.DOTALL)
        return re.sub(r"<[^>]*>|\s+", " ", said[1]).strip() if said else None

    def _contents(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        for status, reply in self.operation.get("responses", {}).items():
            for kind, content in (reply.get("content") or {}).items():
                if status.startswith("2"):
                    yield int(status), kind, content


def typed(schema: dict[str, Any], text: str) -> Any:
    """A text of a query or a form, as the type that is declared; as it is where it cannot be one."""
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    return text


@cache
def described(role: str, code: str) -> Described:
    """The operation of a role.

    :raises LookupError: when the role's documents do not know it.
    """
    for name in FILES[role]:
        document = load(name)
        prefix = "/api" if role == "connect" else ""
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if isinstance(operation, dict) and operation.get("operationId") == code:
                    return Described(document, code, method.upper(), prefix + path, operation)
        schemas = document["components"]["schemas"]
        if code in PATHS and any(schema.startswith(f"{code}_") for schema in schemas):
            return Described(document, code, *PATHS[code], unpublished(code, schemas))
    raise LookupError(f"{code} is not in the documents of {role}")


def unpublished(code: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """What can be said of an operation whose schemas alone are published."""
    operation: dict[str, Any] = {"responses": {}}
    if f"{code}_Request" in schemas:
        schema: dict[str, Any] = {"$ref": f"#/components/schemas/{code}_Request"}
        # CM21's schema describes one element of a bare array.
        body = {"type": "array", "items": schema} if code == "CM21" else schema
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def faults(role: str, call: Call[Any]) -> list[str]:
    """Everything in which a call differs from what Mirakl describes for a role."""
    there = described(role, call.operation.code)
    target = urlsplit(call.target)
    found = []
    if call.operation.method != there.method:
        found.append(f"method is {call.operation.method}; declared is {there.method}")
    if not re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", there.path), target.path):
        found.append(f"path is {target.path}; declared is {there.path}")
    if there.operation.get("description") is not None:  # else the parameters are not published
        found += there.query_errors(parse_qsl(target.query, keep_blank_values=True))
    found += there.body_errors(call)
    found += there.accept_errors(call.accept)
    return found


class Judge:
    """What the tests ask."""

    faults = staticmethod(faults)
    described = staticmethod(described)

    @staticmethod
    def read_samples(role: str, call: Call[Any]) -> list[Any]:
        """The results of the call for every published reply."""
        samples = described(role, call.operation.code).samples()
        return [call.parse(Reply(call.operation.code, status, {}, body)) for status, body in samples]

    @staticmethod
    def interval(role: str, code: str) -> str | None:
        """The published maximum frequency in words."""
        return described(role, code).maximum()


@pytest.fixture(scope="session")
def judge() -> type[Judge]:
    return Judge


@pytest.fixture(scope="session")
def intervals() -> dict[str, float]:
    """Seconds by the documents' words."""
    return INTERVALS
