"""The two routes of a repair behind one interface: CM21 on the instance, or DJUST, which calls CM21 itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from airflow_provider_mirakl.api.catalog_manager import get_synchronization_report, synchronize_products
from airflow_provider_mirakl.api.djust import synchronize_products as synchronize_through_djust
from airflow_provider_mirakl.api.secrets import fit_to_show
from airflow_provider_mirakl.exceptions import (
    MiraklApiError,
    MiraklJobFailedError,
    MiraklJobTimeoutError,
    MiraklNotFoundError,
)
from airflow_provider_mirakl.files.storage import StoragePath, write_bytes
from airflow_provider_mirakl.jobs.reports import global_errors, read_items
from airflow_provider_mirakl.jobs.table import PRODUCT_SYNCHRONIZATION, evaluate
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.repair.pairs import Pair
from airflow_provider_mirakl.repair.proof import ERRORS
from airflow_provider_mirakl.repair.record import Repair

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client

log = logging.getLogger(__name__)


class Question(NamedTuple):
    """The poll after everything is sent.

    :param poll: path of the poll, ``package.module.function``.
    :param arguments: its keyword arguments, serializable as JSON.
    """

    poll: str
    arguments: dict[str, Any]


class Reported(NamedTuple):
    """What a route knows about the products that were sent.

    :param results: by Mirakl product id.
    :param short: number of further products that were not processed; it is not known which.
    """

    results: Mapping[str, ItemResult]
    short: int


class Route(Protocol):
    """How products are sent, how to wait for them, and where their results come from."""

    name: ClassVar[str]

    def send(self, batch: Sequence[Pair], repair: Repair) -> str:
        """Send one batch, and note the reply in ``repair``.

        :return: a description for the log.
        """
        ...

    def question(self, repair: Repair) -> Question | None:
        """What to wait for; ``None`` if nothing can be polled."""
        ...

    def reported(self, repair: Repair, found: Mapping[str, Any] | None, folder: StoragePath) -> Reported:
        """The route's own results.

        :param found: the finding of the poll; ``None`` after a timeout.
        """
        ...

    def silence(self, repair: Repair) -> tuple[str, str]:
        """Code and message for a product without any information."""
        ...


class DirectRoute:
    """CM21 on the instance; CM22 until it ends; CM23 for each product.

    A confirmation may be sent twice without harm, so a batch whose reply was lost is sent again.

    :param client: the client of the instance.
    :param role: the role of its key: ``operator`` or ``front``.
    """

    name: ClassVar[str] = "direct"

    def __init__(self, client: Client, role: str) -> None:
        self._client = client
        self._role = role

    def send(self, batch: Sequence[Pair], repair: Repair) -> str:
        """CM21."""
        tracking_id = self._client.send(synchronize_products([pair.element() for pair in batch]))
        repair.job_ids.append(tracking_id)
        return f"CM21 accepted {len(batch)} products as synchronization {tracking_id}"

    def question(self, repair: Repair) -> Question:
        """CM22 of each batch."""
        arguments = {
            "kind": PRODUCT_SYNCHRONIZATION.name,
            "job_ids": list(repair.job_ids),
            "role": self._role,
        }
        return Question("airflow_provider_mirakl.jobs.polls.jobs_ended", arguments)

    def reported(self, repair: Repair, found: Mapping[str, Any] | None, folder: StoragePath) -> Reported:
        """CM23 of each batch; the report is archived, since Mirakl deletes it after some time.

        :raises MiraklJobTimeoutError: a synchronization did not end in time.
        :raises MiraklJobFailedError: a synchronization ended without doing its work; a retry sends the products again.
        """
        if found is None:
            raise MiraklJobTimeoutError(
                f"Synchronization {', '.join(repair.job_ids)} did not end in time; it continues in Mirakl, and a retry "
                "waits for it again",
                job_ids=repair.job_ids,
            )
        results: dict[str, ItemResult] = {}
        asked, short = frozenset(repair.product_ids), 0
        for tracking_id in repair.job_ids:
            evaluation = evaluate(PRODUCT_SYNCHRONIZATION, found["statuses"][tracking_id])
            if evaluation.phase == "failed":
                repair.forget_sent()
                raise MiraklJobFailedError(
                    f"Synchronization {tracking_id} ended {evaluation.state}: "
                    f"{evaluation.reason or 'Mirakl gives no reason'}",
                    job_id=tracking_id,
                    state=evaluation.state,
                )
            if evaluation.reason:
                log.warning("%s: %s", tracking_id, evaluation.reason)
            report = self._report(tracking_id, folder) if evaluation.reports else {}
            told = sum(key in asked and result.status == "failed" for key, result in report.items())
            short += max(0, (evaluation.counts.failed or 0) - told)
            results |= report
        return Reported(results, short)

    def _report(self, tracking_id: str, folder: StoragePath) -> dict[str, ItemResult]:
        try:
            content = self._client.send(get_synchronization_report(tracking_id))
        except MiraklNotFoundError as error:
            log.warning("%s Mirakl announced this report, but does not have it.", error)
            return {}
        path = folder / "reports" / tracking_id / "report.json"
        write_bytes(path, content)
        for message in global_errors(path):
            log.warning("%s: %s", tracking_id, self._fit(message))
        return {
            result.item_id: result._replace(message=self._fit(result.message))
            for result in read_items(path, ("mirakl_product_id",))
        }

    def _fit(self, message: str | None) -> str | None:
        return message and fit_to_show(message, self._client.secrets)

    def silence(self, repair: Repair) -> tuple[str, str]:
        """CM23 is the only other source."""
        return "NO_REPORT", "CM23 does not mention it"


class DjustRoute:
    """DJUST, which calls CM21 itself and returns only how many products it sent.

    :param client: the client of DJUST.
    :param conn_id: its connection, for messages.
    :param client_specification_id: the Mirakl client configuration; ``None`` lets DJUST resolve it.
    :param has_proof: whether an instance is available to read the states of the products.
    """

    name: ClassVar[str] = "djust"

    def __init__(
        self, client: Client, conn_id: str, client_specification_id: str | None, *, has_proof: bool
    ) -> None:
        self._client = client
        self._conn_id = conn_id
        self._chosen = client_specification_id
        self._has_proof = has_proof

    def send(self, batch: Sequence[Pair], repair: Repair) -> str:
        """ADM-MIRAKL-100. All batches use the Mirakl client that DJUST chose for the first.

        :raises MiraklApiError: DJUST rejected the call; the message says what to do.
        """
        chosen = repair.client_specification_id or self._chosen
        try:
            answer = self._client.send(synchronize_through_djust(batch, client_specification_id=chosen))
        except MiraklApiError as error:
            raise refusal(error, self._conn_id, chosen) from error
        repair.client_specification_id = answer.client_specification_id
        repair.synchronized = (repair.synchronized or 0) + answer.synchronized_products
        return (
            f"DJUST sent {answer.synchronized_products} of {len(batch)} products with the Mirakl client "
            f"{answer.client_specification_id}"
        )

    def question(self, repair: Repair) -> Question | None:
        """CM51 of the products."""
        if not self._has_proof:
            return None
        before = map(repair.state_before, repair.products)
        arguments = {
            "product_ids": repair.product_ids,
            "failing": "".join("1" if state and state.status in ERRORS else "0" for state in before),
        }
        return Question("airflow_provider_mirakl.repair.proof.products_settled", arguments)

    def reported(self, repair: Repair, found: Mapping[str, Any] | None, folder: StoragePath) -> Reported:
        """Only a count: DJUST does not report on products."""
        taken = len(repair.products) if repair.synchronized is None else repair.synchronized
        return Reported({}, max(0, len(repair.products) - taken))

    def silence(self, repair: Repair) -> tuple[str, str]:
        """Why the result is unknown."""
        if (repair.synchronized or 0) < len(repair.products):
            return "COUNT_SHORT", "DJUST sent fewer products than requested, and does not say which"
        return (
            "NO_PROOF",
            "DJUST sent it; without a connection to the instance it is not known whether Mirakl accepted it",
        )


def refusal(error: MiraklApiError, conn_id: str, chosen: str | None) -> MiraklApiError:
    """An error of DJUST, with a message that says what to do.

    :param conn_id: the connection.
    :param chosen: the Mirakl client configuration that was set, if any.
    """
    word = _advice(error, conn_id, chosen)
    if word is None:
        return error
    return type(error)(
        f"{word} ({error})",
        operation=error.operation,
        status=error.status,
        code=error.code,
        field=error.field,
        faults=error.faults,
        retry_after=error.retry_after,
        retry_at=error.retry_at,
        request_id=error.request_id,
    )


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WRONG_KEY = (
    "the key was rejected: it is wrong or belongs to another environment. Enter a valid key in password."
)


def _advice(error: MiraklApiError, conn_id: str, chosen: str | None) -> str | None:
    match error.status:
        case 401:
            return f"Connection {conn_id!r}: {_WRONG_KEY}"
        case 403:
            return f"Connection {conn_id!r}: the key is valid, but must be the key of an operator."
        case 404 if chosen is not None:
            return (
                f"DJUST does not know the Mirakl client {chosen}: check client_specification_id, in the argument and "
                "in the connection, or leave it empty if exactly one client is active."
            )
        case 400 if chosen is not None:
            return (
                f"DJUST rejected the products or the Mirakl client {chosen}: the client may be disabled; activate its "
                "connector in DJUST's Data Hub, or set another client_specification_id."
            )
        case 400:
            said = " ".join(fault.message for fault in error.faults)
            ids = dict.fromkeys(_UUID.findall(said.casefold()))
            if ids:
                return f"Several Mirakl clients are active; set client_specification_id to one of {', '.join(ids)}."
            return (
                "DJUST cannot choose a Mirakl client: probably none is active. Activate a Mirakl connector in DJUST's "
                "Data Hub, or set client_specification_id."
            )
    return None
