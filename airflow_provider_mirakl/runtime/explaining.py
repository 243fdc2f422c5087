"""What a task says before it fails: what happened, where, what to do, and where the documentation says more.

One place for every operator and sensor, for templates that render to something wrong, and for tasks that come back from
the triggerer. The block goes to the task log as an error, and it is the text of the exception too, so that a mail, a
callback or an error tracker shows the same. It begins with what happened, because some of them show one line only.
:attr:`~airflow_provider_mirakl.exceptions.MiraklError.message` keeps what happened without the rest.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from textwrap import fill
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_mirakl._compat import REFUSES_NONE
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklError,
    MiraklInputError,
    MiraklStorageError,
    on_one_line,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.outcome import ErrorCount

_WHERE = "\nWhere: "
WIDTH, PREFIX = 100, 20
"""Characters of a line in the log; and what the first one leaves to the time and the level before it."""
_FILE_ERRORS = frozenset(
    {
        errno.EACCES, errno.EDQUOT, errno.EIO, errno.EISDIR, errno.EMFILE, errno.ENAMETOOLONG, errno.ENOENT,
        errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS, errno.ESTALE,
    }
)  # fmt: skip
"""What storage says. Other errors of the system are of a network, and not explained here."""


class Explains:
    """An operator or sensor that explains its errors before it raises them, and reports its lineage to OpenLineage."""

    result: Mapping[str, Any] | None = None
    """What the task returned, or what was known when it failed. Set while it runs."""

    def get_openlineage_facets_on_complete(self, task_instance: object) -> Any:
        """Inputs, outputs and facets of a task that has succeeded. The OpenLineage provider calls this."""
        from airflow_provider_mirakl.lineage import lineage_of

        return lineage_of(self, self.result or {})

    def get_openlineage_facets_on_failure(self, task_instance: object) -> Any:
        """Inputs, outputs and facets of a task that failed, as far as they are known."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def remember(self, result: Any) -> None:
        """Keep what the task knows, and count it. Once, where one ``execute`` calls another."""
        if result is not None and result is not self.result:
            from airflow_provider_mirakl.hooks.metrics import count_items

            self.result = result
            count_items(self, result)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Airflow calls `execute` by its name, and every operator has its own.
        if (own := cls.__dict__.get("execute")) is not None and not getattr(
            own, "__isabstractmethod__", False
        ):
            cls.execute = _explained(own)  # type: ignore[attr-defined]

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Airflow's own, which calls the method that a deferral named."""
        with explaining(self):
            found = super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]
            self.returned(found, context)
            return found

    def returned(self, result: Any, context: Context) -> None:
        """Keep a result, and push its keys as outputs where Airflow would refuse some of them."""
        self.remember(result)
        if REFUSES_NONE and isinstance(result, dict) and getattr(self, "do_xcom_push", True):
            self.push_outputs(context["ti"], result)
            self.multiple_outputs = False  # for what Airflow does next

    def push_outputs(self, ti: Any, result: Mapping[str, Any]) -> None:
        """Push every key of a result as an output of its own, if the task has outputs."""
        if vars(self).setdefault("_has_outputs", getattr(self, "multiple_outputs", False)):
            for key, value in result.items():
                if value is not None or not REFUSES_NONE:
                    ti.xcom_push(key=key, value=value)


def _explained(method: Any) -> Any:
    @wraps(method)
    def explained(self: Explains, context: Context, *args: Any, **kwargs: Any) -> Any:
        with explaining(self):
            found = method(self, context, *args, **kwargs)
            self.returned(found, context)
            return found

    return explained


@contextmanager
def explaining(task: Any, *, folded: bool = False) -> Iterator[None]:
    """Explain an error on its way out of a task.

    :param task: the operator or sensor.
    :param folded: as for :func:`explain`.
    :raises MiraklStorageError: in place of an error of the storage that no code below has named.
    """
    try:
        yield
    except AirflowSkipException:
        raise
    except (MiraklError, AirflowFailException, AirflowSensorTimeout) as error:
        explain(error, task, folded=folded)
        if task.result is None:  # else it was pushed, with more than the outcome
            task.remember(getattr(error, "outcome", None))
        if isinstance(error, MiraklError) and (task.fail_fast or error.final):
            from airflow_provider_mirakl.policies import make_final

            make_final(error)
        raise
    except OSError as error:
        if error.errno not in _FILE_ERRORS:
            raise
        path = str(error.filename or "")
        named = MiraklStorageError(
            f"A file or folder that the task needs cannot be used ({type(error).__name__}: {error})",
            path=path,
        )
        explain(named, task)
        raise named.with_traceback(error.__traceback__) from None


def explain(error: Exception, task: Any, *, folded: bool = False) -> None:
    """Log the block, and make it the error's text. Once: an error that passes several tasks' code keeps the first.

    :param error: the error.
    :param task: the operator or sensor.
    :param folded: the task's code does not run yet. Airflow folds what is logged until then, and a failed task would
        show an empty log: the group ends before the block.
    """
    if _WHERE in str(error):
        return
    block = explanation(error, task)
    error.args = (block, *error.args[1:])
    first, *others = block.splitlines()
    if folded:
        task.log.info("::endgroup::")
    task.log.error("%s", "\n".join([wrapped(first, PREFIX), *map(wrapped, others)]))


def rejection(found: str, reasons: Iterable[ErrorCount], path: object) -> str:
    """What the log says about rejected items: how many, the commonest reasons, and the file that has them all.

    :param found: how many were rejected, of how many.
    :param reasons: the commonest.
    :param path: the file.
    """
    lines = [f"  - {reason.count:,} x {reason.message}" for reason in reasons]
    return "\n".join([f"{found}:", *map(wrapped, lines), "Each one with its reasons is in", f"  {path}"])


def wrapped(line: str, prefix: int = 0) -> str:
    """A line as Airflow's log page can show it: the page does not wrap, and cuts at some hundred characters."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    text = fill(
        line,
        WIDTH,
        initial_indent=" " * prefix,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text[prefix:]


def explanation(error: Exception, task: Any) -> str:
    """The block: what happened, which may be several lines, and a line each for the rest.

    :param error: the error.
    :param task: the operator or sensor.
    """
    from airflow_provider_mirakl.runtime.advice import page, what_to_do

    where = ", ".join(_places(error, task))
    return f"{error}{_WHERE}{where}\nWhat to do: {what_to_do(error, task)}\nRead more: {page(error, task)}"


def _places(error: Exception, task: Any) -> Iterator[str]:
    from airflow_provider_mirakl.runtime.advice import connections_of

    yield f"task {task.task_id} ({type(task).__name__})"
    operation = getattr(error, "operation", None)
    if operation or isinstance(error, MiraklConfigurationError | AirflowSensorTimeout):
        yield from (f"connection {name}" for name in connections_of(task, operation or ""))
    if operation:
        yield f"operation {operation}"
    status = getattr(error, "status", None)
    if status:
        yield f"status {status}"
    if path := file_of(error, task):
        yield f"file {path}"
    problems = getattr(error, "problems", ())
    first = problems[0] if problems else None
    more = f" (and {error.problem_count - 1:,} more)" if first and error.problem_count > 1 else ""  # type: ignore[attr-defined]
    if first is not None and first.line is not None:
        yield f"line {first.line}{more}"
        more = ""
    if field := (first.field if first is not None else getattr(error, "field", None)):
        yield f"field {on_one_line(field)}{more}"


def file_of(error: Exception, task: Any) -> str:
    """The file that an error is about: its own, or the task's source for what is wrong in the source."""
    path = getattr(error, "path", None)
    if path is None and isinstance(error, MiraklInputError):
        path = next((value for name in _SOURCES if isinstance(value := getattr(task, name, None), str)), None)
    return str(path) if path else ""


_SOURCES = ("source", "submitted")
