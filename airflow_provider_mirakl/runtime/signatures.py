"""The parameters that operators and sensors pass to their bases as ``**kwargs``, so that type checkers know each name.

Only type checkers read them: modules import them under ``TYPE_CHECKING``, and a Dag file does not load this one.
Airflow lists its own in ``BaseOperator.__init__`` and ``BaseSensorOperator.__init__``. With
``**kwargs: Unpack[TaskArguments]`` a misspelled parameter is an error in the editor.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG, TaskGroup

    from airflow_provider_mirakl.catalog.columns import Columns
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        FlagArg,
        MappingArg,
        MomentArg,
        NumberArg,
        PathArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.choices import (
        ExtractFormat,
        FailOrResend,
        Layout,
        OnChangedFilters,
        OnFinding,
        OnInvalid,
        OnLostState,
        OnNone,
        OnUnclear,
        PersonalData,
        SourceFormat,
        TargetFormat,
    )


class AirflowArguments(TypedDict, total=False):
    """Parameters of Airflow's ``BaseOperator`` in any supported version."""

    task_id: str
    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: bool | float
    max_retry_delay: timedelta | float | None
    retry_policy: Any
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: Any
    queue: str
    pool: str | None
    pool_slots: int
    sla: timedelta | None
    execution_timeout: timedelta | None
    on_execute_callback: Any
    on_failure_callback: Any
    on_success_callback: Any
    on_retry_callback: Any
    on_skipped_callback: Any
    pre_execute: Any
    post_execute: Any
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: Any
    outlets: Any
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class TaskArguments(AirflowArguments, total=False):
    """What each of our operators takes."""

    fail_fast: bool


class SensorTaskArguments(AirflowArguments, total=False):
    """Further parameters of Airflow's ``BaseSensorOperator``; each sensor declares ``poke_interval`` itself."""

    timeout: timedelta | float
    soft_fail: bool
    mode: str
    exponential_backoff: bool
    max_wait: timedelta | float | None
    silent_fail: bool
    never_fail: bool


class FailureLimits(TypedDict, total=False):
    """The parameters of :class:`LimitsFailures`."""

    max_failed_items: WholeArg | None
    max_failed_ratio: NumberArg | None


class PacedArguments(TaskArguments, total=False):
    """The parameters of :class:`PacedOperator`, for the operators built on it."""

    deferrable: bool
    max_failures: int
    refused_timeout: float | timedelta
    work_folder: PathArg | None


class JobArguments(TaskArguments, total=False):
    """The parameters of :class:`MiraklJobOperator`, for the operators built on it."""

    mirakl_conn_id: TextArg
    role: TextArg | None
    shop_id: WholeArg | None
    wait_for_completion: bool
    deferrable: bool
    poll_interval: float | timedelta | None
    timeout: float | timedelta
    max_failures: int
    on_unclear: OnUnclear | None
    work_folder: PathArg | None


class CheckedJobArguments(JobArguments, FailureLimits, total=False):
    """The parameters of :class:`CheckedJobOperator`, for the operators built on it."""


class RowsJobArguments(CheckedJobArguments, total=False):
    """The parameters of :class:`RowsJobOperator`, for the operators built on it."""

    source_format: SourceFormat | TextArg | None
    encoding: TextArg
    items: TextArg | None
    transform: TextArg | None
    strip: FlagArg
    on_invalid: OnInvalid | TextArg


class FileJobArguments(CheckedJobArguments, total=False):
    """The parameters of :class:`FileJobOperator` but for ``lint``, for the operators built on it."""

    id_column: TextArg | None
    encoding: TextArg
    strip: FlagArg


class CheckedFileArguments(FileJobArguments, total=False):
    """The parameters of :class:`FileJobOperator`, for the operators that leave ``lint`` as it is."""

    lint: OnFinding | TextArg


class ExportArguments(JobArguments, total=False):
    """The parameters of :class:`ExportOperator` that have a default, for the operators built on it."""

    target_format: TargetFormat | TextArg | None
    items_per_chunk: WholeArg | None


class ChangesExportArguments(ExportArguments, total=False):
    """The parameters of :class:`ChangesExportOperator`, for the operators built on it."""

    updated_since: MomentArg | None
    changes_only: FlagArg
    overlap: NumberArg
    watermark: PathArg | None
    on_changed_filters: OnChangedFilters | TextArg
    on_lost_state: OnLostState | TextArg


class DirectExportArguments(TaskArguments, total=False):
    """The parameters of :class:`DirectExportOperator` that have a default, for the operators built on it."""

    updated_since: MomentArg | None
    updated_to: MomentArg | None
    overlap: NumberArg
    watermark: PathArg | None
    on_changed_filters: OnChangedFilters | TextArg
    on_lost_state: OnLostState | TextArg
    mirakl_conn_id: TextArg
    role: TextArg | None
    shop_id: WholeArg | None
    deferrable: bool
    refused_timeout: float | timedelta
    work_folder: PathArg | None


class FindImportsArguments(TaskArguments, total=False):
    """The parameters of :class:`FindImportsOperator`, for the operators built on it."""

    status: TextArg | None
    on_none: OnNone | TextArg
    max_imports: WholeArg
    mirakl_conn_id: TextArg
    role: TextArg | None
    shop_id: WholeArg | None


class ConnectFilesArguments(TaskArguments, FailureLimits, total=False):
    """The parameters of :class:`ConnectFilesOperator` that have a default, for the operators built on it."""

    order_ids: CodesArg | None
    updated_from: MomentArg | None
    mirakl_connect_conn_id: TextArg
    work_folder: PathArg | None


class OrderActionArguments(TaskArguments, FailureLimits, total=False):
    """The parameters of :class:`OrderActionsOperator` that have a default, for the operators built on it."""

    preview: FlagArg
    max_orders: WholeArg
    wait_for_completion: bool
    deferrable: bool
    poll_interval: float | timedelta
    timeout: float | timedelta
    max_failures: int
    on_unclear: FailOrResend | TextArg
    mirakl_connect_conn_id: TextArg
    work_folder: PathArg | None


class ExtractArguments(PacedArguments, total=False):
    """The parameters of :class:`ExtractOperator` that have a default, for the operators built on it."""

    since: MomentArg | None
    updated_from: MomentArg | None
    updated_to: MomentArg | None
    overlap: NumberArg | timedelta
    watermark: PathArg | None
    on_changed_filters: OnChangedFilters | TextArg
    on_lost_state: OnLostState | TextArg
    personal_data: PersonalData | TextArg


class ConnectExtractArguments(ExtractArguments, total=False):
    """The parameters of :class:`ConnectExtractOperator` that have a default, for the operators built on it."""

    format: ExtractFormat | TextArg
    layout: Layout | TextArg
    mirakl_connect_conn_id: TextArg


class ConnectArguments(PacedArguments, total=False):
    """Parameters of every operator of Mirakl Connect."""

    mirakl_connect_conn_id: TextArg


class SendArguments(ConnectArguments, FailureLimits, total=False):
    """Parameters of the operators that send products to Mirakl Connect."""

    source_format: SourceFormat | TextArg | None
    columns: MappingArg | None
    encoding: TextArg
    items: TextArg | None
    transform: TextArg | None
    strip: FlagArg
    on_invalid: OnInvalid | TextArg
    batch_size: WholeArg
    preview: FlagArg


class InstanceArguments(TaskArguments, total=False):
    """The parameters of :class:`MiraklInstanceOperator`, for the operators built on it."""

    mirakl_conn_id: TextArg
    role: TextArg | None


class StoringArguments(InstanceArguments, total=False):
    """The parameters of :class:`StoringOperator`, for the operators built on it."""

    work_folder: PathArg | None


class CheckedArguments(StoringArguments, FailureLimits, total=False):
    """Parameters of the operators that evaluate each document."""


class SensorArguments(SensorTaskArguments, total=False):
    """The parameters of :class:`MiraklBaseSensor`, for the sensors built on it, which each have a ``poke_interval``."""

    deferrable: bool
    max_failures: int
    fail_fast: bool


class ConnectSensorArguments(SensorArguments, total=False):
    """The parameters of :class:`MiraklConnectSensor`, for the sensors built on it."""

    mirakl_connect_conn_id: TextArg
    poke_interval: float | timedelta


class JobSensorArguments(SensorArguments, total=False):
    """The parameters of :class:`MiraklJobSensor` that have a default, for the sensors built on it."""

    mirakl_conn_id: TextArg
    role: TextArg | None
    shop_id: WholeArg | None
    poke_interval: float | timedelta | None
    work_folder: PathArg | None


class CheckedJobSensorArguments(JobSensorArguments, FailureLimits, total=False):
    """The parameters of :class:`CheckedJobSensor` that have a default, for the sensors built on it."""

    id_column: TextArg | None


class Reading(TypedDict):
    """How a source is read, in the form that the catalog engine takes."""

    source_format: SourceFormat | None
    columns: Columns | None
    encoding: str
    items: str | None
    transform: str | None
    strip: bool
    on_invalid: OnInvalid
    batch_size: int
