"""The operators for product imports. Source: :ref:`P41 <facts-p41>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.operators.bases.files import FileJobOperator
from airflow_provider_mirakl.operators.bases.imports import FindImportsOperator
from airflow_provider_mirakl.runtime.arguments import Choice, Flag, Mappings, Maybe, Moment
from airflow_provider_mirakl.runtime.choices import OnFinding, Until

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call, Json, Page
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.checks.lint import Check
    from airflow_provider_mirakl.runtime.arguments import FlagArg, MappingArg, MomentArg, PathArg, TextArg
    from airflow_provider_mirakl.runtime.signatures import FileJobArguments, FindImportsArguments

ConversionType = Literal["AI_CONVERTER", "STANDARD"]


class MiraklImportProductsOperator(FileJobOperator):
    """Import a file of products (P41), wait, archive the reports (P44 to P47) and evaluate the lines.

    Mirakl accepts a product import every 15 minutes for each seller; a task that comes too early waits until it is
    permitted.

    :param source: the file, CSV, XML or XLSX: a local path or object storage. Templated.
    :param until: ``sent``: done when Mirakl has handed the products to the operator, where their acceptance
        may take days; lines handed over are then counted as unknown. ``complete``: done when they are integrated.
    :param operator_format: the file is already in the operator's format.
    :param conversion_type: ``AI_CONVERTER`` or ``STANDARD``; default the shop's own setting.
    :param conversion_options: ``ai_enrichment``, ``ai_rewrite``, ``ai_translation``, each true or false; only with
        ``AI_CONVERTER``.
    :param lint: what to do when a CSV file does not fit the operator's attributes (H11, PM11, VL11, each requested once
        an hour and cached): ``warn`` in the log and send the file; ``fail`` before the call is made; ``off`` to skip
        the check. It finds unknown and missing columns, empty attributes that a category requires, wrong types,
        lengths and values of lists, duplicate SKUs, and unknown codes of categories. Templated.
    :param id_column: the column of error reports that names an item; default the first of the usual ones.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``; ``job_ids`` and ``states``;
        ``reports``, the archived reports by id; ``rows``, the file with a line for each item known; ``rejects``, the
        failed lines with the source's columns, if source and reports are CSV; ``lint``, what the check found:
        ``rows``, ``problems``, the ``commonest``, and ``findings``, the file that lists all; and ``folder``.
    :raises MiraklInputError: the file has problems, and ``lint`` is ``fail``; nothing was sent.
    :raises MiraklItemsFailedError: more lines failed than allowed.
    :raises MiraklJobFailedError: the import ended without doing its work.
    :raises MiraklUnclearSubmissionError: it is not known whether Mirakl accepted the file.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "product_import"
    asset_name = "products"

    until = Choice[Until](get_args(Until), templated=False)
    operator_format = Flag()
    conversion_type = Maybe(Choice[ConversionType](get_args(ConversionType)))
    conversion_options = Maybe(Mappings())

    def __init__(
        self,
        *,
        source: PathArg,
        lint: OnFinding | TextArg = "warn",
        until: Until = "sent",
        operator_format: FlagArg = False,
        conversion_type: ConversionType | TextArg | None = None,
        conversion_options: MappingArg | None = None,
        **kwargs: Unpack[FileJobArguments],
    ) -> None:
        super().__init__(source=source, lint=lint, **kwargs)
        self.until = until
        self.early = self.until == "sent"
        self.operator_format = operator_format
        self.conversion_type = conversion_type
        self.conversion_options = conversion_options

    @property
    def options(self) -> dict[str, Any]:
        """Further fields of the submission.

        :raises MiraklInputError: an option of the conversion is invalid.
        """
        from airflow_provider_mirakl.api.products import checked_conversions

        options = self.conversion_options
        return {
            "operator_format": self.operator_format,
            "conversion_type": self.conversion_type,
            "conversion_options": None if options is None else checked_conversions(options),
        }

    def checker(self, caller: Caller) -> Check:
        """Checks products against the operator's attributes."""
        from airflow_provider_mirakl.checks.products import ProductCheck
        from airflow_provider_mirakl.hooks.platform import PlatformSettings

        with self.hook.get_conn() as client:
            settings = PlatformSettings(client, self.work_folder)
            attributes = settings.operator_attributes(caller, all_attributes=self.operator_format)
        return ProductCheck(
            attributes,
            operator_format=self.operator_format,
            converted=self.conversion_type == "AI_CONVERTER",
        )

    def upload(self, caller: Caller, file_name: str) -> Call[int]:
        """P41."""
        from airflow_provider_mirakl.api.products import import_products

        return import_products(self.content, file_name, caller=caller, **self.options)


class MiraklFindProductImportsOperator(FindImportsOperator):
    """Find product imports that another system submitted (P51), such as by SFTP or in the back office. For every role.

    Pass their ids to :class:`~airflow_provider_mirakl.sensors.jobs.MiraklProductImportSensor`.

    :param changed_since: only imports that changed since this time, such as ``{{ data_interval_start }}``; without it
        Mirakl lists all imports. Templated.
    :param has_transformed_file: only imports with a transformed file, or without one. Templated.

    Further parameters, result and errors:
    :class:`~airflow_provider_mirakl.operators.bases.imports.FindImportsOperator`.
    """

    code = "P51"
    state = "import_status"
    roles = ("shop", "operator", "front")

    status = Maybe(Choice(("WAITING", "RUNNING", "SENT", "COMPLETE", "CANCELLED", "FAILED")))
    changed_since = Maybe(Moment())
    has_transformed_file = Maybe(Flag())

    def __init__(
        self,
        *,
        changed_since: MomentArg | None = None,
        has_transformed_file: FlagArg | None = None,
        **kwargs: Unpack[FindImportsArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.changed_since = changed_since
        self.has_transformed_file = has_transformed_file

    def listing(self, caller: Caller, limit: int) -> Call[Page[dict[str, Json]]]:
        """P51."""
        from airflow_provider_mirakl.api.products import list_imports

        return list_imports(
            caller=caller,
            changed_since=self.changed_since,
            status=self.status,
            has_transformed_file=self.has_transformed_file,
            limit=limit,
        )
