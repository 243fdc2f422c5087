"""The arguments that Airflow stores of a trigger: another version of this package may have written them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklTriggerEventError

_CLEAR = "clear the task to start over"


def check_arguments(version: int, known: int, unknown: Mapping[str, Any]) -> None:
    """Refuse the arguments of another version, which could be misread.

    A trigger takes arguments that it does not know, and says so when it runs. Were its class to refuse them, the
    triggerer could not make it, and the task would wait until its timeout.

    :param version: as it was stored.
    :param known: the version that this trigger reads.
    :param unknown: arguments that the trigger does not know.
    :raises MiraklTriggerEventError: another version of the package wrote them.
    """
    if version != known or unknown:
        raise MiraklTriggerEventError(
            f"version: this trigger was stored by another version of airflow-provider-mirakl (arguments of version "
            f"{version}, this one reads {known}); {_CLEAR}"
        )


def check_call(function: Callable[..., Any], arguments: Mapping[str, Any], *more: Any, **others: Any) -> None:
    """Refuse stored arguments that a function does not take.

    :param function: what is called with them.
    :param arguments: as they were stored.
    :param more: positional arguments beside them.
    :param others: keyword arguments beside them.
    :raises MiraklTriggerEventError: it takes others, so another version of the package stored them.
    """
    try:
        inspect.signature(function).bind(*more, **arguments, **others)
    except TypeError as error:
        raise MiraklTriggerEventError(
            f"arguments: this trigger was stored by another version of airflow-provider-mirakl ({error}); {_CLEAR}"
        ) from None


def find_function(field: str, path: str) -> Callable[..., Any]:
    """The function that a stored path names.

    :param field: the argument with the path.
    :param path: such as ``package.module.function``.
    :raises MiraklConfigurationError: it does not exist.
    """
    module, _, name = path.rpartition(".")
    try:
        found: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise MiraklConfigurationError(
            f"{field} {path!r} does not exist ({error}); if another version of airflow-provider-mirakl deferred this "
            f"task, {_CLEAR}",
            field=field,
        ) from None
    return found
