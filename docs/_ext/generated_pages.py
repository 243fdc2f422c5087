"""Pages made from the code: one for each operator and sensor, and one with every message that a person can meet."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
PACKAGE = ROOT / "airflow_provider_mirakl"
EXAMPLES = ROOT / "example_dags"
_FIELD = re.compile(r"^:(param|return|raises)\s*([\w, ]*):\s*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operator: what a Dag author can write."""

    name: str
    kind: str
    default: str
    templated: bool
    meaning: str


def operators() -> dict[str, list[type]]:
    """Every public operator and sensor, by module."""
    from airflow_provider_mirakl.get_provider_info import get_provider_info

    info = get_provider_info()
    modules = [
        name for kind in ("operators", "sensors") for entry in info[kind] for name in entry["python-modules"]
    ]
    found = {name: _of(importlib.import_module(name)) for name in modules}
    return {name: classes for name, classes in found.items() if classes}


def _of(module: ModuleType) -> list[type]:
    return [
        kind
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and kind.__module__ == module.__name__
        and name.startswith(("Mirakl", "Djust"))
        and name.endswith(("Operator", "Sensor"))
        and not inspect.isabstract(kind)
        and not (kind.__doc__ or "").startswith("Base of")
    ]


@cache
def _keywords() -> dict[str, set[str]]:
    """The keyword arguments that a ``TypedDict`` of the package names, by its own name."""
    found = {}
    for path in [
        *PACKAGE.glob("operators/**/*.py"),
        *PACKAGE.glob("sensors/*.py"),
        PACKAGE / "runtime/signatures.py",
    ]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for kind in vars(importlib.import_module(name)).values():
            if inspect.isclass(kind) and hasattr(kind, "__required_keys__"):
                found[kind.__name__] = set(kind.__annotations__)
    return found


def parameters(kind: type) -> list[Parameter]:
    """What a Dag author can set, own parameters first; Airflow's own ones, which every task has, are left out."""
    airflows = _keywords()["SensorTaskArguments"] | _keywords()["TaskArguments"]
    accepted: set[str] | None = None
    meanings: dict[str, str] = {}
    found: dict[str, inspect.Parameter] = {}
    for cls in kind.__mro__:
        if not cls.__module__.startswith("airflow_provider_mirakl"):
            continue
        for name, meaning in _fields(cls, "param"):
            meanings.setdefault(name, meaning)
        if "__init__" not in cls.__dict__:
            continue
        signature = inspect.signature(cls.__init__)
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY and (accepted is None or name in accepted):
                found.setdefault(name, parameter)
        more = next((p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
        if more is None:
            break
        if accepted is None:
            named = re.search(r"Unpack\[(\w+)\]", str(more.annotation))
            accepted = _keywords().get(named[1], set()) if named else set()
    templates = set(getattr(kind, "template_fields", ()))
    return [
        Parameter(
            name,
            "" if parameter.annotation is parameter.empty else str(parameter.annotation),
            "required" if parameter.default is parameter.empty else _shown(parameter.default),
            name in templates,
            meanings.get(name, ""),
        )
        for name, parameter in found.items()
        if name not in airflows or name == "poke_interval"
    ]


def _shown(value: object) -> str:
    return f"``{value!r}``"


def _fields(cls: type, field: str) -> Iterator[tuple[str, str]]:
    for kind, name, text in _FIELD.findall(inspect.cleandoc(cls.__doc__ or "")):
        if kind == field:
            yield name.strip(), " ".join(text.split())


def _body(kind: type) -> str:
    """The docstring without its fields."""
    return _FIELD.sub("", inspect.cleandoc(kind.__doc__ or "")).strip()


def first_sentence(text: str) -> str:
    """The first sentence of a docstring."""
    return re.split(r"(?<=\.)\s", " ".join(text.split("\n\n")[0].split()))[0]


def page(kind: type, module: str) -> str:
    """The page of an operator or sensor, as reST."""
    name = kind.__name__
    lines = [name, "=" * len(name), "", ".. code-block:: python", "", f"   from {module} import {name}", ""]
    lines += [_body(kind), ""]
    lines += [
        "Parameters",
        "----------",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 30 12 18 40",
        "",
    ]
    lines += ["   * - Parameter", "     - Template", "     - Default", "     - Meaning"]
    for one in parameters(kind):
        lines += [
            f"   * - ``{one.name}``" + (f" (``{one.kind}``)" if one.kind else ""),
            f"     - {'yes' if one.templated else 'no'}",
            f"     - {one.default}",
            f"     - {one.meaning}",
        ]
    lines += [
        "",
        "It also accepts every parameter of Airflow's own operators, such as ``retries`` and ``pool``. ",
    ]
    lines += [":doc:`/parameters` explains those that many operators share.", ""]
    lines += ["Result", "------", ""]
    returned = next((text for cls in kind.__mro__ for _, text in _fields(cls, "return")), "")
    lines += [returned or "Only the keys that :doc:`/parameters` lists under Results.", ""]
    lines += ["Errors", "------", ""]
    raised = {error: text for cls in reversed(kind.__mro__) for error, text in _fields(cls, "raises")}
    for error, text in raised.items():
        target = f":ref:`{error} <error-{error.lower()}>`" if error.startswith("Mirakl") else f"``{error}``"
        lines += [f"- {target}: {text}"]
    lines += [
        "" if raised else "Only errors about the connection and the arguments: see :doc:`messages`.",
        "",
    ]
    lines += _example(name) + _mentions(name)
    if known := facts_of(kind):
        lines += ["What is known about its operations", "----------------------------------", ""]
        lines += [*(f"- :ref:`{title} <{anchor}>`" for anchor, title in known.items()), ""]
    return "\n".join(lines)


def _example(name: str) -> list[str]:
    for path in sorted(EXAMPLES.glob("*.py")):
        if re.search(rf"\b{name}\(|\b{name}\.partial\(", path.read_text("utf-8")):
            return [
                "Example", "-------", "",
                f"``example_dags/{path.name}``, which comes with the package and runs in ``make airflow``:", "",
                f".. literalinclude:: ../../example_dags/{path.name}", "   :language: python", "",
            ]  # fmt: skip
    return []


def _mentions(name: str) -> list[str]:
    pages = [
        path.stem for path in sorted(DOCS.glob("*.md")) if re.search(rf"\b{name}\b", path.read_text("utf-8"))
    ]
    if not pages:
        return []
    return ["Read more", "---------", "", *(f"- :doc:`/{page}`" for page in pages), ""]


# Facts

_FACTS = re.compile(r"^\((facts-[\w-]+)\)=\n#+ (.+)$", re.MULTILINE)
_CODES = re.compile(r"([A-Z]+)(\d+)(?: to [A-Z]+(\d+))?")
# Sections about operations whose heading has no code that a docstring would name.
_WORDS = {"facts-djust": "DJUST", "facts-orders": r"v2-\w+|[cC]onversations?"}


@cache
def facts() -> dict[str, tuple[str, re.Pattern[str]]]:
    """The sections about operations: by anchor the title, and the words by which a docstring names the operation."""
    found = {}
    for anchor, title in _FACTS.findall((DOCS / "mirakl-facts.md").read_text("utf-8")):
        name = title.partition(":")[0]
        codes = [
            f"{letters}{number:0{len(first)}d}"
            for letters, first, last in _CODES.findall(name)
            for number in range(int(first), int(last or first) + 1)
        ]
        codes += [name] if re.fullmatch(r"[a-z]+[A-Z]\w+", name) else []
        if words := _WORDS.get(anchor) or "|".join(codes):
            found[anchor] = (title, re.compile(rf"\b({words})\b"))
    return found


def facts_of(kind: type) -> dict[str, str]:
    """The sections about the operations that an operator or sensor uses: anchor and title."""
    return {anchor: title for anchor, (title, words) in facts().items() if words.search(kind.__doc__ or "")}


def add_users(app: Sphinx, docname: str, source: list[str]) -> None:
    """Under each operation on the page of facts, the operators and sensors that use it."""
    if docname == "mirakl-facts":
        kinds = [kind for found in operators().values() for kind in found]

        def section(found: re.Match[str]) -> str:
            users = [kind.__name__ for kind in kinds if found[1] in facts_of(kind)]
            links = ", ".join(f"{{doc}}`{name} </reference/{name}>`" for name in users)
            return f"{found[0]}\n\nUsed by {links}." if users else found[0]

        source[0] = _FACTS.sub(section, source[0])


def overview(found: dict[str, list[type]]) -> str:
    """The list of operators and sensors."""
    title = "Operators and sensors"
    lines = [
        title,
        "=" * len(title),
        "",
        "Each page lists every parameter, the result, the errors and an example.",
        "",
    ]
    for module, classes in found.items():
        heading = f"``{module.removeprefix('airflow_provider_mirakl.')}``"
        lines += [heading, "-" * len(heading), ""]
        lines += [f"- :doc:`{kind.__name__}`: {first_sentence(_body(kind))}" for kind in classes]
        lines += [""]
    lines += [
        ".. toctree::",
        "   :hidden:",
        "",
        *(f"   {kind.__name__}" for kinds in found.values() for kind in kinds),
        "",
    ]
    return "\n".join(lines)


# Messages


def messages() -> dict[str, dict[str, set[str]]]:
    """Every text that the package raises: by class of error, by text, the modules that raise it."""
    found: dict[str, dict[str, set[str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] == "sandbox":
            continue
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for kind, text in _messages_of(node, module):
                if len(re.sub(r"<\w*>|\W", "", text)) > 7:  # more than what another function puts together
                    found.setdefault(kind, {}).setdefault(text, set()).add(module)
    return found


def _messages_of(node: ast.AST, module: str) -> Iterator[tuple[str, str]]:
    """The class of error and the text of each message that a piece of code makes."""
    from airflow_provider_mirakl import exceptions

    match node:
        # Faults of a mapping, which become problems of the input.
        case ast.Call(func=ast.Name(id="ValueError"), args=[text]) if module == "catalog.mapping":
            yield "MiraklInputError", _text_of(text)
        case ast.Call(func=ast.Name(id=name), args=[text, *_]):
            name = "MiraklInputError" if name in ("Problem", "unreadable") else name
            kind = getattr(exceptions, name, None)
            if inspect.isclass(kind) and issubclass(kind, exceptions.MiraklError):
                yield name, _text_of(text)
        case ast.Call(func=ast.Attribute(attr="wrong"), args=[field, text]) if module == "hooks.connections":
            yield "MiraklConfigurationError", f"{_text_of(field)}: {_text_of(text)}"
        # What is wrong with a value of a product: its path and the words.
        case ast.Yield(value=ast.Tuple(elts=[_, text])) if module == "catalog.product":
            yield "MiraklInputError", _text_of(text)
        case ast.FunctionDef(name="gtin_fault" | "not_utf8"):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield "MiraklInputError", _text_of(inner.value)


def _text_of(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text_of(part) for part in parts)
        case ast.FormattedValue(value=value):
            return f"<{_name(value)}>"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text_of(left) + _text_of(right)
        case ast.IfExp(body=body):
            return _text_of(body)
        case _:
            return f"<{_name(node)}>"


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_")
        case ast.Call(func=function, args=args):
            return _name(args[0]) if args else _name(function)
        case ast.Subscript(value=value):
            return _name(value)
        case ast.Constant(value=value):
            return str(value)
        case _:
            return "..."


@dataclass(frozen=True)
class Advice:
    """What helps with one message.

    :param cause: what usually leads to it.
    :param fix: what to do.
    """

    cause: str
    fix: str


def advice() -> dict[str, Advice]:
    """Cause and fix of single messages, by a part of the message."""
    found = tomllib.loads(Path(__file__).with_name("advice.toml").read_text("utf-8"))
    return {
        part: Advice(**{name: text.replace("`", "``") for name, text in values.items()})
        for part, values in found.items()
    }


def messages_page() -> str:
    """The page of messages, as reST."""
    from airflow_provider_mirakl import exceptions
    from airflow_provider_mirakl.runtime.advice import FIXES

    title = "Messages"
    lines = [
        title, "=" * len(title), "",
        "Every message that the package raises, by class of error, with the fix. Words in angle brackets stand for",
        "values. To find a message, paste it into the field. The most frequent messages also have their own cause and",
        "fix.", "",
    ]  # fmt: skip
    found, known = messages(), advice()
    kinds = [kind for kind in FIXES if kind.__name__ in vars(exceptions)]
    for kind in kinds:
        name = kind.__name__
        if (
            kind is exceptions.MiraklBadRequestError
        ):  # every error reply is of this class or of one of the next five
            lines += [".. _error-miraklapierror:", ""]
        lines += [f".. _error-{name.lower()}:", "", name, "-" * len(name), ""]
        lines += [f"**Cause.** {first_sentence(_body(kind))}", "", f"**Fix.** {FIXES[kind]}", ""]
        for text, modules in sorted(found.get(name, {}).items()):
            shown = text.replace("`", "'").replace("\n", " ").strip()
            lines += [f"- ``{shown}`` ({', '.join(sorted(modules))})", ""]
            for one in (one for part, one in known.items() if part in text):
                lines += [f"  | *Cause.* {one.cause}", f"  | *Fix.* {one.fix}", ""]
        lines += [""]
    return "\n".join(lines)


def mistakes_page() -> str:
    """Common mistakes as they stand in Airflow's log, as reST; ``make pictures`` takes the pictures."""
    title = "Common mistakes"
    lines = [
        title, "=" * len(title), "",
        "How common mistakes appear in the task log of Airflow 3.3. Each picture is a screenshot.", "",
    ]  # fmt: skip
    for path in sorted((DOCS / "images" / "mistakes").glob("*.png")):
        heading = path.stem.replace("_", " ").capitalize()
        said = " ".join(path.with_suffix(".txt").read_text("utf-8").split())
        lines += [
            heading,
            "-" * len(heading),
            "",
            f".. image:: /images/mistakes/{path.name}",
            f"   :alt: {said}",
            "",
        ]
    return "\n".join(lines)


def write(app: Sphinx) -> None:
    """Write the pages, as Sphinx begins."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    found = operators()
    pages = {kind.__name__: page(kind, module) for module, kinds in found.items() for kind in kinds}
    pages |= {"operators": overview(found), "messages": messages_page(), "mistakes": mistakes_page()}
    for path in folder.glob("*.rst"):
        if path.stem not in pages:  # of a class that is gone
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write, priority=400)
    app.connect("source-read", add_users)
    return {"parallel_read_safe": True}
