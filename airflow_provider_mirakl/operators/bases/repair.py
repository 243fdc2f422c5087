"""What the two routes of repairing single products share: the input, the preview, the proof and the report."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError
from airflow_provider_mirakl.hooks.djust import DjustHook
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.runtime.task_run import SHORTEST_DEFERRAL, TaskRun, time_left, try_began
from airflow_provider_mirakl.runtime.waiting import Wait

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.outcome import ItemResult
    from airflow_provider_mirakl.repair.pairs import Pair
    from airflow_provider_mirakl.repair.proof import ProductState

SHOWN_PRODUCTS = 200
"""Products that the task log lists; the file has all."""
_NOTE = "repair.json"


@dataclass(slots=True)
class Repair:
    """What one run repairs. Kept on storage, so that a retry knows the state before the first try.

    :param generation: see :attr:`TaskRun.generation`.
    :param products: the pairs.
    :param duplicates: how often a product was given again.
    :param before: states by Mirakl product id as JSON, ``None`` where no instance is asked.
    :param sent: how many of the products, from the first on, DJUST has taken: a retry goes on behind them.
    :param synchronized: how many of those DJUST says it sent, ``None`` before it said so.
    :param client_specification_id: the Mirakl client configuration that DJUST used.
    :param job_ids: ids of the jobs that the direct route submitted; DJUST gives none.
    """

    generation: str
    products: list[tuple[str, str]]
    duplicates: int = 0
    before: dict[str, dict[str, Any]] | None = None
    sent: int = 0
    synchronized: int | None = None
    client_specification_id: str | None = None
    job_ids: list[str] = field(default_factory=list)

    @property
    def pairs(self) -> list[Pair]:
        """The products."""
        from airflow_provider_mirakl.repair.pairs import Pair

        return [Pair(*product) for product in self.products]

    @property
    def product_ids(self) -> list[str]:
        """Mirakl's ids of the products."""
        return [product_id for product_id, _ in self.products]

    def state_before(self, product_id: str) -> ProductState | None:
        """The state before, ``None`` where no instance was asked."""
        from airflow_provider_mirakl.repair.proof import ProductState

        return None if self.before is None else ProductState.load(self.before.get(product_id, {}))

    def save(self, folder: StoragePath) -> None:
        """Keep it."""
        from airflow_provider_mirakl.files.storage import write_bytes

        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / _NOTE, json.dumps(asdict(self), ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: StoragePath, generation: str) -> Repair | None:
        """What a former try, or this one before it waited, kept."""
        try:
            kept = json.loads((folder / _NOTE).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        kept["products"] = [(product_id, sku) for product_id, sku in kept["products"]]
        return cls(**kept) if kept["generation"] == generation else None


class ProductRepairOperator(BaseOperator):
    """Base of the operators that repair single products through DJUST or directly.

    :param products: the products, as pairs of Mirakl product id and product SKU: lines such as ``MKL-001;SKU-1`` (also
        with a comma or a tab between, also below a heading that names the columns); a list of such lines, of pairs, or
        of objects with ``mirakl_product_id`` and ``product_sku``; or the path of a CSV, NDJSON or JSON file, such as
        the ``rejects`` of a previous run or the output of a reconciliation. A product that is given twice is sent
        once. Templated.
    :param source_folders: folders in which a file has to lie that ``products`` names; default any. Set it where a
        person names the file in a form: what a worker may read is more than who may trigger a Dag ought to see, and a
        refused line is quoted in the log.
    :param djust_conn_id: connection of type ``djust``. Templated.
    :param client_specification_id: the Mirakl client configuration of DJUST, a UUID; default the connection's own, else
        DJUST resolves it, which it can where one is active. Templated.
    :param djust_batch_size: products in one call to DJUST. DJUST documents no maximum: uncertain.
    :param preview: send nothing; check the input and the connections, and show the products' states. Also as text, such
        as ``"true"``. Templated.
    :param max_products: most products in a run. Bulk belongs to the import.
    :param proof_timeout: seconds to wait for the instance to come to an end with the products, after DJUST took them.
        Templated.
    :param proof_interval: seconds between two looks at the instance; the connection's ``interval_factor`` stretches it.
    """

    template_fields: Sequence[str] = (
        "products",
        "djust_conn_id",
        "client_specification_id",
        "preview",
        "proof_timeout",
    )
    ui_color = "#fbe4d5"

    # Of the operators built on this.
    work_folder: str | None
    deferrable: bool
    max_failed_items: int | None
    max_failed_ratio: float | None
    if TYPE_CHECKING:

        def _begin(self, context: Context) -> dict[str, Any]: ...

    def __init__(
        self,
        *,
        products: str | Sequence[Any],
        source_folders: Sequence[str] | None = None,
        djust_conn_id: str = DjustHook.default_conn_name,
        client_specification_id: str | None = None,
        djust_batch_size: int = 100,
        preview: bool | str = False,
        max_products: int = 1000,
        proof_timeout: float | str = 600.0,
        proof_interval: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.products = products
        self.source_folders = source_folders
        self.djust_conn_id = djust_conn_id
        self.client_specification_id = client_specification_id
        self.djust_batch_size = djust_batch_size
        self.preview = preview
        self.max_products = max_products
        self.proof_timeout = proof_timeout
        self.proof_interval = proof_interval

    # What an operator built on this says

    @property
    def route_name(self) -> str:
        """``djust`` or ``direct``."""
        return "djust"

    @property
    def proof_hook(self) -> MiraklHook | None:
        """The instance that is asked about the products, if any."""
        raise NotImplementedError

    # Before

    @cached_property
    def djust_hook(self) -> DjustHook:
        """The hook of the DJUST connection."""
        return DjustHook(self.djust_conn_id)

    def begin(self, run: TaskRun) -> Repair:
        """Read and check the products, and ask for their states; a retry keeps the states before its first try.

        :raises MiraklInputError: with every problem of the input, or for too many products.
        :raises MiraklConfigurationError: an argument or a connection cannot work.
        """
        from airflow_provider_mirakl.outcome import FailurePolicy
        from airflow_provider_mirakl.repair.pairs import read_pairs

        FailurePolicy(self.max_failed_items, self.max_failed_ratio)
        for name, value in (("djust_batch_size", self.djust_batch_size), ("max_products", self.max_products)):
            if value < 1:
                raise MiraklConfigurationError(f"{name}: is {value}; give 1 or more", field=name)
        if not 0 < self.proof_interval < float("inf"):
            raise MiraklConfigurationError(
                f"proof_interval: is {self.proof_interval}; give seconds, more than 0", field="proof_interval"
            )
        _ = self._proof_seconds, self.is_preview  # wrong ones show before a call is spent
        read = read_pairs(self.products, self._opened, limit=self.max_products)
        products = [(pair.mirakl_product_id, pair.product_sku) for pair in read.pairs]
        self.log.info("%d products, %d given twice", len(products), read.duplicates)
        repair = Repair(run.generation, products, read.duplicates)
        former = Repair.load(run.folder, run.generation)
        if former is not None and former.products == products:
            repair = replace(former, duplicates=read.duplicates)
        if repair.before is None and self.proof_hook is not None:
            states = self._states(repair)
            repair.before = {key: state.dump() for key, state in states.items()}
        if not self.is_preview:
            repair.save(run.folder)
        return repair

    def _opened(self, path: str) -> StoragePath:
        """The file that ``products`` names.

        :raises MiraklInputError: it lies in none of ``source_folders``.
        """
        from airflow_provider_mirakl.files.paths import lies_in, storage_path

        if self.source_folders is not None and not lies_in(path, self.source_folders):
            raise MiraklInputError(
                f"products: {path!r} may not be read; give a file in {' or '.join(self.source_folders)}"
            )
        return storage_path(path)

    @property
    def is_preview(self) -> bool:
        """Whether nothing is to be sent.

        :raises MiraklConfigurationError: the text is neither true nor false. To guess would be to send.
        """
        word = str(self.preview).strip().casefold()
        if word not in ("true", "false"):
            raise MiraklConfigurationError(
                f"preview: is {self.preview!r}; give true or false", field="preview"
            )
        return word == "true"

    @property
    def chosen_client(self) -> str | None:
        """The Mirakl client configuration to name to DJUST.

        :raises MiraklConfigurationError: it is no UUID.
        """
        given = str(self.client_specification_id or "").strip()
        if given in ("", "None"):
            return self.djust_hook.values.client_specification_id
        try:
            return str(uuid.UUID(given))
        except ValueError:
            raise MiraklConfigurationError(
                f"client_specification_id: is {given!r}; give a UUID such as a1b2c3d4-e5f6-7890-abcd-ef1234567890, as "
                "DJUST shows it, or nothing to let DJUST resolve it",
                field="client_specification_id",
            ) from None

    def _states(self, repair: Repair) -> dict[str, ProductState]:
        from airflow_provider_mirakl.repair.proof import read_states, state_calls

        hook = self.proof_hook
        assert hook is not None  # noqa: S101 - asked before
        if hook.values.role not in ("operator", "front"):
            raise MiraklConfigurationError(
                f"role: the states of products (CM51) are for operator and front, and connection {hook.conn_id!r} has "
                f"the key of role {hook.values.role}; name a connection of the operator, or none for no proof",
                field="role",
            )
        commas = [key for key in repair.product_ids if "," in key]
        if commas:
            raise MiraklInputError(f"products: CM51 takes no id with a comma, such as {commas[0]!r}")
        with hook.get_conn() as client:
            return read_states(repair.product_ids, map(client.send, state_calls(repair.product_ids)))

    # Through DJUST

    def send_through_djust(self, context: Context, run: TaskRun, repair: Repair) -> dict[str, Any]:
        """Let DJUST trigger CM21, and prove what came of it where an instance can be asked.

        A retry goes on behind the batches that DJUST has taken. One of which that is not sure is sent again, which does
        no harm.
        """
        from airflow_provider_mirakl.api.djust import synchronize_products

        # All batches go to the one client that DJUST chose for the first.
        chosen = repair.client_specification_id or self.chosen_client
        pairs = repair.pairs
        if repair.sent:
            self.log.info(
                "A former try sent %d of %d products: going on behind them", repair.sent, len(pairs)
            )
        with self.djust_hook.get_conn() as client:
            while repair.sent < len(pairs):
                batch = pairs[repair.sent : repair.sent + self.djust_batch_size]
                try:
                    answer = client.send(synchronize_products(batch, client_specification_id=chosen))
                except Exception as error:
                    raise self._stopped(run, repair, refusal(error, self.djust_conn_id, chosen)) from error
                chosen = repair.client_specification_id = answer.client_specification_id
                repair.sent += len(batch)
                repair.synchronized = (repair.synchronized or 0) + answer.synchronized_products
                repair.save(run.folder)
                word = self.log.info if answer.synchronized_products == len(batch) else self.log.warning
                word(
                    "DJUST sent %d of %d products with the Mirakl client %s",
                    answer.synchronized_products,
                    len(batch),
                    chosen,
                )
        if self.proof_hook is not None:
            self._await_proof(context, repair)
        return self.concluded(run, repair)

    def _stopped(self, run: TaskRun, repair: Repair, error: Exception) -> Exception:
        """The error of a run that ended between two batches; a report says which products were sent."""
        from airflow_provider_mirakl.outcome import ItemResult

        if not repair.sent:
            return error
        rows, rest = [], []
        for number, pair in enumerate(repair.pairs):
            row = _row(pair, repair.state_before(pair.mirakl_product_id), None)
            if number < repair.sent:
                result = ItemResult(
                    pair.mirakl_product_id,
                    "unknown",
                    "NO_PROOF",
                    "DJUST took it; the run ended before the proof",
                )
            else:
                result = ItemResult(
                    pair.mirakl_product_id, "failed", "NOT_SENT", "the run ended before it was sent"
                )
                rest.append(pair.element())
            rows.append(row | _told(result))
        path = self._write(run, "outcome.ndjson", rows)
        rejects = self._write(run, "rejects.ndjson", rest)
        self.log.error(
            "%d of %d products were sent before DJUST failed. A retry goes on behind them; %s holds the others.\n%s",
            repair.sent,
            len(rows),
            rejects,
            _table(rows),
        )
        error.add_note(
            f"{repair.sent} of {len(rows)} products were sent: {path} says which; {rejects} holds the others, as input "
            "of a next run"
        )
        return error

    def resume_proof(self, context: Context, event: object = None) -> dict[str, Any]:
        """Judge, after the wait in the triggerer.

        Airflow resumes without an event when a task is cleared at the very moment it defers: then the try begins like
        any other.

        :raises MiraklTriggerEventError: for an event that is not understood.
        """
        from airflow_provider_mirakl.triggers.poll import read_event

        if event is None:
            return self._begin(context)
        run = TaskRun(context, self.work_folder, begins=False)
        read_event(event)
        repair = Repair.load(run.folder, run.generation)
        if repair is None:
            raise MiraklConfigurationError(
                f"work_folder: {run.folder} has lost {_NOTE}; every worker has to reach it",
                field="work_folder",
            )
        return self.concluded(run, repair)

    def _await_proof(self, context: Context, repair: Repair) -> None:
        """Wait until the instance has finished with the products, in the triggerer where that pays."""
        from airflow_provider_mirakl.repair.proof import ERRORS

        hook = self.proof_hook
        assert hook is not None  # noqa: S101 - asked before
        now, interval = time.time(), self.proof_interval * hook.settings.interval_factor
        wait = Wait(
            poll="airflow_provider_mirakl.repair.proof.products_settled",
            arguments={
                "product_ids": repair.product_ids,
                "failing": [key for key, state in (repair.before or {}).items() if state["status"] in ERRORS],
            },
            hook=hook,
            interval=interval,
            deadline=now + self._proof_seconds,
            max_failures=5,
            log=self.log,
        )
        if self.deferrable and interval >= SHORTEST_DEFERRAL:
            self.defer(
                trigger=wait.trigger(),
                method_name=self.resume_proof.__name__,
                timeout=wait.backstop(time_left(self.execution_timeout, try_began(context))),
            )
        with hook.get_conn() as client:
            wait.to_the_end(client, first=now + interval)

    @property
    def _proof_seconds(self) -> float:
        try:
            seconds = float(self.proof_timeout)
        except (TypeError, ValueError):
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            raise MiraklConfigurationError(
                f"proof_timeout: is {self.proof_timeout!r}; give seconds", field="proof_timeout"
            )
        return seconds

    # After

    def previewed(self, run: TaskRun, repair: Repair) -> dict[str, Any]:
        """Show what would be sent; nothing is.

        :raises MiraklConfigurationError: the DJUST connection does not work.
        """
        if self.route_name == "djust":
            chosen = self.chosen_client
            works, word = self.djust_hook.test_connection()
            if not works:
                raise MiraklConfigurationError(word, field="djust_conn_id")
            self.log.info("%s Mirakl client: %s", word, chosen or "DJUST resolves it")
        rows = []
        for pair in repair.pairs:
            before = repair.state_before(pair.mirakl_product_id)
            rows.append(_row(pair, before, None) | {"status": "planned"})
        path = self._write(run, "preview.ndjson", rows)
        missing = sum(row["before"] == "not found" for row in rows)
        self.log.info("Preview of route %s, nothing was sent:\n%s", self.route_name, _table(rows))
        if missing:
            self.log.warning("The instance does not know %d of the products; check their ids", missing)
        return self._result(repair) | {"preview": True, "rows": [path], "folder": str(run.folder)}

    def concluded(
        self, run: TaskRun, repair: Repair, reported: Mapping[str, ItemResult] | None = None
    ) -> dict[str, Any]:
        """Judge every product, write and log the report, and fail where too many products failed.

        :raises MiraklItemsFailedError: more products failed than allowed.
        """
        from airflow_provider_mirakl.outcome import FailurePolicy, Outcome

        result = self.report(run, repair, reported)
        outcome = Outcome.from_summary(result)
        self.log.info("Outcome: %s", outcome)
        FailurePolicy(self.max_failed_items, self.max_failed_ratio).judge(outcome)
        return result

    def report(
        self, run: TaskRun, repair: Repair, reported: Mapping[str, ItemResult] | None = None
    ) -> dict[str, Any]:
        """Judge every product, and write the report: before, after and result of each.

        :param reported: what CM23 says, by Mirakl product id.
        """
        from airflow_provider_mirakl.outcome import OutcomeWriter
        from airflow_provider_mirakl.repair.proof import judge

        after = self._states(repair) if self.proof_hook is not None else None
        silence = _silence(repair)
        rows, rejects = [], []
        with OutcomeWriter(None, job_ids=repair.job_ids) as writer:
            for pair in repair.pairs:
                key = pair.mirakl_product_id
                state = None if after is None else after[key]
                verdict = judge(pair, state, (reported or {}).get(key), silence)
                writer.add(verdict)
                rows.append(_row(pair, repair.state_before(key), state) | _told(verdict))
                if verdict.status == "failed":
                    rejects.append(pair.element())
        path = self._write(run, "outcome.ndjson", rows)
        outcome = replace(writer.outcome, rows=(path,))
        asked, taken = len(rows), repair.synchronized
        if taken is not None and taken < asked:
            # Which ones DJUST left out it does not say; that it left them out is certain.
            failed = max(outcome.failed, asked - taken - (outcome.succeeded if after is not None else 0))
            unknown = max(0, asked - failed - outcome.succeeded)
            outcome = replace(outcome, failed=failed, unknown=unknown)
            self.log.warning("DJUST sent %d of %d products, and does not say which", taken, asked)
        self.log.info("Report of route %s:\n%s", self.route_name, _table(rows))
        return (
            self._result(repair)
            | outcome.summary()
            | {
                "rejects": self._write(run, "rejects.ndjson", rejects) if rejects else None,
                "folder": str(run.folder),
            }
        )

    def _result(self, repair: Repair) -> dict[str, Any]:
        """The result's shape: the same for both routes, and for a preview."""
        from airflow_provider_mirakl.outcome import Outcome

        return Outcome().summary() | {
            "route": self.route_name,
            "preview": False,
            "products": len(repair.products),
            "duplicates": repair.duplicates,
            "synchronized": repair.synchronized,
            "client_specification_id": repair.client_specification_id,
            "rejects": None,
        }

    def _write(self, run: TaskRun, name: str, rows: Iterable[Mapping[str, Any]]) -> str:
        from airflow_provider_mirakl.files.storage import write_bytes

        run.folder.mkdir(parents=True, exist_ok=True)
        path = run.folder / name
        write_bytes(path, b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        return str(path)


def refusal(error: Exception, conn_id: str, chosen: str | None) -> Exception:
    """DJUST's refusal in words that say what to do; any other error as it is.

    Source: :ref:`ADM-MIRAKL-100 <facts-djust>`.

    :param conn_id: the connection.
    :param chosen: the Mirakl client configuration that was named, if any.
    """
    from airflow_provider_mirakl.exceptions import MiraklApiError
    from airflow_provider_mirakl.hooks.advice import advice

    if not isinstance(error, MiraklApiError):
        return error
    word = _mend(error, chosen) or f"Connection {conn_id!r}: {advice(error, 'djust', 'password')}"
    said = str(error)
    return type(error)(
        word if said in word else f"{word} ({said})",
        operation=error.operation,
        status=error.status,
        code=error.code,
        field=error.field,
        faults=error.faults,
        retry_after=error.retry_after,
        retry_at=error.retry_at,
        request_id=error.request_id,
    )


def _mend(error: Any, chosen: str | None) -> str | None:
    import re

    if error.status == 404 and chosen is not None:
        return (
            f"DJUST knows no Mirakl client {chosen}: check client_specification_id, in the argument and in the "
            "connection, or leave it empty where one client is active."
        )
    if error.status != 400:
        return None
    if chosen is not None:
        return (
            f"DJUST refuses the products or the Mirakl client {chosen}: the client may be disabled; activate its "
            "connector in DJUST's Data Hub, or name another client_specification_id."
        )
    uuids = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    said = " ".join(fault.message for fault in error.faults)
    ids = list(dict.fromkeys(re.findall(uuids, said.casefold())))
    if ids:
        return f"Several Mirakl clients are active; set client_specification_id to one of {', '.join(ids)}."
    return (
        "DJUST cannot choose a Mirakl client: as it seems none is active. Activate a Mirakl connector in DJUST's Data "
        "Hub, or name its client_specification_id."
    )


def _silence(repair: Repair) -> tuple[str, str]:
    """Why nobody says anything of a product."""
    if repair.synchronized is None:
        return "NO_REPORT", "CM23 does not mention it"
    if repair.synchronized < len(repair.products):
        return "COUNT_SHORT", "DJUST sent fewer products than asked, and does not say which"
    return (
        "NO_PROOF",
        "DJUST sent it; whether Mirakl took it is not known without a connection to the instance",
    )


def _row(pair: Pair, before: ProductState | None, after: ProductState | None) -> dict[str, Any]:
    return {
        "mirakl_product_id": pair.mirakl_product_id,
        "product_sku": pair.product_sku,
        "before": None if before is None else str(before),
        "after": None if after is None else str(after),
    }


def _told(result: ItemResult) -> dict[str, Any]:
    return {name: value for name, value in result._asdict().items() if value is not None}


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The report for a task log."""
    lines = [
        f"{row['mirakl_product_id']} ({row['product_sku']}): {row['before'] or '?'} -> {row['after'] or '?'}: "
        + " ".join(str(row[name]) for name in ("status", "code", "message") if row.get(name))
        for row in rows[:SHOWN_PRODUCTS]
    ]
    if len(rows) > SHOWN_PRODUCTS:
        lines.append(f"... and {len(rows) - SHOWN_PRODUCTS:,} more in the file")
    return "\n".join(lines)
