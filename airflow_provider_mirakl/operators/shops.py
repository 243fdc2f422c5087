"""Operators for shops and for the settings of an instance."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklError,
    MiraklInputError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.files.storage import unreadable
from airflow_provider_mirakl.files.values import check_path, is_nothing, read_structure
from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import (
    Argument,
    Choice,
    Choices,
    Codes,
    Deliberate,
    Flag,
    Id,
    Location,
    Maybe,
    Moment,
    Selection,
    Text,
    Whole,
    check_caller,
)
from airflow_provider_mirakl.runtime.choices import UnknownFields
from airflow_provider_mirakl.runtime.connections import OnInstance
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.api.shops import ShopUpdate
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.hooks.platform import PlatformSettings
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        FlagArg,
        MappingArg,
        MomentArg,
        PathArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import InstanceArguments, StoringArguments, TaskArguments

ShopState = Literal["OPEN", "CLOSE", "SUSPENDED", "TERMINATED"]
Period = Literal["ALL_SINCE_BEGINNING", "LAST_MONTH", "LAST_THREE_MONTHS", "LAST_SIX_MONTHS", "LAST_YEAR"]

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
"""What :class:`MiraklGetShopOperator` returns by default: no address and no bank account."""


class MiraklInstanceOperator(OnInstance, MiraklBaseOperator):
    """Base of the operators of a Mirakl instance: the connection.

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: the role whose key is used: ``shop``, ``operator`` or ``front``; default the connection's own.
    """

    roles: Sequence[str] = ("shop", "operator", "front")
    """Roles that may make the operator's calls."""
    operation: str
    """Mirakl's code of the main operation."""

    def __init__(
        self,
        *,
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        role: TextArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role

    def caller_of(self, shop_id: int | None = None) -> Caller:
        """The role of the key, and the shop.

        :param shop_id: the shop; ``None`` takes the connection's own.
        :raises MiraklConfigurationError: the role may not make the operator's calls, or not for a shop.
        """
        return check_caller(self.hook, shop_id, self.operation, self.roles)


class StoringOperator(MiraklInstanceOperator):
    """Base of the operators that keep their own files.

    :param work_folder: folder for outcomes and cached answers, as an object storage path that every worker can access;
        default ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``.
    """

    work_folder = Maybe(Location())

    def __init__(self, *, work_folder: PathArg | None = None, **kwargs: Unpack[InstanceArguments]) -> None:
        super().__init__(**kwargs)
        self.work_folder = work_folder

    def kept_settings(self, client: Client) -> PlatformSettings:
        """Settings of the instance, requested no more often than Mirakl permits."""
        from airflow_provider_mirakl.hooks.platform import PlatformSettings

        return PlatformSettings(client, self.work_folder)

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """Leave out a check for which Mirakl does not permit a call now: one lost reply would stop the task for a day.

        Mirakl makes the same check.
        """
        try:
            yield
        except (MiraklNotYetError, MiraklRateLimitError) as wait:
            self.log.warning("%s The codes are not checked before the call; Mirakl checks them.", wait)


class MiraklGetShopOperator(StoringOperator):
    """Get the account of a seller's shop.

    Mirakl permits this once a day, so the answer is cached in the work folder for a day. It contains
    addresses and bank accounts: keep the work folder private.

    :param shop_id: the shop, for a user with several shops; default that of the connection, else the user's default
        shop. Templated.
    :param include_fields: what to return, in Mirakl's names; ``None`` for everything, which writes addresses and bank
        accounts into XCom. Default :data:`SHOP_FIELDS`.
    :return: the fields of Mirakl's answer.
    :raises MiraklConfigurationError: the key is not a seller's; no call was made.

    Source: :ref:`A01 <facts-a01>`.
    """

    operation = "A01"
    roles = ("shop",)
    shop_id = Maybe(Id())
    include_fields = Deliberate(Codes(), default=list(SHOP_FIELDS))

    def __init__(
        self,
        *,
        shop_id: WholeArg | None = None,
        include_fields: CodesArg | None = SHOP_FIELDS,
        **kwargs: Unpack[StoringArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.shop_id = shop_id
        self.include_fields = include_fields

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the call, or return the cached answer."""
        from airflow_provider_mirakl.api.shops import get_account

        shop_id = self.caller_of(self.shop_id).shop_id
        with self.hook.get_conn() as client:
            account = self.kept_settings(client).get(get_account(shop_id=shop_id))
        self.log.info("Shop %s is %s", account.get("shop_id"), account.get("shop_state"))
        wanted = account if self.include_fields is None else self.include_fields
        return {name: account[name] for name in wanted if name in account}


class MiraklGetShopStatisticsOperator(StoringOperator):
    """Get the sales figures of a seller's shop.

    Mirakl permits this once a day, so the answer is cached in the work folder for a day.

    :param periods: ``ALL_SINCE_BEGINNING``, ``LAST_MONTH``, ``LAST_THREE_MONTHS``, ``LAST_SIX_MONTHS``, ``LAST_YEAR``;
        none for all.
    :param channel_code: only this channel; default all channels together. Templated.
    :param shop_id: the shop, for a user with several shops; default that of the connection, else the user's default
        shop. Templated.
    :return: Mirakl's answer: for every figure a list of ``period`` and ``value``.
    :raises MiraklConfigurationError: a period is unknown, or the key is not a seller's; no call was made.

    Source: :ref:`A21 <facts-a01>`.
    """

    operation = "A21"
    roles = ("shop",)
    periods = Selection(Choices(get_args(Period)))
    channel_code = Maybe(Text())
    shop_id = Maybe(Id())

    def __init__(
        self,
        *,
        periods: CodesArg = (),
        channel_code: TextArg | None = None,
        shop_id: WholeArg | None = None,
        **kwargs: Unpack[StoringArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.periods = periods
        self.channel_code = channel_code
        self.shop_id = shop_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the call, or return the cached answer."""
        from airflow_provider_mirakl.api.shops import get_statistics

        call = get_statistics(
            periods=self.periods,
            channel_code=self.channel_code,
            shop_id=self.caller_of(self.shop_id).shop_id,
        )
        with self.hook.get_conn() as client:
            return self.kept_settings(client).get(call)


class Changes(Argument["Mapping[str, Any] | str"]):
    """Fields of a shop, or the path of a JSON file. Messages never show them: they may contain bank accounts."""

    expected = "a mapping of fields, or the path of a JSON file with them"

    def waits(self, value: object) -> bool:
        """A string in braces is a mapping, not a path."""
        return not (isinstance(value, str) and isinstance(read_structure(value), Mapping)) and super().waits(
            value
        )

    def read(self, value: object) -> Mapping[str, Any] | str:
        found = read_structure(value)
        if isinstance(found, Mapping):
            return found
        if isinstance(found, str) and found.lstrip().startswith("{"):
            raise MiraklConfigurationError(
                f"{self.name} starts like a mapping, but is neither JSON nor Python", field=self.name
            )
        if isinstance(found, str | PathLike) and not is_nothing(found):
            return check_path(self.name, str(found).strip())
        raise MiraklConfigurationError(
            f"{self.name} must be {self.expected}, not {type(value).__name__}", field=self.name
        )


class MiraklUpdateShopOperator(StoringOperator):
    """Change some fields of a seller's shop.

    A field that is left out is not changed; ``null`` erases it, if Mirakl allows that. Mirakl answers 200 even if
    it rejects a field, such as one that the operator has locked: each rejected field counts as failed here.

    Mirakl permits this once a day. A second call that day is not made and raises ``MiraklNotYetError``, or
    ``MiraklRateLimitError`` if Mirakl itself rejects it; both have the next permitted time.

    If Mirakl's reply is lost, the change may have been made, and Mirakl may have counted the call. The task then reads
    the shop (A01, also permitted once a day). If the shop has every changed value, the task succeeds. Otherwise it
    fails and says so; a retry checks again before it sends.

    :param changes: the fields in Mirakl's names; or the path of a JSON file with them, which keeps bank accounts out
        of the rendered template. Templated.
    :param shop_id: the shop, for a user with several shops; default that of the connection, else the user's default
        shop. Templated.
    :param unknown_fields: ``reject`` fields that A02 does not document, or ``send`` them.
    :param check_codes: compare ``channels`` with those of the instance (CH11, called once a day) before the
        update. The check is left out, with a warning, if Mirakl refuses that call because it was made too recently.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``errors``, ``rows`` (the file with a line for each
        field) and ``folder``.
    :raises MiraklInputError: ``changes`` is invalid; every problem is listed and nothing was sent.
    :raises MiraklItemsFailedError: Mirakl rejected some fields.

    Source: :ref:`A02 <facts-a01>`.
    """

    operation = "A02"
    asset_name = "shops"
    roles = ("shop",)
    template_fields_renderers = {"changes": "json"}
    changes = Changes()
    shop_id = Maybe(Id())
    unknown_fields = Choice[UnknownFields](get_args(UnknownFields))
    check_codes = Flag()

    def __init__(
        self,
        *,
        changes: MappingArg | PathArg,
        shop_id: WholeArg | None = None,
        unknown_fields: UnknownFields | TextArg = "reject",
        check_codes: FlagArg = True,
        **kwargs: Unpack[StoringArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.changes = changes
        self.shop_id = shop_id
        self.unknown_fields = unknown_fields
        self.check_codes = check_codes

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, send, and evaluate each field."""
        from airflow_provider_mirakl.api.shops import update_account
        from airflow_provider_mirakl.outcome import OutcomeWriter
        from airflow_provider_mirakl.shops.fields import update_results

        run = TaskRun(context, self.work_folder, begins=True)
        changes = self._read_changes()
        call = update_account(
            changes, shop_id=self.caller_of(self.shop_id).shop_id, unknown_fields=self.unknown_fields
        )
        with self.hook.get_conn() as client:
            if self.check_codes and changes.get("channels"):
                with self.unless_refused():
                    self.kept_settings(client).check(channels=changes["channels"])
            answer = self._update(run, client, call, changes)
        run.folder.mkdir(parents=True, exist_ok=True)
        with OutcomeWriter(run.folder / "outcome.ndjson", sent=len(changes)) as writer:
            writer.add_all(update_results(list(changes), answer))
        result = writer.outcome.summary() | {"folder": str(run.folder)}
        run.check_items(result, 0, None, self.log, after_failure="correct the changes, and clear this task")
        run.tell_assets(self, result)
        return result

    def _update(
        self, run: TaskRun, client: Client, call: Call[ShopUpdate], changes: Mapping[str, Any]
    ) -> ShopUpdate:
        """Send the changes, unless a previous try has made them, whether or not its reply came."""
        from airflow_provider_mirakl.api.shops import ShopUpdate
        from airflow_provider_mirakl.shops.fields import UPDATE, Update

        note = UPDATE.at(run.folder, generation=run.generation, store=run.memory)
        assert isinstance(call.body, bytes)  # noqa: S101 - encoded when the call was made
        sent = hashlib.sha256(call.target.encode() + b"\0" + call.body).hexdigest()
        kept = note.read() or Update(None)
        if (known := kept.answer(sent)) is not None:
            self.log.info("A previous try sent these changes, and Mirakl answered; using its result.")
            return known
        lost = kept.open_since
        if lost is not None and self._is_shown(client, changes):
            return ShopUpdate((), {})
        note.write(Update(time.time()))  # before the call: a killed worker cannot note it afterwards
        try:
            answer = client.send(call)
        except (MiraklNotYetError, MiraklRateLimitError) as wait:
            note.write(Update(lost))
            if lost is None:
                raise
            raise MiraklNotYetError(
                f"{wait} The reply to this task's call of {datetime.fromtimestamp(lost, UTC):%Y-%m-%d %H:%M:%S} UTC "
                "was lost, so the change may already have been made. Check the shop in Mirakl's back office. Sending "
                "the same change again is harmless, but Mirakl only permits it at that time",
                operation="A02",
                retry_at=wait.retry_at,
            ) from None
        except MiraklError as error:
            unclear = (MiraklServerError, MiraklReplyError, MiraklTransportError)
            if error.surely_not_done or not isinstance(error, unclear):
                note.write(Update(lost))
                raise
            self.log.warning("%s Whether Mirakl made the change is not known.", error)
            if not self._is_shown(client, changes):
                raise
            answer = ShopUpdate((), {})
        note.write(Update(None, sent, answer.errors, answer.updated is not None))
        return answer

    def _is_shown(self, client: Client, changes: Mapping[str, Any]) -> bool:
        """Whether the shop shows every changed value now."""
        from airflow_provider_mirakl.api.shops import get_account
        from airflow_provider_mirakl.shops.fields import not_shown

        try:
            account = client.send(get_account(shop_id=self.caller_of(self.shop_id).shop_id), max_wait=0)
        except MiraklError as error:
            self.log.info("The shop cannot be read to see whether the change was made: %s", error)
            return False
        missing = not_shown(changes, account)
        if missing:
            self.log.warning("The shop does not show the new value of %s.", ", ".join(missing))
        else:
            self.log.warning(
                "The reply was lost; the shop shows every changed value, so the change was made."
            )
        return not missing

    def _read_changes(self) -> Mapping[str, Any]:
        given = self.changes
        if isinstance(given, Mapping):
            return given
        try:
            changes = json.loads(storage_path(given).read_bytes())
        except OSError as error:
            raise unreadable("changes", f"{given:.200}", error) from None
        except (ValueError, RecursionError) as error:
            raise MiraklInputError(f"{self.changes} is not valid JSON ({error})") from None
        if not isinstance(changes, dict):
            raise MiraklInputError(f"{self.changes} does not contain a JSON object")
        return changes


class MiraklListShopsOperator(MiraklInstanceOperator):
    """List the ids of the shops of a marketplace, for dynamic task mapping. For the operator.

    Uncertain: Mirakl's public files describe the answer of this call, but not its path or filters.

    :param states: only shops in these states: ``OPEN``, ``CLOSE``, ``SUSPENDED``, ``TERMINATED``; none for all.
    :param updated_since: only shops that changed since then. Templated.
    :param group_size: return lists of this many ids instead of single ids. Airflow maps over 1,024 elements at most
        (``[core] max_map_length``). Templated.
    :param target: an NDJSON file for the complete shops as Mirakl returns them: a local path or
        object storage. They contain addresses: keep it private. Templated.
    :return: the ids in Mirakl's order, each once: a shop may be listed on two pages if the list changes meanwhile.

    Source: :ref:`S20 <facts-s20>`.
    """

    operation = "S20"
    roles = ("operator",)
    states = Selection(Choices(get_args(ShopState)))
    updated_since = Maybe(Moment())
    group_size = Maybe(Whole())
    target = Maybe(Location())

    def __init__(
        self,
        *,
        states: CodesArg = ("OPEN", "CLOSE", "SUSPENDED"),
        updated_since: MomentArg | None = None,
        group_size: WholeArg | None = None,
        target: PathArg | None = None,
        **kwargs: Unpack[InstanceArguments],
    ) -> None:
        kwargs.setdefault("multiple_outputs", False)  # a list has no keys
        super().__init__(**kwargs)
        self.states = states
        self.updated_since = updated_since
        self.group_size = group_size
        self.target = target

    def execute(self, context: Context) -> list[int] | list[list[int]]:
        """Read every page."""
        from airflow_provider_mirakl.api.shops import id_of, list_shops
        from airflow_provider_mirakl.runtime.downloads import write_rows

        self.caller_of()
        listed: dict[int, None] = {}

        def shops(client: Client) -> Iterator[dict[str, Any]]:
            for page in client.pages(list_shops(updated_since=self.updated_since)):
                for shop in page.items:
                    number = id_of(shop)
                    if number not in listed and (not self.states or shop.get("shop_state") in self.states):
                        listed[number] = None
                        yield shop

        with self.hook.get_conn() as client:
            if self.target is None:
                for _ in shops(client):
                    pass
            else:
                write_rows(shops(client), self.target)
        found = list(listed)
        self.log.info("%d shops", len(found))
        if self.group_size is None:
            return found
        return [found[start : start + self.group_size] for start in range(0, len(found), self.group_size)]
