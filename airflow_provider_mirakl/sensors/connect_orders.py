"""Sensors on the orders of Mirakl Connect and on the actions that change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.log_groups import log_lines
from airflow_provider_mirakl.runtime.arguments import Codes, Maybe, Moment, Some, Whole
from airflow_provider_mirakl.runtime.limits import LimitsFailures
from airflow_provider_mirakl.runtime.task_run import TaskRun
from airflow_provider_mirakl.sensors.base import MiraklConnectSensor

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.jobs.waiting import Found
    from airflow_provider_mirakl.runtime.arguments import CodesArg, MomentArg, NumberArg, WholeArg
    from airflow_provider_mirakl.runtime.signatures import ConnectSensorArguments


class MiraklConnectOrdersSensor(MiraklConnectSensor):
    """Wait until orders are in a state, such as new orders that wait for acceptance.

    Each poll reads one page of v2-listOrders, which Mirakl permits once a minute for all tasks of an account.

    :param statuses: the states, one or more, such as ``AWAITING_ACCEPTANCE``. Templated.
    :param updated_from: only orders that changed at this time or later, such as ``{{ data_interval_start }}``;
        default the last 30 days. Templated.
    :param min_orders: the number of orders to wait for, 1 to 100.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param poke_interval: seconds between two polls; default 300, which Mirakl recommends.
    :return: ``order_ids``, at most 100, and whether there are ``more``.
    :raises AirflowSensorTimeout: the timeout has passed.
    """

    poll = "airflow_provider_mirakl.sensors.connect_orders_poll.orders_listed"
    statuses = Codes()
    updated_from = Maybe(Moment())
    min_orders = Whole(most=100)

    def __init__(
        self,
        *,
        statuses: CodesArg,
        updated_from: MomentArg | None = None,
        min_orders: WholeArg = 1,
        **kwargs: Unpack[ConnectSensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.statuses = statuses
        self.updated_from = updated_from
        self.min_orders = min_orders

    @property
    def awaited(self) -> str:
        """The orders."""
        return f"{self.min_orders} orders in {' or '.join(self.statuses)}"

    def poll_arguments(self) -> dict[str, Any]:
        """The poll's arguments.

        :raises MiraklConfigurationError: no state is set.
        """
        if not self.statuses:
            raise MiraklConfigurationError(
                "statuses must contain at least one state, such as AWAITING_ACCEPTANCE",
                field="statuses",
            )
        return {
            "statuses": self.statuses,
            "updated_from": None if self.updated_from is None else self.updated_from.isoformat(),
            "min_orders": self.min_orders,
        }

    def conclude(self, context: Context, found: Found) -> Any:
        """Log the number of orders."""
        self.log.info("%d orders%s", len(found["order_ids"]), " or more" if found["more"] else "")
        return found


class MiraklConnectOrderActionsSensor(LimitsFailures, MiraklConnectSensor):
    """Wait for actions on orders and returns that another task sent with ``wait_for_completion=False``
    (v2-getActionStatus).

    :param action_ids: Mirakl's ids, such as the ``action_ids`` of the operator. Templated.
    :param max_failed_items: how many actions may fail without failing the task; ``None`` allows any number. Templated.
    :param max_failed_ratio: the share of actions, 0 to 1, that may fail without failing the task. Templated.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param poke_interval: seconds between two polls; default 300, which Mirakl recommends; it permits 60.
    :return: the outcome (``sent``, ``succeeded``, ``failed``, ``errors``), with ``action_ids``, and ``reasons``: code
        and message of each action that failed, by its id.
    :raises MiraklItemsFailedError: more actions failed than allowed.
    :raises AirflowSensorTimeout: the timeout has passed.
    """

    of: ClassVar[Literal["orders", "conversations"]] = "orders"
    """What the actions are about."""
    poll = "airflow_provider_mirakl.actions.book.actions_ended"
    action_ids = Some(Codes())

    def __init__(
        self,
        *,
        action_ids: CodesArg,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        **kwargs: Unpack[ConnectSensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.action_ids = action_ids
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio

    def poll_arguments(self) -> dict[str, Any]:
        """The actions."""
        return {"action_ids": self.action_ids, "of": self.of}

    def conclude(self, context: Context, found: Found) -> Any:
        """Log which actions failed, and fail the task if too many did.

        :raises MiraklItemsFailedError: too many failed.
        """
        from airflow_provider_mirakl.outcome import ItemResult, OutcomeWriter

        failed = found["failed"]
        with OutcomeWriter(None) as writer:
            for action_id in self.action_ids:
                code, message = failed.get(action_id, (None, None))
                writer.add(
                    ItemResult(action_id, "failed" if action_id in failed else "succeeded", code, message)
                )
        if failed:
            log_lines(
                self.log.warning,
                f"{len(failed):,} of {len(self.action_ids):,} actions failed",
                [f"Action {action_id}: {code}: {message}" for action_id, (code, message) in failed.items()],
            )
        result = writer.outcome.summary() | {"action_ids": self.action_ids, "reasons": failed}
        self.check_items(TaskRun(context, None, begins=False), result)
        return result


class MiraklConnectConversationActionsSensor(MiraklConnectOrderActionsSensor):
    """Wait for messages of conversations with customers that another task sent with ``wait_for_completion=False``.

    Parameters, result and errors: :class:`MiraklConnectOrderActionsSensor`.
    """

    of = "conversations"
