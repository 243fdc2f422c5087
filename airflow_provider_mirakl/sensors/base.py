"""The base of every sensor of this package: one poll, and the same behavior in every mode."""

from __future__ import annotations

import time
from abc import abstractmethod
from inspect import unwrap
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_mirakl.exceptions import MiraklError
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT
from airflow_provider_mirakl.links import LINKS
from airflow_provider_mirakl.runtime.arguments import Flag, ReadsArguments, Whole
from airflow_provider_mirakl.runtime.connections import OnConnect
from airflow_provider_mirakl.runtime.explaining import Explains
from airflow_provider_mirakl.runtime.task_run import TaskRun, try_began

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.files.notes import Note
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.jobs.waiting import Failures, Found, Remembered
    from airflow_provider_mirakl.runtime.arguments import TextArg
    from airflow_provider_mirakl.runtime.signatures import SensorArguments, SensorTaskArguments
    from airflow_provider_mirakl.runtime.waiting import Wait


class MiraklBaseSensor(Explains, ReadsArguments, BaseSensorOperator):
    """Base of the sensors.

    A sensor is a poll (see :mod:`airflow_provider_mirakl.jobs.waiting`), a hook, and the handling of the finding::

        # in a module that a Dag file does not import
        def order_shipped(notes: dict[str, Any], *, order_id: str) -> Poll:
            order = yield from send(get_order(order_id))
            return {"state": order["state"]} if order["state"] == "SHIPPED" else None

        # in the sensor's module
        class MiraklOrderShippedSensor(MiraklBaseSensor):
            poll = "my_package.polls.order_shipped"
            order_id, mirakl_conn_id = Text(), Text()

            def __init__(self, *, order_id, mirakl_conn_id="mirakl_default", **kwargs):
                super().__init__(**kwargs)
                self.order_id, self.mirakl_conn_id = order_id, mirakl_conn_id

            @cached_property
            def hook(self):
                return MiraklHook(self.mirakl_conn_id)

            def poll_arguments(self):
                return {"order_id": self.order_id}  # serializable as JSON: sent to the triggerer

    In ``poke`` and ``reschedule`` mode the worker makes the poll, with ``deferrable`` the triggerer does. Where the
    task leaves the worker, a poll does not wait there: a call that is not permitted within ten seconds ends it, and the
    next poll is made when the call is permitted. So a poll of several paced calls keeps its position in its notes.
    :meth:`conclude` receives the finding, always in the worker; it may raise, and returns the value for XCom.

    These rules apply in every mode, although Airflow's own modes differ:

    - ``timeout`` raises ``AirflowSensorTimeout``, which is not retried; with ``soft_fail`` or ``never_fail`` the task
      is skipped.
    - ``execution_timeout`` fails the task, which may be retried, regardless of the flags. In ``reschedule`` mode it
      counts the single pokes, as everywhere in Airflow.
    - Another error fails the task, which may be retried; with ``never_fail`` it is skipped. ``soft_fail`` does not
      cover it: a failed job is not a timeout.
    - Up to ``max_failures`` polls may fail one after another (5xx, broken connection, unreadable reply). If a poll
      notes something new before it fails, the count starts again at one. Any other refusal by Mirakl, such as 401, 403
      or 404, is an error at once. A 429 is a wait.

    :param poke_interval: seconds between two polls, as in Airflow. The connection's ``interval_factor`` stretches
        it.
    :param deferrable: wait in the triggerer; default Airflow's ``[operators] default_deferrable``. ``mode`` then has
        no effect.
    :param max_failures: polls that may fail one after another.
    :param fail_fast: fail at once on an error that a retry cannot fix, as for the operators.
    """

    poll: ClassVar[str]
    """Path of the poll: ``package.module.function``."""
    notes: dict[str, Any]
    """What the polls of this process have noted, for :meth:`poll_arguments`."""
    ui_color = "#e3ecd6"
    ui_fgcolor = "#1f2933"
    operator_extra_links = LINKS
    fail_fast = Flag(templated=False)
    deferrable = Flag(templated=False)
    max_failures = Whole(least=0, templated=False)

    def __init__(
        self,
        *,
        poke_interval: float | timedelta = 60.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_failures: int = 5,
        fail_fast: bool = False,
        **kwargs: Unpack[SensorTaskArguments],
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.deferrable = deferrable
        self.max_failures = max_failures
        self.fail_fast = fail_fast
        self._event: object = None
        self._deadline: float | None = None
        self._began: float | None = None
        self.notes: dict[str, Any] = {}
        self._failed = 0
        self._permitted_at: float | None = None

    @property
    @abstractmethod
    def hook(self) -> MiraklBaseHook:
        """The hook of the sensor's connection."""

    @abstractmethod
    def poll_arguments(self) -> dict[str, Any]:
        """The poll's keyword arguments: serializable as JSON and not secret: Airflow stores them in plain text.

        A deferrable sensor asks for them twice: before its poll in the worker, and then for the triggerer, whose notes
        are empty. What the first poll has noted, and the others must know, is in :attr:`notes`.
        """

    @property
    def awaited(self) -> str:
        """Description of what the sensor waits for, for the task log."""
        return f"what {self.task_id} polls for"

    def interval(self) -> float:
        """Seconds between two polls: ``poke_interval``, stretched by the connection's ``interval_factor``.

        :raises MiraklConfigurationError: it is shorter than Mirakl permits.
        """
        return self.poke_interval * self.hook.settings.interval_factor

    def _get_next_poke_interval(
        self, started_at: Any, run_duration: Callable[[], float], *others: Any
    ) -> float:
        """Airflow's own interval, including backoff, stretched like :meth:`interval`.

        A poll that was refused as too early is made as soon as it is permitted, if ``timeout`` has not passed by then.
        """
        if self._permitted_at is not None:
            from airflow_provider_mirakl.runtime.waiting import SHORTEST_DEFERRAL

            wait = max(SHORTEST_DEFERRAL, self._permitted_at - time.time())
            return max(0.0, min(wait, self.timeout - run_duration()))
        airflows: float = super()._get_next_poke_interval(started_at, run_duration, *others)
        return airflows * self.interval() / self.poke_interval

    def conclude(self, context: Context, found: Found) -> Any:
        """Evaluate the finding, and return the value for XCom."""
        return found

    def execute(self, context: Context) -> Any:
        """Poll until something is found."""
        return self._poke_loop(context)

    def _poke_loop(self, context: Context) -> Any:
        if self.deferrable:
            self.mode = "poke"
        try:
            # Bypass Airflow's guard around execute: Airflow 2 mistakes a subclass, and a task that
            # resumes from the triggerer, for a call from outside the task.
            return unwrap(BaseSensorOperator.execute)(self, context)
        except AirflowSensorTimeout as error:
            if self.never_fail:
                raise AirflowSkipException(f"Skipping due to never_fail: {error}") from error
            raise
        except AirflowSkipException as skip:
            if isinstance(skip.__cause__, AirflowTaskTimeout):
                raise skip.__cause__ from None
            raise

    def execute_complete(self, context: Context, event: object = None) -> Any:
        """Continue with what the trigger found.

        Airflow's own poke loop handles it, so that the flags have the same meaning as in the other modes. Without an
        event, which is how Airflow resumes a task that is cleared just as it defers, it polls again.
        """
        self._event = event
        if isinstance(event, dict):
            self._deadline, self._began = event.get("deadline"), event.get("began")
        return self._poke_loop(context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once; in a deferred sensor use the trigger's finding."""
        event, self._event = self._event, None
        found = self._poll_once(context) if event is None else self._read(event, context)
        return False if found is None else PokeReturnValue(True, self.conclude(context, found))

    def _poll_once(self, context: Context) -> Found | None:
        self._recall(context)
        wait = self._wait(context)
        before = wait.failures = self._failures(context)
        try:
            with self.hook.get_conn() as client:
                found = wait.once(client, leaves=self.deferrable or self.reschedule)
        except MiraklError:
            self._note_failures(context, 0)  # a retry starts over
            raise
        self._permitted_at = wait.permitted_at
        if wait.failures != before:
            self._note_failures(context, wait.failures)
        if found is None:
            self._remember(context)
        if found is None and self.deferrable:
            wait.failures = 0
            wait.arguments = self.poll_arguments()  # with what this poll has noted
            self.defer(
                trigger=wait.trigger(began=self._began),
                method_name=self.execute_complete.__name__,
                timeout=wait.backstop(),
            )
        return found

    def _wait(self, context: Context) -> Wait:
        from airflow_provider_mirakl.runtime.waiting import Wait

        if self._deadline is None:
            end = self._execution_end(context)
            self._deadline = min(time.time() + self.timeout, float("inf") if end is None else end)
        return Wait(
            poll=self.poll,
            arguments=self.poll_arguments(),
            hook=self.hook,
            interval=self.interval(),
            deadline=self._deadline,
            max_failures=self.max_failures,
            notes=self.notes,
            log=self.log,
            what=self.awaited,
        )

    def _failures(self, context: Context) -> int:
        """Polls that failed in a row; from a note in ``reschedule`` mode, where each is a process of its own."""
        if not self.reschedule:
            return self._failed
        failures = self._failures_note(context).read()
        return 0 if failures is None else failures.in_a_row

    def _note_failures(self, context: Context, count: int) -> None:
        if not self.reschedule:
            self._failed = count
            return
        from airflow_provider_mirakl.jobs.waiting import Failures

        note = self._failures_note(context)
        if count or note.read() is not None:
            note.write(Failures(count))

    def _failures_note(self, context: Context) -> Note[Failures]:
        from airflow_provider_mirakl.jobs.waiting import FAILURES

        run = TaskRun(context, None, begins=False)
        return FAILURES.at(run.folder, generation=run.generation, store=run.memory)

    def _recall(self, context: Context) -> None:
        """Continue with the notes of the previous poke in ``reschedule`` mode."""
        if self.reschedule and (kept := self._notes_note(context).read()) is not None:
            self.notes = kept.notes

    def _remember(self, context: Context) -> None:
        """Keep the notes for the next poke in ``reschedule`` mode."""
        if not self.reschedule:
            return
        from airflow_provider_mirakl.jobs.waiting import Remembered

        note = self._notes_note(context)
        kept = note.read()
        if self.notes != ({} if kept is None else kept.notes):
            note.write(Remembered(self.notes))

    def _notes_note(self, context: Context) -> Note[Remembered]:
        from airflow_provider_mirakl.jobs.waiting import REMEMBERED

        run = TaskRun(context, None, begins=False)
        return REMEMBERED.at(run.folder, generation=run.attempt, store=run.memory)

    def _read(self, event: object, context: Context) -> Found | None:
        from airflow_provider_mirakl.triggers.poll import read_event

        found = read_event(event)
        if found is None:
            if (end := self._execution_end(context)) is not None and end <= (self._deadline or 0.0):
                raise AirflowTaskTimeout(f"execution_timeout of {self.execution_timeout} passed")
            raise AirflowSensorTimeout(f"Nothing was found within the timeout of {self.timeout} seconds.")
        return found

    def _execution_end(self, context: Context) -> float | None:
        """The time when ``execution_timeout`` ends, counted from the start of the try."""
        if self.execution_timeout is None:
            return None
        self._began = self._began or try_began(context) or time.time()
        return self._began + self.execution_timeout.total_seconds()


class MiraklConnectSensor(OnConnect, MiraklBaseSensor):
    """Base of the sensors of Mirakl Connect.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param poke_interval: seconds between two polls; default 300, which Mirakl recommends.
    """

    def __init__(
        self,
        *,
        mirakl_connect_conn_id: TextArg = CONNECT_DEFAULT,
        poke_interval: float | timedelta = 300.0,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
