"""The base of the operators that repair single products. The work of a repair is in ``repair/``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError
from airflow_provider_mirakl.files.paths import lies_in, storage_path
from airflow_provider_mirakl.files.values import is_nothing, read_structure
from airflow_provider_mirakl.hooks.djust import DjustHook
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Codes,
    Flag,
    Given,
    Location,
    Maybe,
    Seconds,
    Text,
    Whole,
)
from airflow_provider_mirakl.runtime.limits import LimitsFailures
from airflow_provider_mirakl.runtime.task_run import TaskRun, fits, time_left, try_began

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.repair.pairs import Pairs
    from airflow_provider_mirakl.repair.routes import Route
    from airflow_provider_mirakl.repair.run import RepairRun
    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import TaskArguments

RouteName = Literal["direct", "djust"]


class ProductRepairOperator(LimitsFailures, MiraklBaseOperator):
    """Base of the operators that repair single products: input, preview, one of two routes, wait, report.

    The parameters are those of :class:`~airflow_provider_mirakl.operators.resync.MiraklResyncProductsOperator`.
    """

    ui_color = "#fbe4d5"
    products = Given()
    source = Maybe(Location())
    source_folders = Maybe(Codes(templated=False))
    encoding = Text()
    route = Choice(get_args(RouteName))
    mirakl_conn_id = Maybe(Text())
    djust_conn_id = Text()
    client_specification_id = Maybe(Text())
    batch_size = Whole()
    preview = Flag()
    max_products = Whole()
    deferrable = Flag(templated=False)
    poll_interval = Seconds(above=0, templated=False)
    timeout = Seconds(least=0)
    max_failures = Whole(least=0, templated=False)
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        products: RowsArg | None,
        source: PathArg | None,
        source_folders: Sequence[str] | None,
        encoding: TextArg,
        route: TextArg,
        mirakl_conn_id: TextArg | None,
        djust_conn_id: TextArg,
        client_specification_id: TextArg | None,
        batch_size: WholeArg,
        preview: FlagArg,
        max_products: WholeArg,
        deferrable: bool,
        poll_interval: float | timedelta,
        timeout: NumberArg | timedelta,
        max_failures: int,
        max_failed_items: WholeArg | None,
        max_failed_ratio: NumberArg | None,
        work_folder: PathArg | None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.products = products
        self.source = source
        self.source_folders = source_folders
        self.encoding = encoding
        self.route = route
        self.mirakl_conn_id = mirakl_conn_id
        self.djust_conn_id = djust_conn_id
        self.client_specification_id = client_specification_id
        self.batch_size = batch_size
        self.preview = preview
        self.max_products = max_products
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_failures = max_failures
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.work_folder = work_folder

    asset_name = "products"

    # The task

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, send, wait, report."""
        run = TaskRun(context, self.work_folder, begins=True)
        found = self._read()
        with self._opened(run) as repair:
            repair.begin(found, keep=not self.preview)
            if self.preview:
                self._test_djust()
                result = repair.preview()
                run.tell_assets(self, result)
                return result
            repair.send(self.batch_size)
            context["ti"].xcom_push(key="job_ids", value=repair.repair.job_ids)
            return self._checked(run, repair.conclude(self._wait(context, run, repair)))

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Evaluate, after the wait in the triggerer.

        Airflow resumes without an event when a task is cleared just as it defers: then the try begins like
        any other.

        :raises MiraklTriggerEventError: the event is not valid.
        """
        from airflow_provider_mirakl.triggers.poll import read_event

        if event is None:
            return self.execute(context)
        found = read_event(event)
        carried = event.get("carried") if isinstance(event, dict) else None
        run = TaskRun(context, self.work_folder, begins=False, carried=carried)
        with self._opened(run) as repair:
            repair.take_up()
            return self._checked(run, repair.conclude(found))

    def _wait(self, context: Context, run: TaskRun, repair: RepairRun) -> dict[str, Any] | None:
        """Wait until every product has an answer, in the triggerer if that pays off."""
        from airflow_provider_mirakl.runtime.waiting import SHORTEST_DEFERRAL, Wait, pays_off

        question, hook = repair.question, self.mirakl_hook
        if question is None or hook is None:
            return None
        now, interval = time.time(), self.poll_interval * hook.settings.interval_factor
        wait = Wait(
            poll=question.poll,
            arguments=question.arguments,
            hook=hook,
            interval=interval,
            deadline=now + self.timeout,
            max_failures=self.max_failures,
            log=self.log,
        )
        with hook.get_conn() as client:
            found = wait.once(client, leaves=self.deferrable)
            if found is None and self.deferrable and not pays_off(interval):
                # Shorter than a deferral: the answer may be there before the triggerer would be.
                soon = min(wait.deadline, now + SHORTEST_DEFERRAL)
                found = wait.to_the_end(client, first=now + interval, last=soon)
            if found is not None or time.time() >= wait.deadline:
                return found
            if self.deferrable and not fits(question.arguments):
                self.log.warning(
                    "The list of ids is too long for Airflow's database, so the task waits in the worker."
                )
            elif self.deferrable:
                self.log.info(
                    "Waiting in the triggerer for %d products, at most %d s.",
                    len(repair.repair.products),
                    self.timeout,
                )
                self.defer(
                    trigger=wait.trigger(carried=run.memory.carried),
                    method_name=self.resume.__name__,
                    timeout=wait.backstop(time_left(self.execution_timeout, try_began(context))),
                )
            return wait.to_the_end(client, first=now + interval)

    def _checked(self, run: TaskRun, result: dict[str, Any]) -> dict[str, Any]:
        self.check_items(run, result)
        run.tell_assets(self, result)
        return result

    # The clients

    @cached_property
    def djust_hook(self) -> DjustHook:
        """The hook of the DJUST connection."""
        return DjustHook(self.djust_conn_id)

    @property
    def changed_by(self) -> MiraklHook | None:
        """The hook of the instance, if one is set."""
        return None if self.mirakl_conn_id is None else MiraklHook(self.mirakl_conn_id)

    @cached_property
    def mirakl_hook(self) -> MiraklHook | None:
        """The hook of the instance; ``None`` if the route does not need one and none is set.

        :raises MiraklConfigurationError: the direct route has no connection, or its key is a shop's.
        """
        if self.mirakl_conn_id is None:
            if self.route == "djust":
                return None
            raise MiraklConfigurationError(
                "mirakl_conn_id must be set: the direct route needs a connection", field="mirakl_conn_id"
            )
        hook = MiraklHook(self.mirakl_conn_id)
        if hook.values.role not in ("operator", "front"):
            raise MiraklConfigurationError(
                f"role must be operator or front to read the states of products (CM51), but {hook.conn_id!r} has "
                f"the key of role {hook.values.role}; set a connection of the operator",
                field="role",
            )
        return hook

    @contextmanager
    def _opened(self, run: TaskRun) -> Iterator[RepairRun]:
        """The repair with its clients and its note."""
        from airflow_provider_mirakl.repair.record import REPAIR_NOTE
        from airflow_provider_mirakl.repair.run import RepairRun

        hook = self.mirakl_hook
        with ExitStack() as stack:
            instance = None if hook is None else stack.enter_context(hook.get_conn())
            note = REPAIR_NOTE.at(run.folder, generation=run.generation, store=run.memory)
            yield RepairRun(run.folder, note, self._route(stack, instance), instance)

    def _route(self, stack: ExitStack, instance: Any) -> Route:
        from airflow_provider_mirakl.repair.routes import DirectRoute, DjustRoute

        if self.route == "djust":
            client = stack.enter_context(self.djust_hook.get_conn())
            return DjustRoute(client, self.djust_conn_id, self.chosen_client, has_proof=instance is not None)
        assert self.mirakl_hook is not None  # noqa: S101 - the direct route has one
        return DirectRoute(instance, self.mirakl_hook.values.role or "operator")

    def _test_djust(self) -> None:
        if self.route == "djust":
            works, word = self.djust_hook.test_connection()
            if not works:
                raise MiraklConfigurationError(word, field="djust_conn_id")
            self.log.info("%s Mirakl client: %s", word, self.chosen_client or "DJUST resolves it")

    # The arguments

    def _read(self) -> Pairs:
        """Read and check the products.

        :raises MiraklInputError: the input is invalid (every problem is listed), or has too many products.
        """
        from airflow_provider_mirakl.repair.pairs import read_file, read_pairs

        products = read_structure(self.products)
        has_products, has_source = _holds(products), self.source is not None
        if has_products and has_source:
            raise MiraklInputError("Set either products or source, not both")
        if not has_products and not has_source:
            raise MiraklInputError("No products: set either products or source")
        if has_products:
            return read_pairs(products, limit=self.max_products)
        return read_file(self._file(), limit=self.max_products, encoding=self.encoding)

    def _file(self) -> StoragePath:
        path = str(self.source)
        if self.source_folders is not None and not lies_in(path, self.source_folders):
            raise MiraklInputError(
                f"source must be a file in {' or '.join(self.source_folders)}, not {path!r}"
            )
        return storage_path(path)

    @property
    def chosen_client(self) -> str | None:
        """The Mirakl client configuration for DJUST to use.

        :raises MiraklConfigurationError: it is not a UUID.
        """
        if self.client_specification_id is None:
            return self.djust_hook.values.client_specification_id
        text = self.client_specification_id.strip()
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise MiraklConfigurationError(
                f"client_specification_id must be a UUID such as a1b2c3d4-e5f6-7890-abcd-ef1234567890, as DJUST shows "
                f"it, or empty to let DJUST resolve it, not {text!r}",
                field="client_specification_id",
            ) from None


def _holds(products: object) -> bool:
    """Whether there are any products: an empty form has an empty list, or a list of empty lines."""
    if isinstance(products, list | tuple):
        return any(not isinstance(item, str) or item.strip() for item in products)
    return not is_nothing(products)
