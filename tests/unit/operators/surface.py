"""Every public operator and sensor, as the provider's metadata lists them, and its parameters."""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mirakl.get_provider_info import get_provider_info
from airflow_provider_mirakl.runtime import arguments as kinds
from airflow_provider_mirakl.runtime import signatures

OF_AIRFLOW = frozenset(signatures.SensorTaskArguments.__annotations__) | {"poke_interval"}
"""Parameters that are Airflow's own. A sensor's ``poke_interval`` is Airflow's too, with a default of ours."""


@cache
def public() -> dict[str, type]:
    """The classes by name."""
    found: dict[str, type] = {}
    for section in ("operators", "sensors"):
        for entry in get_provider_info()[section]:
            for name in entry["python-modules"]:
                for kind in vars(import_module(name)).values():
                    if (
                        inspect.isclass(kind)
                        and issubclass(kind, BaseOperator)
                        and kind.__module__ == name
                        and re.fullmatch(r"(Mirakl|Djust)\w+(Operator|Sensor)", kind.__name__)
                        and kind.__name__ not in BASES
                    ):
                        found[kind.__name__] = kind
    return found


BASES = {"MiraklInstanceOperator", "MiraklJobSensor"}


def layers(kind: type) -> list[type]:
    """The classes of ours that a class is made of, itself first."""
    return [layer for layer in kind.__mro__ if layer.__module__.startswith("airflow_provider_mirakl")]


def parameters(kind: type) -> set[str]:
    """The parameters of a class, without Airflow's, as an editor finds them: named, or in what ``Unpack`` names."""
    layer = next(layer for layer in layers(kind) if "__init__" in vars(layer))
    signature = inspect.signature(inspect.unwrap(vars(layer)["__init__"]))
    found = {
        name for name, parameter in signature.parameters.items() if parameter.kind is parameter.KEYWORD_ONLY
    }
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            (group,) = re.findall(r"Unpack\[(\w+)\]", str(parameter.annotation))
            named = vars(sys.modules[layer.__module__]).get(group) or getattr(signatures, group)
            found |= set(named.__annotations__)
    return found - OF_AIRFLOW - {"default_args"}


def documented(kind: type) -> set[str]:
    """The parameters that the docstrings of a class and its bases describe."""
    return {name for layer in layers(kind) for name in re.findall(r":param (\w+):", layer.__doc__ or "")}


def inner(argument: kinds.Argument[Any]) -> kinds.Argument[Any]:
    """What reads an argument that is not nothing."""
    return argument.argument if isinstance(argument, kinds.Wrapping) else argument


def sample(argument: kinds.Argument[Any]) -> Any:
    """A value that an argument takes."""
    samples: dict[type, Any] = {
        kinds.Table: [{"id": "a"}],
        kinds.Elements: [{"path": "/x", "type_code": "A"}],
        kinds.JobIds: 7,
        kinds.Ids: 7,
        kinds.Codes: "A",
        kinds.Mappings: {"a": 1},
        kinds.Location: "/x.csv",
        kinds.Submitted: "/x",
        kinds.Text: "/x",
        kinds.Given: None,
    }
    if isinstance(argument, kinds.Choice):
        return argument.words[0]
    return samples.get(type(argument), {"a": 1})


def make(kind: type, **options: Any) -> Any:
    """A task of a class, with a value for each parameter that has to be set."""
    needed: dict[str, Any] = {}
    for layer in layers(kind):
        if "__init__" not in vars(layer):
            continue
        signature = inspect.signature(inspect.unwrap(vars(layer)["__init__"]))
        for name, parameter in signature.parameters.items():
            if (
                name in parameters(kind)
                and parameter.kind is parameter.KEYWORD_ONLY
                and parameter.default is parameter.empty
            ):
                needed.setdefault(name, sample(inner(kinds.arguments_of(kind)[name])))
        if layer is next(layer for layer in layers(kind) if "__init__" in vars(layer)):
            break
    return kind(task_id="task", **needed | options)
