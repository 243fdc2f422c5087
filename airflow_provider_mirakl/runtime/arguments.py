"""The arguments of operators and sensors: one reader for each kind, and one time when it reads.

An operator declares its arguments as class attributes::

    class MyOperator(MiraklBaseOperator):
        target = Location()
        preview = Flag()
        max_failed_items = Maybe(Whole(least=0))

        def __init__(self, *, target: PathArg, preview: FlagArg = False, ...) -> None:
            self.target = target

A value is read when it is set: by ``__init__`` when Airflow parses the Dag, or when Airflow renders the template. So an
invalid value fails the parse, the string ``"False"`` means false, and the code that uses it never sees a string instead
of a number. A value known only at run time (a template, the result of another task) is read after rendering; an
argument that is not templated rejects it.

The policy, for every argument:

- nothing: ``None``, an empty string, and the string ``None`` that a template makes of it
- nothing that would lift a limit or select everything: only ``None`` in the Dag, see :class:`Deliberate` and
  :class:`Selection`
- flags: true and false, also as strings in any case
- numbers: also as strings
- times: a ``datetime`` or ISO 8601; without a time zone it is UTC
- lists: a list, one element, a comma-separated string, or a list written as JSON or Python
- paths: see :func:`~airflow_provider_mirakl.files.values.check_path`
- one error: :class:`~airflow_provider_mirakl.exceptions.MiraklConfigurationError`, whose ``field`` is the argument
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from math import isfinite
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, cast, get_args, overload

from airflow_provider_mirakl.api.values import Role, in_utc, numeric_id
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, one_of, words_of
from airflow_provider_mirakl.files.values import Frame, check_path, is_nothing, read_structure
from airflow_provider_mirakl.runtime.explaining import explain, explaining

if TYPE_CHECKING:
    from typing import Self

    from airflow.providers.common.compat.sdk import ObjectStoragePath, XComArg

    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

    TextArg: TypeAlias = str | XComArg
    """A string. Templated."""
    FlagArg: TypeAlias = bool | str | XComArg
    """True or false. Templated, so it may be a string."""
    WholeArg: TypeAlias = int | str | XComArg
    """A whole number. Templated, so it may be a string."""
    NumberArg: TypeAlias = float | str | XComArg
    """A number. Templated, so it may be a string."""
    MomentArg: TypeAlias = datetime | str | XComArg
    """A time: a ``datetime`` or ISO 8601. Templated."""
    PathArg: TypeAlias = str | PathLike[str] | ObjectStoragePath | XComArg
    """A local path or an address of object storage. Templated."""
    IdsArg: TypeAlias = int | str | Collection[int | str] | XComArg
    """One id, a comma-separated string, or a list. Templated."""
    CodesArg: TypeAlias = str | Collection[str] | XComArg
    """One code, a comma-separated string, or a list. Templated."""
    MappingArg: TypeAlias = Mapping[str, Any] | str | XComArg
    """A mapping. Templated, so it may be a string of JSON or Python."""
    RowsArg: TypeAlias = str | PathLike[str] | ObjectStoragePath | Sequence[Any] | Frame | XComArg
    """The path of a file, or a list. Templated."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_PLAIN_ID = r"[0-9A-Za-z-]+"


def _is_table(value: object) -> bool:
    return any(hasattr(value, name) for name in ("__arrow_c_stream__", "iloc", "fetch_arrow_reader"))


def _shown(value: object) -> str:
    """A value in a message; a table would show its rows."""
    return f"a {type(value).__name__}" if _is_table(value) else f"{value!r:.200}"


class Argument(Generic[T_co]):
    """An argument of an operator or a sensor, read when it is set.

    :param templated: whether it may be a template; such arguments become the operator's ``template_fields``.
    """

    expected: str
    """What the argument must be, for the message."""
    renders_json = False
    """Whether the page of rendered templates shows it as JSON."""

    if not TYPE_CHECKING:

        def __class_getitem__(cls, item: object) -> type:
            """The class: types are for type checkers only, and an alias for each would slow down every parse."""
            return cls

    def __init__(self, *, templated: bool = True) -> None:
        self.templated = templated
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, operator: None, owner: type) -> Self: ...
    @overload
    def __get__(self, operator: object, owner: type | None = None) -> T_co: ...
    def __get__(self, operator: object | None, owner: type | None = None) -> Self | T_co:
        if operator is None:
            return self
        try:
            value: T_co = operator.__dict__[self.name]
        except KeyError:
            raise AttributeError(self.name) from None
        return value

    def __set__(self, operator: object, value: object) -> None:
        if self.waits(value):
            if not self.templated:
                raise MiraklConfigurationError(
                    f"{self.name} is not templated, so {value!r:.200} would never be rendered; set a value",
                    field=self.name,
                )
            operator.__dict__[self.name] = value
        else:
            try:
                operator.__dict__[self.name] = self.read(value)
            except MiraklConfigurationError as error:
                if _is_in_a_run(operator):  # a template was rendered, or the result of another task arrived
                    explain(error, operator, folded=True)
                raise

    def waits(self, value: object) -> bool:
        """Whether the value is known only at run time: a template, or a reference such as another task's result."""
        if isinstance(value, str):
            return "{{" in value or "{%" in value
        if isinstance(value, list | tuple | set):
            return any(self.waits(element) for element in value)
        return hasattr(value, "iter_references")

    def read(self, value: object) -> T_co:
        """Read the value that was set.

        :raises MiraklConfigurationError: it is invalid.
        """
        try:
            return self.convert(value)
        except MiraklConfigurationError:
            raise
        except (TypeError, ValueError, OverflowError):
            raise MiraklConfigurationError(
                f"{self.name} must be {self.expected}, not {_shown(value)}", field=self.name
            ) from None

    def convert(self, value: object) -> T_co:
        """Read the value that was set.

        :raises ValueError: it is invalid.
        """
        raise NotImplementedError


class Wrapping(Argument[T_co]):
    """An argument that another one reads, unless it is nothing.

    :param argument: reads any other value.
    """

    def __init__(self, argument: Argument[Any]) -> None:
        super().__init__(templated=argument.templated)
        self.argument = argument
        self.expected = argument.expected
        self.renders_json = argument.renders_json

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.argument.name = name

    def waits(self, value: object) -> bool:
        """See the wrapped argument."""
        return self.argument.waits(value)

    def _came_to_nothing(self, operator: object, value: object) -> bool:
        """Whether a template or the result of another task is nothing, which the Dag itself does not say."""
        return _is_left_out(value) and self.waits(operator.__dict__.get(self.name))


def _is_left_out(value: object) -> bool:
    """Whether a value is what a Dag writes for a parameter that it does not use: ``None``, or an empty tuple."""
    return value is None or (isinstance(value, tuple) and not value)


class Maybe(Wrapping[T | None], Generic[T]):
    """An argument that may be ``None``.

    :param argument: reads any other value.
    """

    def __init__(self, argument: Argument[T]) -> None:
        super().__init__(argument)
        self.argument: Argument[T] = argument

    def convert(self, value: object) -> T | None:
        return None if is_nothing(value) else self.argument.convert(value)


class Deliberate(Maybe[T]):
    """An argument whose ``None`` lifts a limit, so that it must be written in the Dag: a template cannot come to it.

    :param argument: reads any other value.
    :param default: what a template means that renders to nothing; ``None`` refuses it.
    """

    def __init__(self, argument: Argument[T], *, default: T | None = None) -> None:
        super().__init__(argument)
        self.default = default

    def __set__(self, operator: object, value: object) -> None:
        super().__set__(operator, "" if self._came_to_nothing(operator, value) else value)

    def convert(self, value: object) -> T | None:
        if value is None or not is_nothing(value):
            return super().convert(value)
        if self.default is None:
            raise MiraklConfigurationError(
                f"{self.name} must be {self.expected}, not {value!r}: a template that renders to nothing does not lift "
                "a limit. Leave it out to set none",
                field=self.name,
            )
        return self.default


class Some(Wrapping[list[T]], Generic[T]):
    """A list that must not be empty: a task that has nothing to do would look like one that did it.

    :param argument: reads the list.
    """

    therefore: ClassVar[str] = "so there is nothing to do; skip the task in that case"
    """What an empty list would mean, and the fix, for the message."""

    def __init__(self, argument: Argument[list[T]]) -> None:
        super().__init__(argument)
        self.argument: Argument[list[T]] = argument

    def convert(self, value: object) -> list[T]:
        if found := self.argument.convert(value):
            return found
        raise MiraklConfigurationError(
            f"{self.name} is empty ({_shown(value)}), {self.therefore}", field=self.name
        )


class Selection(Some[T]):
    """A list that selects what is read. Left out, or ``None`` in the Dag, it selects everything.

    An empty list is refused. It is usually the result of a task or a template that found nothing, and that must not
    select everything. A template that means everything renders ``*``.

    :param argument: reads the list.
    """

    therefore = "which must not select everything; to select everything, leave it out, or render '*'"

    @overload
    def __get__(self, operator: None, owner: type) -> Self: ...
    @overload
    def __get__(self, operator: object, owner: type | None = None) -> list[T]: ...
    def __get__(self, operator: object | None, owner: type | None = None) -> Self | list[T]:
        if operator is None:
            return self
        found: list[T] | None = super().__get__(operator, owner)
        return [] if found is None else found

    def __set__(self, operator: object, value: object) -> None:
        kept = operator.__dict__
        if self._came_to_nothing(operator, value):
            value = ""
        elif isinstance(value, list) and not value and kept.get(self.name, value) is None:
            return  # Airflow sets again what it has rendered
        super().__set__(operator, value)
        if kept[self.name] == []:
            kept[self.name] = None  # tells it from an empty list, also in a copy of the operator

    def convert(self, value: object) -> list[T]:
        if _is_left_out(value) or (isinstance(value, str) and value.strip() == "*"):
            return []
        return super().convert(value)


class Text(Argument[str]):
    """A string that is not empty."""

    expected = "a string"

    def convert(self, value: object) -> str:
        if is_nothing(value) or not isinstance(value, str):
            raise ValueError
        return value


class Flag(Argument[bool]):
    """True or false."""

    expected = "true or false"

    def convert(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in ("true", "false"):
            raise ValueError
        return word == "true"


class Number(Argument[float]):
    """A number.

    :param least: the smallest.
    :param most: the largest.
    :param above: it must be larger than this.
    """

    def __init__(
        self,
        *,
        least: float | None = None,
        most: float | None = None,
        above: float | None = None,
        templated: bool = True,
    ) -> None:
        super().__init__(templated=templated)
        self.least, self.most, self.above = least, most, above
        self.expected = f"{self.noun}{self._range()}"

    noun: ClassVar[str] = "a number"

    def _range(self) -> str:
        if self.above is not None:
            return f" above {self.above:,g}"
        if self.least is None:
            return ""
        return (
            f", {self.least:,g} or more" if self.most is None else f" from {self.least:,g} to {self.most:,g}"
        )

    def convert(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        return self._fits(float(value))

    def _fits(self, number: float) -> float:
        low = (self.least is not None and number < self.least) or (
            self.above is not None and number <= self.above
        )
        if low or not isfinite(number) or (self.most is not None and number > self.most):
            raise ValueError
        return number


class Seconds(Number):
    """A duration in seconds, also as ``timedelta``."""

    noun = "a number of seconds"

    def convert(self, value: object) -> float:
        return super().convert(value.total_seconds() if isinstance(value, timedelta) else value)


class Whole(Argument[int]):
    """A whole number.

    :param least: the smallest.
    :param most: the largest.
    """

    def __init__(self, *, least: int = 1, most: int | None = None, templated: bool = True) -> None:
        super().__init__(templated=templated)
        self.least, self.most = least, most
        self.expected = (
            f"a whole number, {least:,} or more"
            if most is None
            else f"a whole number from {least:,} to {most:,}"
        )

    def convert(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = int(value)
        if number != value and not isinstance(value, str):
            raise ValueError
        if number < self.least or (self.most is not None and number > self.most):
            raise ValueError
        return number


class Choice(Argument[T_co]):
    """One of several values.

    :param words: the values, of a ``Literal`` type: ``get_args(Role)``.
    """

    def __init__(self, words: tuple[T_co, ...], *, templated: bool = True) -> None:
        super().__init__(templated=templated)
        self.words = words
        self.expected = words_of([str(word) for word in words])

    def convert(self, value: object) -> T_co:
        for word in self.words:
            if word == value:
                return word
        raise ValueError


class Moment(Argument[datetime]):
    """A time; without a time zone it is UTC."""

    expected = "a date-time such as 2026-01-31T10:00:00Z"

    def convert(self, value: object) -> datetime:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            raise TypeError
        utc = in_utc(moment)  # an error, if there is none
        return utc if moment.tzinfo is None else moment


class Id(Argument[int]):
    """One of Mirakl's numeric ids."""

    expected = "one of Mirakl's numeric ids"

    def convert(self, value: object) -> int:
        number = numeric_id(value)
        if number is None:
            raise ValueError
        return number


class Ids(Argument[list[int]]):
    """Mirakl's numeric ids, each once; nothing means an empty list."""

    expected = "Mirakl's numeric ids"

    def convert(self, value: object) -> list[int]:
        numbers = [numeric_id(element) for element in _elements(value)]
        if None in numbers:
            raise ValueError
        return list(dict.fromkeys(number for number in numbers if number is not None))


class Codes(Argument[list[str]]):
    """Codes, each once; nothing means an empty list."""

    expected = "codes: one, a comma-separated string, or a list"

    def convert(self, value: object) -> list[str]:
        codes = [element.strip() if isinstance(element, str) else "" for element in _elements(value)]
        if not all(codes):
            raise ValueError
        return list(dict.fromkeys(codes))


class JobIds(Codes):
    """Ids of jobs: numbers or UUIDs, depending on the job."""

    expected = "the id of a job, or a list such as the job_ids of an operator"

    def convert(self, value: object) -> list[str]:
        """The ids as strings: only the job knows their type."""
        elements = [str(element).strip() for element in _elements(value) if not isinstance(element, bool)]
        if not elements or not all(re.fullmatch(_PLAIN_ID, element) for element in elements):
            raise ValueError
        return list(dict.fromkeys(elements))


class Choices(Codes):
    """Some of several values.

    :param words: the values.
    """

    def __init__(self, words: Sequence[str], *, templated: bool = True) -> None:
        super().__init__(templated=templated)
        self.words = words

    def convert(self, value: object) -> list[str]:
        return [one_of(self.name, code, self.words) for code in super().convert(value)]


class Location(Argument[str]):
    """A path: local, or object storage."""

    expected = "the path of a file or folder"

    def convert(self, value: object) -> str:
        return check_path(self.name, _path_text(value))


class _Structure(Argument[T_co]):
    """A list or a mapping. Strings in it may contain ``{{``: they are data, unless Airflow renders them in place."""

    def waits(self, value: object) -> bool:
        found = read_structure(value)
        return super().waits(found) if isinstance(found, str) else hasattr(found, "iter_references")


class Table(_Structure["str | Sequence[Any] | Frame"]):
    """Rows: the path of a file, a list, or a table of a library."""

    expected = "the path of a file, a list, or a DataFrame"

    def convert(self, value: object) -> str | Sequence[Any] | Frame:
        if _is_table(value):
            return cast("Frame", value)
        found = read_structure(value)
        if isinstance(found, Sequence) and not isinstance(found, str | bytes):
            return found
        return check_path(self.name, _path_text(found))


class Elements(_Structure[Sequence[Any]]):
    """A list."""

    expected = "a list"
    renders_json = True

    def convert(self, value: object) -> Sequence[Any]:
        found = read_structure(value)
        if not isinstance(found, Sequence) or isinstance(found, str | bytes):
            raise TypeError
        return found


class Given(_Structure[Any]):
    """Any value, such as lines of text that the operator reads itself."""

    expected = "anything"

    def convert(self, value: object) -> Any:
        return value


class Mappings(_Structure[Mapping[str, Any]]):
    """A mapping of names to values."""

    expected = "a mapping of names to values"
    renders_json = True

    def convert(self, value: object) -> Mapping[str, Any]:
        found = read_structure(value)
        if not isinstance(found, Mapping):
            raise TypeError
        return found


class Query(Mappings):
    """Query parameters by name. Native rendering makes a float of a text, or an object of a list."""

    def convert(self, value: object) -> Mapping[str, Any]:
        return {str(name): self._values(str(name), given) for name, given in super().convert(value).items()}

    def _values(self, name: str, given: object) -> object:
        """A value in the form that a query has for it.

        :raises MiraklConfigurationError: there is none. It is not shown, because it may name a customer.
        """
        if given is None or isinstance(given, str | int) or Argument.waits(self, given):
            return given
        is_one = not isinstance(given, list | tuple | set | frozenset)
        several = [given] if is_one else in_order(cast("Collection[object]", given))
        for one in several:
            if not (isinstance(one, str | int) or (isinstance(one, float) and isfinite(one))):
                raise MiraklConfigurationError(
                    f"{self.name}: {name} must be a text, a number, true or false, or a list of them; it contains "
                    f"{'null' if one is None else type(one).__name__}",
                    field=self.name,
                )
        found = [repr(one) if isinstance(one, float) else one for one in several]
        return found[0] if is_one else found


class ColumnSettings(Mappings):
    """Settings of columns, or the name of a ready mapping."""

    expected = "a mapping of settings, or the name of a ready mapping such as 'shopify'"

    def convert(self, value: object) -> Mapping[str, Any]:
        if isinstance(value, str) and value.strip().isidentifier():
            return {"preset": value.strip()}
        return super().convert(value)


class Submitted(_Structure[str]):
    """The folder of a submission: a path, or the result of the operator that sent it."""

    expected = "the result of an operator that sends products, or its folder"

    def convert(self, value: object) -> str:
        found = read_structure(value)
        folder = found.get("folder") if isinstance(found, Mapping) else found
        return check_path(self.name, _path_text(folder))


class ReadsArguments:
    """Base of operators and sensors: their :class:`Argument` attributes become their ``template_fields``."""

    template_fields: Collection[str] = ()
    template_fields_renderers: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        templated = {name: argument for name, argument in arguments_of(cls).items() if argument.templated}
        if "template_fields" not in cls.__dict__:
            cls.template_fields = tuple(templated)
        if "template_fields_renderers" not in cls.__dict__:
            cls.template_fields_renderers = {
                name: "json" for name, argument in templated.items() if argument.renders_json
            }

    def pre_execute(self, context: Any) -> None:
        """Reject a template that was not rendered, since code would use it as a value."""
        super().pre_execute(context)  # type: ignore[misc]
        with explaining(self, folded=True):
            for name, argument in arguments_of(type(self)).items():
                if argument.waits(value := getattr(self, name, None)):
                    raise MiraklConfigurationError(f"{name} is {value!r:.200} after rendering", field=name)

    def post_execute(self, context: Any, result: Any = None) -> None:
        """Remove what old runs of this task left in the work folder."""
        super().post_execute(context, result)  # type: ignore[misc]
        if hasattr(self, "work_folder"):
            from airflow_provider_mirakl.runtime.tidying import tidy

            tidy(context, self.work_folder, self.log)  # type: ignore[attr-defined]


def _is_in_a_run(operator: object) -> bool:
    """Whether an operator is not only being made by a Dag file: Airflow's own marks, of every version."""
    return any(getattr(operator, f"_BaseOperator__{mark}", False) for mark in ("instantiated", "from_mapped"))


def arguments_of(operator: type) -> dict[str, Argument[Any]]:
    """The arguments that a class declares and inherits, by name."""
    found: dict[str, Argument[Any]] = {}
    for kind in operator.__mro__:
        if not kind.__module__.startswith("airflow."):  # whose base operator has hundreds of attributes
            found |= {name: value for name, value in _declared(kind).items() if name not in found}
    return found


@cache
def _declared(kind: type) -> dict[str, Argument[Any]]:
    """The arguments that a class itself declares."""
    return {name: value for name, value in vars(kind).items() if isinstance(value, Argument)}


def read_caller(hook: MiraklHook, shop_id: int | None = None) -> Caller:
    """The role of a connection's key, and the shop.

    :param shop_id: the shop; ``None`` takes the connection's own.
    """
    from airflow_provider_mirakl.api.caller import Caller

    values = hook.values
    return Caller(values.role or "shop", values.shop_id if shop_id is None else shop_id)


def check_caller(
    hook: MiraklHook, shop_id: int | None, operation: str, roles: Collection[str] = get_args(Role)
) -> Caller:
    """The role of a connection's key, and the shop, for an operation that not every role may call for one shop.

    The connection's shop is only a default, for the operations that take one. Operations that would read every shop's
    data instead refuse it too: :meth:`~airflow_provider_mirakl.api.caller.Caller.check_shop`.

    :param shop_id: the shop; ``None`` takes the connection's own.
    :param operation: Mirakl's code.
    :param roles: the roles that may call it.
    :raises MiraklConfigurationError: the role may not call it, or ``shop_id`` is set and it takes no shop from this
        role; no call was made.
    """
    caller = read_caller(hook, shop_id)
    if caller.role not in roles:
        raise MiraklConfigurationError(
            f"role must be {words_of(list(roles))} for {operation}, but connection {hook.conn_id!r} has the key of "
            f"role {caller.role!r}",
            field="role",
        )
    if shop_id is not None and not caller.takes_shop(operation):
        raise MiraklConfigurationError(
            f"shop_id is {shop_id}, but {operation} takes no shop from role {caller.role!r}. Leave shop_id out, or use "
            "the key of a user of that shop",
            field="shop_id",
        )
    return caller


def check_range(names: tuple[str, str], start: datetime | None, end: datetime | None) -> None:
    """Reject a range of time that contains nothing.

    :param names: the parameters of its start and its end.
    :raises MiraklConfigurationError: the end is not after the start.
    """
    if start is None or end is None or end > start:
        return
    reason = f"{names[1]}: {end.isoformat()} is not after {names[0]}, {start.isoformat()}"
    if end == start:
        reason += (
            ". On Airflow 3, a Dag with a cron schedule such as '@daily' has no data interval: data_interval_start is "
            "data_interval_end. Set schedule=CronDataIntervalTimetable('@daily', timezone='UTC')"
        )
    raise MiraklConfigurationError(reason, field=names[1])


def stretched(field: str, seconds: float, *, factor: float, shortest: float, what: str) -> float:
    """An interval, stretched by the connection's ``interval_factor``.

    :param field: name of the argument.
    :param seconds: the argument's value.
    :param factor: the connection's ``interval_factor``.
    :param shortest: seconds that Mirakl publishes as the shortest interval.
    :param what: description of the call, for the message.
    :raises MiraklConfigurationError: stretched, it is still shorter than the interval that Mirakl publishes. A factor
        below 1, of a connection to a local Mirakl, shortens the published interval too.
    """
    interval = seconds * factor
    if interval < shortest * min(1.0, factor):
        raise MiraklConfigurationError(
            f"{field} must be {shortest:g} s or more for {what}, not {seconds:g} s: Mirakl publishes that as the "
            "shortest interval",
            field=field,
        )
    return interval


def _path_text(value: object) -> str:
    if isinstance(value, str | PathLike):
        text = fspath(value)
    elif hasattr(value, "conn_id") and hasattr(
        value, "protocol"
    ):  # ObjectStoragePath, which is not PathLike everywhere
        text = str(value)
    else:
        raise TypeError
    if is_nothing(text) or not isinstance(text, str) or text.strip()[:1] in ("[", "{"):
        raise ValueError
    return text.strip()


def in_order(values: Collection[object]) -> list[object]:
    """A collection as a list, which is the same in every process. The order of a set of strings is not, and a request
    in another order would be another one: a retry would submit its job again."""
    return sorted(values, key=str) if isinstance(values, set | frozenset) else list(values)


def _elements(value: object) -> list[object]:
    """The elements of a list in any form."""
    if is_nothing(value):
        return []
    found = read_structure(value)
    if isinstance(found, str):
        text = found.strip()
        if text.startswith("[") != text.endswith("]"):
            raise ValueError  # a truncated list
        parts = text.strip("[]").split(",")
        return [part.strip().strip("'\"") for part in parts if part.strip()]
    if isinstance(found, Mapping | bytes) or not isinstance(found, Collection):
        return [found]
    return in_order(found)
