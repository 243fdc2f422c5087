"""Product imports: P41, P42, P44 to P47, P51. Source: docs/mirakl-facts.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import BinaryIO, Literal

from airflow_provider_mirakl.api.call import (
    ANY,
    JSON,
    Call,
    Json,
    Multipart,
    Operation,
    Page,
    Part,
    Reply,
    encode,
    moment,
    query,
)
from airflow_provider_mirakl.api.caller import SELLER, Caller
from airflow_provider_mirakl.api.paging import offset_page
from airflow_provider_mirakl.api.values import numeric_id
from airflow_provider_mirakl.exceptions import MiraklInputError

PATH = "/api/products/imports"
MAX_PAGE = 100
CONVERSIONS = ("ai_enrichment", "ai_rewrite", "ai_translation")

P41 = Operation("P41", "POST", PATH, replay=False, interval=900)
P42 = Operation("P42", "GET", f"{PATH}/{{import_id}}", replay=True, interval=60)
P51 = Operation("P51", "GET", PATH, replay=True, interval=60)
# Published as "each time a report is needed".
P44 = Operation("P44", "GET", f"{PATH}/{{import_id}}/error_report", replay=True)
P45 = Operation("P45", "GET", f"{PATH}/{{import_id}}/new_product_report", replay=True)
P46 = Operation("P46", "GET", f"{PATH}/{{import_id}}/transformed_file", replay=True)
P47 = Operation("P47", "GET", f"{PATH}/{{import_id}}/transformation_error_report", replay=True)

Content = bytes | Callable[[], BinaryIO]
"""A file's bytes, or a function that opens it, called again for every attempt."""


def import_products(
    content: Content,
    file_name: str,
    *,
    caller: Caller = SELLER,
    operator_format: bool = False,
    conversion_type: Literal["AI_CONVERTER", "STANDARD"] | None = None,
    conversion_options: Mapping[str, bool] | None = None,
) -> Call[int]:
    """P41: import a file of products. At most every 15 minutes for each seller; every hour is recommended.

    :param content: the file: CSV, XML or XLSX.
    :param file_name: its name, whose extension names the format.
    :param caller: who imports; the operator and the front office must name the shop.
    :param operator_format: the file is already in the operator's format.
    :param conversion_type: how the file is converted; default the shop's own setting.
    :param conversion_options: ``ai_enrichment``, ``ai_rewrite``, ``ai_translation``, each on or off; only with
        ``AI_CONVERTER``.
    :return: a call that returns the import's id.
    :raises MiraklInputError: options that do not go together, or no shop where one is needed.
    """
    parts = [*caller.parts("P41"), file_part(content, file_name)]
    if operator_format:
        parts.append(Part("operator_format", b"true"))
    if conversion_type is not None:
        parts.append(Part("conversion_type", conversion_type.encode()))
    if conversion_options:
        checked = checked_conversions(conversion_options)
        if conversion_type != "AI_CONVERTER":
            raise MiraklInputError("conversion_options need conversion_type AI_CONVERTER")
        words = {name: {"status": "ENABLED" if on else "DISABLED"} for name, on in checked.items()}
        # One JSON part is how Mirakl's own SDK sends objects; not documented for this field.
        parts.append(Part("conversion_options", encode(words), content_type=JSON))
    return Call(
        P41,
        parse=lambda reply: number_id(reply, "import_id"),
        body=Multipart(tuple(parts)),
        params=caller.params("P41"),
        paced_by=caller.name,
    )


def checked_conversions(options: Mapping[str, object]) -> dict[str, bool]:
    """The options of a conversion. A template writes true and false as texts.

    :raises MiraklInputError: an option does not exist, or is neither true nor false.
    """
    if unknown := sorted(str(name) for name in options if name not in CONVERSIONS):
        raise MiraklInputError(
            f"conversion_options contains {', '.join(unknown)}; the options are {', '.join(CONVERSIONS)}"
        )
    checked = {}
    for name, given in options.items():
        word = str(given).strip().lower() if isinstance(given, bool | str) else ""
        if word not in ("true", "false"):
            raise MiraklInputError(f"conversion_options: {name} must be true or false, not {given!r:.100}")
        checked[name] = word == "true"
    return checked


def get_import(import_id: int, *, caller: Caller = SELLER) -> Call[dict[str, Json]]:
    """P42: the state of an import. At most once a minute."""
    return Call(
        P42,
        parse=Reply.state,
        path=P42.at(import_id=import_id),
        params=caller.params("P42"),
        paced_by=f"import {import_id}",
    )


def list_imports(
    *,
    caller: Caller = SELLER,
    changed_since: datetime | None = None,
    status: str | None = None,
    has_transformed_file: bool | None = None,
    offset: int = 0,
    limit: int = MAX_PAGE,
) -> Call[Page[dict[str, Json]]]:
    """P51: product imports, newest first, with the fields of P42. At most once a minute; every 5 recommended.

    :param caller: the operator may leave the shop open and gets the imports of all.
    :param changed_since: only imports that changed since then; without it Mirakl lists every import there ever was.
    :param status: ``CANCELLED``, ``WAITING``, ``RUNNING``, ``SENT``, ``COMPLETE`` or ``FAILED``.
    :param offset: position of the first one.
    :param limit: imports a page, 1 to 100.
    :return: a call that returns one page.
    """
    return Call(
        P51,
        parse=lambda reply: offset_page(
            reply,
            "product_import_trackings",
            lambda at: list_imports(
                caller=caller,
                changed_since=changed_since,
                status=status,
                has_transformed_file=has_transformed_file,
                offset=at,
                limit=limit,
            ),
            offset=offset,
            page_size=limit,
            optional=True,
        ),
        params=caller.params("P51")
        + query(
            last_request_date=moment(changed_since),
            status=status,
            has_transformed_file=has_transformed_file,
            sort="dateCreated",
            order="desc",
            max=limit,
            offset=offset or None,
        ),
    )


def get_error_report(import_id: int, *, caller: Caller = SELLER) -> Call[bytes]:
    """P44: products that were not integrated. CSV where the Catalog Manager is on, else the operator's format."""
    return report(P44, import_id, caller)


def get_new_product_report(import_id: int, *, caller: Caller = SELLER) -> Call[bytes]:
    """P45: products that were added."""
    return report(P45, import_id, caller)


def get_transformed_file(import_id: int, *, caller: Caller = SELLER) -> Call[bytes]:
    """P46: the file in the operator's format, CSV."""
    return report(P46, import_id, caller)


def get_transformation_error_report(import_id: int, *, caller: Caller = SELLER) -> Call[bytes]:
    """P47: lines that could not be converted, in the format of the upload."""
    return report(P47, import_id, caller)


def report(operation: Operation, job_id: int | str, caller: Caller) -> Call[bytes]:
    """A report of a job, whose path has an ``import_id``. Meant for ``Client.stream``."""
    return Call(
        operation,
        parse=lambda reply: reply.body,
        path=operation.at(import_id=job_id),
        params=caller.params(operation.code),
        accept=ANY,
        paced_by=f"import {job_id}",
    )


def file_part(content: Content, file_name: str) -> Part:
    """The file of an upload, under the one name that all imports have for it."""
    return Part("file", content, file_name=file_name)


def number_id(reply: Reply, *keys: str) -> int:
    """A whole number under the first of the keys that is there.

    :raises MiraklReplyError: the reply has none.
    """
    body = reply.json_object()
    found = next((body[key] for key in keys if body.get(key) is not None), None)
    number = numeric_id(found)
    if number is None:
        raise reply.unreadable(f"a number under {keys[0]!r}", found)
    return number


def text_id(reply: Reply, *keys: str) -> str:
    """A non-empty text under the first of the keys that is there; a number counts as text.

    :raises MiraklReplyError: the reply has none.
    """
    body = reply.json_object()
    found = next((body[key] for key in keys if body.get(key) is not None), None)
    if isinstance(found, bool) or not isinstance(found, int | str) or not str(found):
        raise reply.unreadable(f"an id under {keys[0]!r}", found)
    return str(found)
