"""Operators for shops and for the settings of an instance."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.hooks.mirakl import MiraklHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.hooks.platform import PlatformSettings

SHOP_FIELDS = (
    "shop_id",
    "shop_name",
    "shop_state",
    "suspension_type",
    "closed_from",
    "closed_to",
    "date_created",
    "last_updated_date",
    "currency_iso_code",
    "channels",
    "domains",
    "model",
    "is_professional",
    "premium",
    "kyc",
    "offers_count",
    "orders_count",
    "evaluations_count",
    "grade",
)
"""What :class:`MiraklGetShopOperator` returns unless it is told otherwise: no address and no bank account."""


class MiraklInstanceOperator(BaseOperator):
    """What all operators of a Mirakl instance share: the connection.

    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: whose key of the connection is used: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param work_folder: folder for outcomes and kept answers, as an object storage path that every worker reaches;
        default ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    """

    ui_color = "#d8ecf6"

    def __init__(
        self,
        *,
        mirakl_conn_id: str = MiraklHook.default_conn_name,
        role: Literal["shop", "operator", "front"] | None = None,
        work_folder: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.work_folder = work_folder

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the operator's connection."""
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    @property
    def caller_role(self) -> str:
        """The role that the calls are made in."""
        return self.hook.values.role or "shop"

    def own_shop(self, given: int | str | None) -> int | None:
        """The shop an argument names, else that of a seller's connection, else ``None``."""
        from airflow_provider_mirakl.api.documents import as_ids

        ids = as_ids(given, "shop_id")
        if len(ids) > 1:
            raise MiraklInputError(f"shop_id holds {len(ids)} shops; give one")
        if ids:
            return ids[0]
        return self.hook.values.shop_id if self.caller_role == "shop" else None

    def kept_settings(self, client: Client) -> PlatformSettings:
        """Settings of the instance that are asked no more often than permitted."""
        from airflow_provider_mirakl.hooks.platform import PlatformSettings

        return PlatformSettings(client, self.work_folder)


class MiraklGetShopOperator(MiraklInstanceOperator):
    """Give what Mirakl knows of a seller's shop.

    Mirakl permits this once a day, so the answer is kept in the work folder for a day and given again. It holds
    addresses and bank accounts: keep the work folder private.

    :param shop_id: the shop, for a user of several; default that of the connection, else the user's default shop.
        Templated.
    :param fields: what to return, in Mirakl's names; ``None`` for everything, which puts addresses and bank accounts
        into XCom. Default :data:`SHOP_FIELDS`.
    :return: the fields that Mirakl gave.
    :raises MiraklPermissionError: the key is not a seller's.

    Source: :ref:`A01 <facts-a01>`.
    """

    template_fields: Sequence[str] = ("shop_id", "mirakl_conn_id", "work_folder")

    def __init__(
        self,
        *,
        shop_id: int | str | None = None,
        fields: Collection[str] | None = SHOP_FIELDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shop_id = shop_id
        self.fields = fields

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the call, or give the kept answer."""
        from airflow_provider_mirakl.api.shops import get_account

        with self.hook.get_conn() as client:
            account = self.kept_settings(client).get(get_account(shop_id=self.own_shop(self.shop_id)))
        self.log.info("Shop %s is %s", account.get("shop_id"), account.get("shop_state"))
        wanted = account if self.fields is None else self.fields
        return {name: account[name] for name in wanted if name in account}


class MiraklGetShopStatisticsOperator(MiraklInstanceOperator):
    """Give the sales figures of a seller's shop.

    Mirakl permits this once a day, so the answer is kept in the work folder for a day and given again.

    :param periods: ``ALL_SINCE_BEGINNING``, ``LAST_MONTH``, ``LAST_THREE_MONTHS``, ``LAST_SIX_MONTHS``, ``LAST_YEAR``;
        none for all.
    :param channel_code: only this channel; default all together. Templated.
    :param shop_id: the shop, for a user of several; default that of the connection, else the user's default shop.
        Templated.
    :return: Mirakl's answer: for every figure a list of ``period`` and ``value``.
    :raises MiraklInputError: for a period that does not exist.

    Source: :ref:`A21 <facts-a01>`.
    """

    template_fields: Sequence[str] = ("channel_code", "shop_id", "mirakl_conn_id", "work_folder")

    def __init__(
        self,
        *,
        periods: Collection[str] = (),
        channel_code: str | None = None,
        shop_id: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.periods = periods
        self.channel_code = channel_code
        self.shop_id = shop_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the call, or give the kept answer."""
        from airflow_provider_mirakl.api.shops import get_statistics
        from airflow_provider_mirakl.runtime.arguments import is_nothing

        with self.hook.get_conn() as client:
            call = get_statistics(
                periods=self.periods,
                channel_code=None if is_nothing(self.channel_code) else self.channel_code,
                shop_id=self.own_shop(self.shop_id),
            )
            return self.kept_settings(client).get(call)


class MiraklUpdateShopOperator(MiraklInstanceOperator):
    """Change some fields of a seller's shop.

    A field that is left out stays as it is; ``null`` erases it, where Mirakl allows that. Mirakl answers 200 even where
    it refuses a field, such as one that the operator has locked: that is a failure here, field by field.

    Mirakl permits this once a day. A second call that day is not made and raises ``MiraklNotYetError``, or
    ``MiraklRateLimitError`` where Mirakl itself refuses it; both hold the next permitted moment.

    :param changes: the fields in Mirakl's names; or the path of a JSON file with them, which keeps bank accounts out
        of the rendered template. Templated.
    :param shop_id: the shop, for a user of several; default that of the connection, else the user's default shop.
        Templated.
    :param unknown_fields: ``refuse`` fields that A02 does not document, or ``send`` them.
    :param check: compare ``channels`` with those of the instance (CH11, asked once a day) before the call is spent.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``errors`` and ``rows``, the file with a line for each
        field.
    :raises MiraklInputError: ``changes`` is wrong; every fault is listed and nothing was sent.
    :raises MiraklItemsFailedError: Mirakl refused some fields.

    Source: :ref:`A02 <facts-a01>`.
    """

    template_fields: Sequence[str] = ("changes", "shop_id", "mirakl_conn_id", "work_folder")
    template_fields_renderers = {"changes": "json"}

    def __init__(
        self,
        *,
        changes: Mapping[str, Any] | str,
        shop_id: int | str | None = None,
        unknown_fields: Literal["refuse", "send"] = "refuse",
        check: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.changes = changes
        self.shop_id = shop_id
        self.unknown_fields = unknown_fields
        self.check = check

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, send, and judge field by field."""
        from airflow_provider_mirakl.api.shops import update_account
        from airflow_provider_mirakl.outcome import FailurePolicy, OutcomeWriter
        from airflow_provider_mirakl.runtime.task_run import TaskRun
        from airflow_provider_mirakl.shops.fields import judge_update

        run = TaskRun(context, self.work_folder, begins=True)
        changes = self._read_changes()
        call = update_account(
            changes, shop_id=self.own_shop(self.shop_id), unknown_fields=self.unknown_fields
        )
        with self.hook.get_conn() as client:
            if self.check and changes.get("channels"):
                self.kept_settings(client).check(channels=changes["channels"])
            answer = client.send(call)
        run.folder.mkdir(parents=True, exist_ok=True)
        with OutcomeWriter(run.folder / "outcome.ndjson", sent=len(changes)) as writer:
            writer.add_all(judge_update(list(changes), answer))
        self.log.info("Outcome: %s", writer.outcome)
        FailurePolicy().judge(writer.outcome)
        return writer.outcome.summary()

    def _read_changes(self) -> Mapping[str, Any]:
        import json

        from airflow_provider_mirakl.files.paths import storage_path
        from airflow_provider_mirakl.runtime.arguments import read_path, read_structure

        given = read_structure(self.changes)
        if isinstance(given, Mapping):
            return given
        if isinstance(given, str) and given.lstrip().startswith("{"):  # not shown: it may hold bank accounts
            raise MiraklInputError("changes: looks like a mapping, but is neither JSON nor Python")
        try:
            changes = json.loads(storage_path(read_path("changes", given)).read_bytes())
        except OSError as error:
            raise MiraklInputError(f"changes: {given!r:.200} is no file that can be read ({error})") from None
        except ValueError as error:
            raise MiraklInputError(f"{self.changes} is not JSON ({error})") from None
        if not isinstance(changes, dict):
            raise MiraklInputError(f"{self.changes} holds no JSON object")
        return changes


class MiraklListShopsOperator(MiraklInstanceOperator):
    """Give the ids of the shops of a marketplace, for dynamic task mapping. For the operator.

    Uncertain: Mirakl's public files describe the answer of this call, not its path and not its filters.

    :param states: only shops in these states: ``OPEN``, ``CLOSE``, ``SUSPENDED``, ``TERMINATED``; none for all.
    :param updated_since: only shops that changed since then. Templated.
    :param group_size: gives lists of so many ids instead of ids. Airflow maps over 1,024 elements at most
        (``[core] max_map_length``).
    :return: the ids in Mirakl's order.

    Source: :ref:`S20 <facts-s20>`.
    """

    template_fields: Sequence[str] = ("updated_since", "mirakl_conn_id", "work_folder")

    def __init__(
        self,
        *,
        states: Collection[str] = ("OPEN", "CLOSE", "SUSPENDED"),
        updated_since: datetime | str | None = None,
        group_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.states = states
        self.updated_since = updated_since
        self.group_size = group_size

    def execute(self, context: Context) -> list[int] | list[list[int]]:
        """Read every page."""
        from airflow_provider_mirakl.api.shops import list_shops
        from airflow_provider_mirakl.runtime.arguments import as_moment

        since = as_moment(self.updated_since, "updated_since")
        with self.hook.get_conn() as client:
            found = [
                int(str(shop["shop_id"]))
                for page in client.pages(list_shops(updated_since=since))
                for shop in page.items
                if not self.states or shop.get("shop_state") in self.states
            ]
        self.log.info("%d shops", len(found))
        if self.group_size is None:
            return found
        return [found[start : start + self.group_size] for start in range(0, len(found), self.group_size)]
