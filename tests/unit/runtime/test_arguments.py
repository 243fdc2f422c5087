"""What each kind of argument makes of what a Dag, a template and another task's result hand it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.runtime import arguments
from airflow_provider_mirakl.runtime.arguments import Argument, Deliberate, Maybe, Selection, Some, stretched

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KINDS: dict[str, tuple[Argument[Any], list[tuple[Any, Any]], list[Any]]] = {
    # kind: (argument, [(given, read)], [refused])
    "flag": (
        arguments.Flag(),
        [(True, True), (False, False), ("False", False), ("true", True), (" FALSE ", False)],
        ["", "None", None, "yes", "0", 0, 1, [], "maybe"],
    ),
    "whole": (
        arguments.Whole(most=1000),
        [(7, 7), ("7", 7), (" 12 ", 12), (7.0, 7), (1000, 1000)],
        [0, 1001, -1, "x", "7.5", 7.5, True, None, "", "None", float("inf"), float("nan"), [7], "9" * 5000],
    ),
    "share": (
        arguments.Number(least=0, most=1),
        [(0, 0.0), (1, 1.0), ("0.25", 0.25)],
        [-0.1, 1.1, "x", True, None, "nan", "inf"],
    ),
    "seconds": (
        arguments.Seconds(above=0),
        [(60, 60.0), ("1.5", 1.5), (timedelta(minutes=2), 120.0)],
        [0, -1, "x", timedelta(0), float("inf"), None],
    ),
    "moment": (
        arguments.Moment(),
        [
            (NOON, NOON),
            (NOON.replace(tzinfo=None), NOON),
            ("2026-01-31T12:00:00", NOON),
            ("2026-01-31T12:00:00Z", NOON),
            (" 2026-01-31T13:00:00+01:00 ", NOON),
            ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ],
        ["yesterday", "", None, "None", 20260131, True],
    ),
    "id": (arguments.Id(), [(2001, 2001), ("2001", 2001)], ["", None, "x", True, -1, "٣", "9" * 5000, 1.5]),
    "ids": (
        arguments.Ids(),
        [
            (None, []),
            ("None", []),
            ("", []),
            ("[]", []),
            (7, [7]),
            ("7", [7]),
            ("7, 8", [7, 8]),
            ([7, "8", 7], [7, 8]),
            ((7,), [7]),
            ("[7, 8]", [7, 8]),
            ("['7', '8']", [7, 8]),
        ],
        ["x", [True], ["12", "x"], ["٣"], "9" * 5000, {"7": 8}, [None]],
    ),
    "codes": (
        arguments.Codes(),
        [
            (None, []),
            ("", []),
            ("None", []),
            ("[]", []),
            ("A", ["A"]),
            ("A, B", ["A", "B"]),
            (["A", " B ", "A"], ["A", "B"]),
            (set("QWERTYUIOP"), list("EIOPQRTUWY")),
            (frozenset("QWERTYUIOP"), list("EIOPQRTUWY")),
            ("['A', 'B']", ["A", "B"]),
            ('["A", "007"]', ["A", "007"]),
            ("[A, B]", ["A", "B"]),
        ],
        [[1, 2], 7, ["A", ""], {"A": 1}, True, "['A'", "A]"],
    ),
    "jobs": (
        arguments.JobIds(),
        [
            (2001, ["2001"]),
            ("a-1", ["a-1"]),
            ([2001, "2002"], ["2001", "2002"]),
            ("[2001, 2002]", ["2001", "2002"]),
        ],
        [None, "", "None", "[]", [], True, ["a b"], {"id": 1}, ["", 1]],
    ),
    "path": (
        arguments.Location(),
        [
            ("/data/x.csv", "/data/x.csv"),
            ("x.csv", "x.csv"),
            (Path("/data/x.csv"), "/data/x.csv"),
            ("file:///data/x.csv", "file:///data/x.csv"),
            ("s3://aws_default@bucket/x.csv", "s3://aws_default@bucket/x.csv"),
            ("C:\\data\\x.csv", "C:\\data\\x.csv"),
            ("2026-01-31T10:00:00.csv", "2026-01-31T10:00:00.csv"),
        ],
        [
            "",
            None,
            "None",
            " ",
            ["/x"],
            {"folder": "/x"},
            7,
            True,
            "['/x']",
            "~/x",
            "s3:/one",
            "S3://bucket/x",
        ],
    ),
    "rows": (
        arguments.Table(),
        [
            ("/data/x.csv", "/data/x.csv"),
            ([{"id": "a"}], [{"id": "a"}]),
            ("[{'id': 'a'}]", [{"id": "a"}]),
            ('[{"id": null}]', [{"id": None}]),
            ("[{'text': 'a {{ b }}'}]", [{"text": "a {{ b }}"}]),
            ([], []),
        ],
        ["", None, "None", {"id": "a"}, "{'id': 'a'}", 7, "~/x", "https://host/x.csv"],
    ),
    "mapping": (
        arguments.Mappings(),
        [({"a": 1}, {"a": 1}), ("{'a': None}", {"a": None}), ('{"a": null}', {"a": None})],
        ["", None, "a", [1], "[1]", "{a", 7],
    ),
    "submitted": (
        arguments.Submitted(),
        [
            ("/f", "/f"),
            ({"folder": "/f"}, "/f"),
            ("{'folder': '/f', 'sent': 1}", "/f"),
            ('{"folder": "/f"}', "/f"),
        ],
        [None, "", "None", {"sent": 3}, "{'sent': 3}", {"folder": None}, ["/f"], "~/f", "s3:/f"],
    ),
    "text": (arguments.Text(), [("a", "a")], [None, "", "None", " ", 7, ["a"]]),
    "choice": (arguments.Choice(("fail", "reject")), [("fail", "fail")], ["x", "", None, True, ["fail"]]),
    "choices": (
        arguments.Choices(("A", "B")),
        [("A", ["A"]), ("A,B", ["A", "B"]), ("", [])],
        ["C", ["A", "C"]],
    ),
}


class Operator:
    """Holds one argument of each kind."""


for kind, (declared, _, _) in KINDS.items():
    setattr(Operator, kind, declared)
    declared.__set_name__(Operator, kind)


@pytest.mark.parametrize(
    ("kind", "given", "read"), [(kind, *case) for kind, (_, cases, _) in KINDS.items() for case in cases]
)
def test_what_is_read(kind: str, given: Any, read: Any) -> None:
    operator = Operator()
    setattr(operator, kind, given)
    assert getattr(operator, kind) == read
    assert type(getattr(operator, kind)) is type(read)
    setattr(operator, kind, getattr(operator, kind))  # Airflow sets what it has rendered or copied
    assert getattr(operator, kind) == read


@pytest.mark.parametrize(
    ("kind", "given"), [(kind, given) for kind, (_, _, refused) in KINDS.items() for given in refused]
)
def test_what_is_refused(kind: str, given: Any) -> None:
    with pytest.raises(MiraklConfigurationError) as caught:
        setattr(Operator(), kind, given)
    assert caught.value.field == kind
    assert str(caught.value).startswith(kind)


@pytest.mark.parametrize("given", [None, "", " ", "None"])
def test_nothing_is_none_where_an_argument_may_be_nothing(given: str | None) -> None:
    for argument in (arguments.Whole(), arguments.Location(), arguments.Moment(), arguments.Text()):
        assert Maybe(argument).read(given) is None


def test_a_table_where_a_path_belongs_is_named_without_its_rows() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    with pytest.raises(MiraklConfigurationError, match=r"path must be the path .*, not a DataFrame$"):
        Operator().path = pandas.DataFrame({"customer": ["Jane Doe"]})


def test_messages_name_the_field_and_the_choices() -> None:
    for kind, given, message in (
        ("choice", "x", "choice must be 'fail' or 'reject', not 'x'"),
        ("flag", "yes", "flag must be true or false, not 'yes'"),
        ("whole", 0, "whole must be a whole number from 1 to 1,000, not 0"),
        ("share", 2, "share must be a number from 0 to 1, not 2"),
        ("path", None, "path must be the path of a file or folder, not None"),
        ("path", "~/x", "path is '~/x': ~ is not expanded here; write the whole path"),
        ("path", "s3:/one", "path is 's3:/one': two slashes belong after the scheme; write s3://..."),
        ("path", "S3://b/x", "path is 'S3://b/x': write the scheme in lower case: s3://..."),
    ):
        with pytest.raises(MiraklConfigurationError) as caught:
            setattr(Operator(), kind, given)
        assert str(caught.value) == message


@pytest.mark.parametrize("scheme", ["https", "sftp"])
def test_what_is_not_storage_is_named_with_the_fix(scheme: str) -> None:
    with pytest.raises(MiraklConfigurationError, match=f"{scheme}:// is not storage that Airflow reads"):
        arguments.Location().read(f"{scheme}://host/x.csv")


def test_an_offset_stays() -> None:
    paris = datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))
    assert arguments.Moment().read(paris).utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize(
    ("seconds", "factor", "interval"), [(60, 1, 60), (60, 2, 120), (30, 2, 60), (60, 0.01, 0.6), (60, 0, 0)]
)
def test_an_interval_is_stretched_and_then_checked(seconds: float, factor: float, interval: float) -> None:
    assert stretched("poll_interval", seconds, factor=factor, shortest=60, what="an import") == interval


@pytest.mark.parametrize(("seconds", "factor"), [(59, 1), (29, 2), (30, 0.01)])
def test_an_interval_that_is_too_short_even_stretched(seconds: float, factor: float) -> None:
    with pytest.raises(MiraklConfigurationError, match="poll_interval must be 60 s or more for an import"):
        stretched("poll_interval", seconds, factor=factor, shortest=60, what="an import")


class Guarded:
    """Holds arguments that must not come to nothing by accident."""

    orders = Selection(arguments.Codes())
    shops = Selection(arguments.Ids())
    jobs = Some(arguments.Codes())
    allowed = Deliberate(arguments.Whole(least=0), default=0)
    refund = Deliberate(arguments.Number(least=0))


EMPTY = [[], "", " ", "None", "[]"]
"""What a template makes of a list or a value that is missing."""


@pytest.mark.parametrize("left_out", [None, ()])
def test_a_selection_that_is_left_out_selects_everything(left_out: Any) -> None:
    operator = Guarded()
    operator.orders = left_out
    assert operator.orders == []
    operator.orders = operator.orders  # Airflow sets what it has rendered
    copy = Guarded()
    for name, value in vars(operator).items():  # as Airflow 2 copies an operator
        setattr(copy, name, value)
    assert operator.orders == copy.orders == []


@pytest.mark.parametrize("name", ["orders", "shops"])
@pytest.mark.parametrize("template", [None, "{{ params.x }}"])
@pytest.mark.parametrize("empty", EMPTY)
def test_a_selection_that_is_empty_does_not_select_everything(
    name: str, template: str | None, empty: Any
) -> None:
    operator = Guarded()
    if template:
        setattr(operator, name, template)
    with pytest.raises(
        MiraklConfigurationError, match=rf"^{name} is empty .*leave it out, or render '\*'"
    ) as caught:
        setattr(operator, name, empty)
    assert caught.value.field == name


def test_a_template_and_a_task_that_return_none_do_not_select_everything() -> None:
    operator = Guarded()
    operator.orders = "{{ ti.xcom_pull(task_ids='search') }}"
    with pytest.raises(MiraklConfigurationError, match=r"^orders is empty"):
        operator.orders = None


def test_a_template_may_say_that_it_selects_everything() -> None:
    operator = Guarded()
    operator.shops = "{{ params.shops or '*' }}"
    operator.shops = "*"
    assert operator.shops == []
    operator.shops = "{{ params.shops or '*' }}"
    operator.shops = "7, 8"
    assert operator.shops == [7, 8]


@pytest.mark.parametrize("empty", [None, (), *EMPTY])
def test_a_list_of_what_to_do_is_not_empty(empty: Any) -> None:
    with pytest.raises(MiraklConfigurationError, match=r"^jobs is empty .*skip the task"):
        Guarded().jobs = empty


@pytest.mark.parametrize("empty", [None, "", " ", "None"])
def test_a_template_that_comes_to_nothing_lifts_no_limit(empty: Any) -> None:
    operator = Guarded()
    operator.allowed, operator.refund = "{{ params.x }}", "{{ params.x }}"
    operator.allowed = empty
    assert operator.allowed == 0
    with pytest.raises(
        MiraklConfigurationError, match=r"^refund must be a number, 0 or more, not '"
    ) as caught:
        operator.refund = empty
    assert caught.value.field == "refund"


def test_a_dag_lifts_a_limit() -> None:
    operator = Guarded()
    operator.allowed = operator.refund = None
    assert operator.allowed is None
    assert operator.refund is None
    operator.allowed, operator.refund = operator.allowed, operator.refund  # rendered
    assert operator.allowed is None
    assert operator.refund is None
