"""Of every operator and sensor: its parameters are named, described and read; a slip fails when the Dag is parsed."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, BaseOperator, BaseSensorOperator

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.runtime import arguments as kinds
from airflow_provider_mirakl.runtime.signatures import SensorTaskArguments, TaskArguments

sys.path.insert(0, str(Path(__file__).parent))
from surface import documented, inner, layers, make, parameters, public

ALL = sorted(public())
EACH = [(name, argument) for name in ALL for argument in sorted(kinds.arguments_of(public()[name]))]


def argument_of(name: str, argument: str) -> kinds.Argument[Any]:
    return kinds.arguments_of(public()[name])[argument]


def of_kind(*wanted: type, templated: bool | None = None) -> list[tuple[str, str]]:
    return [
        (name, argument)
        for name, argument in EACH
        if isinstance(inner(argument_of(name, argument)), wanted)
        and templated in (None, argument_of(name, argument).templated)
        and argument in parameters(public()[name])
    ]


def test_there_are_operators() -> None:
    assert len(ALL) > 30


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_is_named_described_and_read(name: str) -> None:
    kind = public()[name]
    assert parameters(kind) <= set(kinds.arguments_of(kind))
    assert parameters(kind) <= documented(kind), "a parameter without :param"
    own = set(re.findall(r":param (\w+):", kind.__doc__ or ""))
    # Airflow's sensors have these two; in ours and in operators they are described where they mean more.
    assert own - {"poke_interval", "timeout"} <= parameters(kind), "a :param without a parameter"


@pytest.mark.parametrize("name", ALL)
def test_a_misspelled_parameter_is_refused(name: str) -> None:
    # Airflow 2 lets its base operator say so.
    with pytest.raises((TypeError, AirflowException), match="deferable"):
        make(public()[name], deferable=True)


@pytest.mark.parametrize(("name", "argument"), of_kind(kinds.Choice))
def test_a_slip_in_a_choice_fails_the_parse(name: str, argument: str) -> None:
    with pytest.raises(MiraklConfigurationError, match=rf"^{argument} must be '.*', not 'Fial'$") as caught:
        make(public()[name], **{argument: "Fial"})
    assert caught.value.field == argument


@pytest.mark.parametrize(("name", "argument"), of_kind(kinds.Argument, templated=False))
def test_what_is_not_templated_refuses_a_template(name: str, argument: str) -> None:
    with pytest.raises(MiraklConfigurationError, match=f"^{argument} is not templated") as caught:
        make(public()[name], **{argument: "{{ params.x }}"})
    assert caught.value.field == argument


def render(name: str, argument: str, value: object) -> Any:
    """The value of an argument whose template Airflow itself has rendered."""
    with DAG("dag"):
        task = make(public()[name], **{argument: "{{ value }}"})
    assert getattr(task, argument) == "{{ value }}"
    task.render_template_fields({"value": value})
    return getattr(task, argument)


@pytest.mark.parametrize(("name", "argument"), of_kind(kinds.Flag, templated=True))
def test_a_flag_is_what_its_template_renders(name: str, argument: str) -> None:
    assert render(name, argument, False) is False
    assert render(name, argument, True) is True
    with pytest.raises(MiraklConfigurationError, match=f"^{argument} must be true or false, not 'maybe'"):
        render(name, argument, "maybe")


@pytest.mark.parametrize(("name", "argument"), of_kind(kinds.Whole, kinds.Number, templated=True))
def test_a_number_is_what_its_template_renders(name: str, argument: str) -> None:
    assert render(name, argument, 1) == 1
    assert not isinstance(render(name, argument, 1), str)
    with pytest.raises(MiraklConfigurationError, match=rf"^{argument} must be a (whole )?number.* not 'x'"):
        render(name, argument, "x")


@pytest.mark.parametrize(("name", "argument"), of_kind(kinds.Choice, templated=True))
def test_a_choice_is_what_its_template_renders(name: str, argument: str) -> None:
    word = inner(argument_of(name, argument)).words[-1]
    assert render(name, argument, word) == word
    with pytest.raises(MiraklConfigurationError, match=f"^{argument} must be "):
        render(name, argument, "Fial")


@pytest.mark.parametrize("name", ALL)
def test_another_tasks_result_may_be_any_templated_argument(name: str) -> None:
    kind = public()[name]
    with DAG("dag"):
        before = BaseOperator(task_id="before")
        templated = [argument for argument in kind.template_fields if argument in parameters(kind)]
        task = make(kind, **{argument: before.output[argument] for argument in templated})
    assert task.upstream_task_ids == {"before"}


@pytest.mark.parametrize("name", ALL)
def test_a_template_that_was_not_rendered_is_no_value(name: str) -> None:
    task = make(public()[name])
    argument = task.template_fields[0]
    task.__dict__[argument] = "{{ left }}"
    with pytest.raises(MiraklConfigurationError, match=rf"^{argument} is '{{{{ left }}}}' after rendering"):
        task.pre_execute({})


ANSWERS = {"MiraklGetShopOperator", "MiraklGetShopStatisticsOperator", "MiraklListShopsOperator"}
"""Their result is what Mirakl answered, or ids to map over."""


def returned(kind: type) -> str:
    """What a class or the nearest base says of its result, also where it refers to another class."""
    for layer in layers(kind):
        if found := re.search(r":return: (.*?)(?=\n    :|\n\n|\Z)", layer.__doc__ or "", re.DOTALL):
            referred = re.search(r"as for (?::class:)?`+~?([\w.]+)`", found[1])
            name = referred[1].rpartition(".")[2] if referred else ""
            return returned(public()[name]) if name in public() else found[1]
    return ""


@pytest.mark.parametrize(
    "name",
    [name for name in ALL if {"work_folder", "target"} & parameters(public()[name]) and name not in ANSWERS],
)
def test_every_result_says_where_the_folder_of_the_task_is(name: str) -> None:
    assert "folder" in returned(public()[name])


def test_airflows_own_parameters_are_all_named() -> None:
    """Those of the installed version; the others stand there for the other supported versions."""
    for ours, airflows in ((TaskArguments, BaseOperator), (SensorTaskArguments, BaseSensorOperator)):
        signature = inspect.signature(inspect.unwrap(airflows.__init__))
        named = {
            name
            for name, parameter in signature.parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        assert named - {"poke_interval"} <= set(ours.__annotations__)


def test_layers_are_ours() -> None:
    assert all(layers(public()[name])[0].__name__ == name for name in ALL)


def test_the_docs_have_one_table_of_the_parameters_that_several_operators_share() -> None:
    page = (Path(__file__).parents[3] / "docs" / "parameters.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \|", page, re.MULTILINE))
    owners: dict[str, list[str]] = {}
    for name in ALL:
        for parameter in parameters(public()[name]):
            owners.setdefault(parameter, []).append(name)
    shared = {parameter: names for parameter, names in owners.items() if len(names) > 1}
    assert set(table) - {"timeout"} == set(shared)
    for parameter, names in shared.items():
        kinds_of = {type(inner(argument_of(name, parameter))).__name__ for name in names}
        assert kinds_of <= {"Table", "Location"} or len(kinds_of) == 1, (parameter, kinds_of)
        templated = {argument_of(name, parameter).templated for name in names}
        assert templated == {table[parameter] == "yes"}, parameter


def test_structures_are_shown_as_json_and_paths_as_they_are() -> None:
    upsert, upload = (
        public()["MiraklConnectUpsertProductsOperator"],
        public()["MiraklUploadShopDocumentsOperator"],
    )
    assert upsert.template_fields_renderers == {"columns": "json"}  # type: ignore[attr-defined]
    assert upload.template_fields_renderers == {"documents": "json"}  # type: ignore[attr-defined]
    for name in ALL:
        assert re.fullmatch(r"#[0-9a-f]{6}", public()[name].ui_color)  # type: ignore[attr-defined]
