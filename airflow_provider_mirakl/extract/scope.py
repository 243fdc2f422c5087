"""Which rows a watermark is about, and where the window of a task instance began."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.owner import is_another


class Scope(msgspec.Struct, frozen=True):
    """The rows that a watermark is about. It says nothing about any other row.

    :param filters: what narrows them, by name; in the form of a note.
    :param owner: whose rows they are, see :mod:`airflow_provider_mirakl.files.owner`.
    :param source: what lists or exports them, by name: the operation, and what else decides which rows it has, such as
        the role or further parameters. An earlier version did not note all of it; what is missing fits every source.
    """

    filters: dict[str, Any] = msgspec.field(default_factory=dict)
    owner: list[str] = msgspec.field(default_factory=list)
    source: dict[str, Any] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, filters: Mapping[str, Any], owner: Sequence[str], source: Mapping[str, Any]) -> Scope:
        """The scope of a task.

        :param filters: by name; those without a value are left out.
        :param owner: whose rows they are.
        :param source: what lists or exports them, by name.
        """
        set_ = {name: value for name, value in filters.items() if value not in (None, [], (), {})}
        return cls(_noted(set_), list(owner), _noted(source))

    def differs_from(self, before: Scope) -> str:
        """Describe what differs, such as ``statuses was [...] and is [...]``; empty if nothing does."""
        words = [
            f"{name} was {_shown(before.source, name)} and is {_shown(self.source, name)}"
            for name in self.source
            if name in before.source and before.source[name] != self.source[name]
        ]
        words += [
            f"{name} was {_shown(before.filters, name)} and is {_shown(self.filters, name)}"
            for name in sorted({*before.filters, *self.filters})
            if _unordered(before.filters.get(name)) != _unordered(self.filters.get(name))
            and not _only_narrows(name, before.filters.get(name), self.filters.get(name))
        ]
        if is_another(before.owner, self.owner):
            words.insert(0, "The connection leads to another account than before")
        return ", ".join(words)


def _noted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are read back from a note."""
    noted: dict[str, Any] = json.loads(json.dumps(values, sort_keys=True, default=str))
    return noted


def _shown(values: dict[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "not set"


def _unordered(value: object) -> object:
    """A value with its lists sorted, at any depth: their order means nothing in a filter."""
    if isinstance(value, dict):
        return {name: _unordered(each) for name, each in value.items()}
    return sorted(map(str, value)) if isinstance(value, list) else value


def _only_narrows(name: str, before: object, now: object) -> bool:
    """Whether a filter by creation begins later than before, as one does that moves along with the runs."""
    if name != "created_since" or not (isinstance(before, str) and isinstance(now, str)):
        return False
    with suppress(ValueError, TypeError):
        return datetime.fromisoformat(before) <= datetime.fromisoformat(now)
    return False


class Began(msgspec.Struct):
    """``window.json``: where the window of a task instance begins, however often it runs.

    Its target is replaced when it runs again, so it must contain everything again: also when the watermark has moved,
    by this instance or by later ones. Survives a clear.

    :param begins: start of the window; ``None`` for everything.
    :param watermark: path of the watermark from which it was taken.
    :param scope: the rows.
    :param before: digests of the rows that an earlier run had delivered within the overlap, by id.
    :param pending: the generation that has not delivered the window yet; empty once it is delivered. If the task is
        cleared before that, its window begins at the watermark, because a later run may have delivered these rows.
    """

    begins: datetime | None
    watermark: str
    scope: Scope
    before: dict[str, str] = msgspec.field(default_factory=dict)
    pending: str = ""

    def is_of(self, watermark: object, scope: Scope) -> bool:
        """Whether it is a window of the same rows, by the same watermark."""
        return self.watermark == str(watermark) and not scope.differs_from(self.scope)


BEGAN = NoteKind(
    file="window.json",
    holds="where the window of this task instance begins",
    type=Began,
    damaged="stop",
    fix="Remove it to begin at the watermark; the target then contains only what changed since.",
)
