"""From method and path to an operation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from airflow_provider_mirakl.sandbox.machine.exchange import Operation
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, System

_NOTHING: Mapping[str, str] = {}


class Routes:
    """The operations by system, path and method."""

    def __init__(self, operations: Iterable[Operation], trailing_slash: bool) -> None:
        self._trailing_slash = trailing_slash
        self._exact: dict[tuple[str, str], dict[str, Operation]] = {}
        self._patterns: dict[tuple[str, str], tuple[re.Pattern[str], dict[str, Operation]]] = {}
        for operation in operations:
            key = (operation.system, operation.path)
            if "{" in operation.path:
                pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", operation.path))
                self._patterns.setdefault(key, (pattern, {}))[1][operation.method] = operation
            else:
                self._exact.setdefault(key, {})[operation.method] = operation

    def find(self, system: System, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        """The operation and the parameters of its path.

        :raises ApiError: 404 for an unknown path, 405 with ``Allow`` for a known one with another method.
        """
        if self._trailing_slash and path.endswith("/"):
            path = path.rstrip("/")
        methods, params = self._methods(system, path)
        if methods is None:
            raise ApiError(404, f"The resource {path} does not exist.")
        operation = methods.get(method)
        if operation is None:
            allowed = ", ".join(sorted(methods))
            raise ApiError(405, f"The method {method} is not allowed here.", headers={"Allow": allowed})
        return operation, params

    def _methods(self, system: System, path: str) -> tuple[dict[str, Operation] | None, Mapping[str, str]]:
        exact = self._exact.get((system, path))
        if exact is not None:
            return exact, _NOTHING
        for (owner, _), (pattern, methods) in self._patterns.items():
            found = pattern.fullmatch(path) if owner == system else None
            if found:
                return methods, found.groupdict()
        return None, _NOTHING
