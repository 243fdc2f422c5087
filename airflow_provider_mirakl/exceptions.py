"""Every error this package raises, with what went wrong as data.

The tree contains no Airflow class, so the client and the catalog engine can be used outside Airflow.

::

    MiraklError
     +-- MiraklConfigurationError        a connection or an argument cannot work as it is set
     +-- MiraklInputError                bad input, rejected before a call was made
     |    +-- MiraklMissingFileError         a file that a task reads does not exist
     |    +-- MiraklNoteError                a file in which a task keeps its progress is damaged, or of another task
     +-- MiraklStorageError              a file that a task needs cannot be written or read
     +-- MiraklNotYetError               a call was not made: the caller would have to wait too long
     +-- MiraklTransportError            no reply: the request was not sent, or may have been
     +-- MiraklReplyError                a reply that cannot be read
     +-- MiraklApiError                  an error reply
     |    +-- MiraklBadRequestError          400, 405, 406, 415, 422 and every other status below 500
     |    +-- MiraklAuthenticationError      401, and a token server that does not know the client
     |    +-- MiraklPermissionError          403
     |    +-- MiraklNotFoundError            404, 410
     |    +-- MiraklRateLimitError           429
     |    +-- MiraklServerError              5xx
     +-- MiraklItemsFailedError          more items failed than the caller allows
     +-- MiraklJobFailedError            a job ended without doing its work
     +-- MiraklJobTimeoutError           a job did not end in time
     +-- MiraklUnclearSubmissionError    it is not known whether Mirakl accepted a submission
     +-- MiraklTriggerEventError         a trigger returned an event that cannot be read
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

TOKEN = "token"  # noqa: S105 - a name
"""The operation of the errors of a token server, in place of Mirakl's code."""


class MiraklError(Exception):
    """Root of every error of this package.

    :param message: what happened and what to change.
    """

    final = False
    """Whether a retry cannot find out more: the task then fails at once, also without ``fail_fast``."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def surely_not_done(self) -> bool:
        """Whether this is the end of a call that Mirakl certainly did not carry out."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the data when the error crosses a process border."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[MiraklError], args: tuple[Any, ...], data: dict[str, Any]) -> MiraklError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(data)
    return error


class MiraklConfigurationError(MiraklError):
    """A connection or an argument cannot work as it is set.

    :param message: what is wrong and what to use instead.
    :param field: the connection field or argument at fault, as the form or the signature spells it.
    :param conn_id: the connection, if one of its fields is at fault.
    """

    def __init__(self, message: str, *, field: str | None = None, conn_id: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.conn_id = conn_id


def words_of(choices: Sequence[str]) -> str:
    """The choices, for a message: ``'fail' or 'reject'``."""
    *others, last = [repr(choice) for choice in choices]
    return f"{', '.join(others)} or {last}" if others else last


def counted(number: int, noun: str) -> str:
    """A number of things, for a message: ``1 problem``, ``2,500 rows``.

    :param number: how many.
    :param noun: the word for one of them, whose plural ends in ``s``.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seconds(number: float) -> str:
    """A time in seconds, for a message, without digits caused by rounding: ``1 s``, ``0.125 s``."""
    return f"{number:,.0f} s" if number >= 100 else f"{number:.3g} s"


def duration(total: float) -> str:
    """A length of time, for a message: ``45 s``, ``63 min``, ``16 h 40 min``.

    :param total: in seconds.
    """
    if total < 60:
        return seconds(total)
    minutes = round(total / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def one_of(field: str, value: str, choices: Sequence[str]) -> str:
    """A value that must be one of several.

    :param field: the argument.
    :param value: the word.
    :param choices: the allowed values.
    :return: the word.
    :raises MiraklConfigurationError: it is another one.
    """
    if value not in choices:
        raise MiraklConfigurationError(
            f"{field} must be {words_of(choices)}, not {value!r:.200}", field=field
        )
    return value


def on_one_line(text: str) -> str:
    """A text from outside, for a message: a line break or an escape sequence in it could forge a line of the log.

    :param text: a name, a value or a reason that a file or a reply contains.
    :return: the text, with characters that cannot be printed as Python writes them: ``\\n``, ``\\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


class Problem(NamedTuple):
    """One problem in the input.

    :param message: what is wrong and what is expected.
    :param field: where in the item, as a path such as ``gtins[0].value``; empty for the item as a whole.
    :param line: line of the source file, from 1; ``None`` if the input has no lines.
    :param item_id: the item's own id, if it could be read.
    """

    message: str
    field: str = ""
    line: int | None = None
    item_id: str | None = None

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line is not None else []
        if self.item_id is not None:
            where.append(f"id {self.item_id!r}")
        if self.field:
            where.append(on_one_line(self.field))
        message = on_one_line(self.message)
        return ": ".join([", ".join(where), message] if where else [message])


class MiraklInputError(MiraklError):
    """Bad input, rejected before a call was made.

    The message shows the first problems, grouping those with the same reason. :attr:`problems` contains the problems
    that were kept; :attr:`problem_count` is the number found.

    :param message: one line about the input as a whole.
    :param problems: the problems found, at most as many as the caller kept.
    :param problem_count: how many were found; default the number of ``problems``.
    """

    SHOWN = 20

    def __init__(
        self, message: str, problems: Sequence[Problem] = (), *, problem_count: int | None = None
    ) -> None:
        self.problems = tuple(problems)
        self.problem_count = len(self.problems) if problem_count is None else problem_count
        reasons: dict[tuple[str, str], list[Problem]] = {}
        for problem in self.problems:
            reasons.setdefault((problem.field, problem.message), []).append(problem)
        groups = list(reasons.values())[: self.SHOWN]
        if self.problem_count == 1 and self.problems and self.problems[0].message in message:
            groups = []  # the message has it
        shown = [
            f"  - {first}" + (f" (and {len(others):,} more with this reason)" if others else "")
            for first, *others in groups
        ]
        hidden = self.problem_count - sum(map(len, groups))
        if groups and hidden > 0:
            shown.append(f"  ... and {hidden:,} more")
        super().__init__("\n".join([message, *shown]))


class MiraklMissingFileError(MiraklInputError):
    """A file that a task reads does not exist: the path is wrong, or this machine cannot access it.

    :param path: the file.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class MiraklNoteError(MiraklInputError):
    """A note in which a task keeps its progress is damaged, of another version, or of another task; continuing could
    repeat or lose something.

    :param path: where the note is.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class MiraklStorageError(MiraklError):
    """A file that a task needs cannot be written or read: the disk is full, read-only, or gone.

    :param path: the file.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class MiraklNotYetError(MiraklError):
    """A call was not made, because the caller would have to wait too long for its turn.

    Nothing was sent: waiting until :attr:`retry_at` and calling again is safe for every operation.

    :param operation: Mirakl's code of the operation.
    :param retry_at: the time from which the call is permitted, UTC.
    """

    def __init__(self, message: str, *, operation: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.operation = operation
        self.retry_at = retry_at

    @property
    def surely_not_done(self) -> bool:
        """Always."""
        return True


NoReply = Literal["certificate", "no_https", "proxy", "unknown_host", "refused", "timeout"]
"""Why no reply came."""


class MiraklTransportError(MiraklError):
    """No reply came.

    :param operation: Mirakl's code of the operation.
    :param surely_not_sent: true when the request cannot have reached Mirakl (the connection was never made),
        false when it may have arrived.
    :param reason: why no reply came, if it is a known one.
    """

    def __init__(
        self, message: str, *, operation: str, surely_not_sent: bool, reason: NoReply | None = None
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.surely_not_sent = surely_not_sent
        self.reason = reason

    @property
    def surely_not_done(self) -> bool:
        """If the request cannot have reached Mirakl."""
        return self.surely_not_sent


class MiraklReplyError(MiraklError):
    """A reply came that cannot be read: broken JSON, a missing field, a page that repeats; or a redirect.

    :param operation: Mirakl's code of the operation.
    :param status: HTTP status of the reply.
    """

    def __init__(self, message: str, *, operation: str, status: int | None = None) -> None:
        super().__init__(message)
        self.operation = operation
        self.status = status

    @property
    def surely_not_done(self) -> bool:
        """After a redirect, and if it was the token that could not be read: the call itself was not made."""
        return self.operation == TOKEN or (self.status is not None and 300 <= self.status < 400)


class ApiFault(NamedTuple):
    """One entry of the list of faults in an error reply.

    :param message: Mirakl's text.
    :param code: Mirakl's code, if any; stable.
    :param field: the field at fault: a name, or a JSONPath in Connect.
    """

    message: str
    code: str | None = None
    field: str | None = None


class MiraklApiError(MiraklError):
    """An error reply.

    :param message: one line, built by the client from the reply.
    :param operation: Mirakl's code of the operation.
    :param status: HTTP status.
    :param code: Mirakl's own code of the error, ``None`` if the reply has none.
    :param field: the first field at fault, ``None`` if the reply names none.
    :param faults: every fault the reply lists.
    :param retry_after: seconds until Mirakl accepts a next call, ``None`` if the reply does not say.
    :param retry_at: the time from which calling again makes sense, UTC. Set for every 429, otherwise only if
        the reply says it.
    :param request_id: Mirakl's id of the request, for its support.
    :param is_page: whether the reply was HTML or other text instead of JSON: then a proxy or a web server may have sent
        it, and not the API.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str,
        status: int,
        code: str | None = None,
        field: str | None = None,
        faults: Sequence[ApiFault] = (),
        retry_after: float | None = None,
        retry_at: datetime | None = None,
        request_id: str | None = None,
        is_page: bool = False,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.status = status
        self.code = code
        self.field = field
        self.faults = tuple(faults)
        self.retry_after = retry_after
        self.retry_at = retry_at
        self.request_id = request_id
        self.is_page = is_page

    @property
    def surely_not_done(self) -> bool:
        """After a refusal: any status below 500 except 408, and every error of a token server."""
        return self.operation == TOKEN or (self.status < 500 and self.status != 408)


class MiraklBadRequestError(MiraklApiError):
    """400, 405, 406, 415 or 422: the request itself is wrong; sending it again cannot help."""


class MiraklAuthenticationError(MiraklApiError):
    """401: no key, a wrong key, or a token that could not be renewed. Also a token server's ``invalid_client``."""


class MiraklPermissionError(MiraklApiError):
    """403: the key is valid, but may not do this."""


class MiraklNotFoundError(MiraklApiError):
    """404 or 410: this key has no such resource, or the address does not exist."""


class MiraklRateLimitError(MiraklApiError):
    """429: too many calls; this one was not carried out.

    :attr:`retry_after` is the time to wait, if Mirakl sends it. :attr:`retry_at` is always set: when Mirakl
    does not say, it is one published interval away, or one minute where none is published.
    """

    retry_at: datetime


class MiraklServerError(MiraklApiError):
    """5xx: Mirakl failed. The request may or may not have been carried out."""


class MiraklItemsFailedError(MiraklError):
    """More items failed than the caller allows.

    :param outcome: the outcome, as a summary that is serializable as JSON.
    """

    may_pass = False
    """Whether a retry tries the failed items again, as a download does, and may succeed."""

    def __init__(self, message: str, *, outcome: dict[str, Any]) -> None:
        super().__init__(message)
        self.outcome = outcome


class MiraklJobFailedError(MiraklError):
    """A job ended without doing its work: ``FAILED``, ``CANCELLED``, ``TRANSFORMATION_FAILED``.

    :param job_id: Mirakl's id of the job.
    :param state: Mirakl's final state.
    """

    def __init__(self, message: str, *, job_id: str, state: str) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.state = state


class MiraklJobTimeoutError(MiraklError):
    """A job did not end within the time the caller waits. The job continues in Mirakl.

    :param job_ids: Mirakl's ids of the jobs waited for.
    """

    def __init__(self, message: str, *, job_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.job_ids = tuple(job_ids)


class MiraklUnclearSubmissionError(MiraklError):
    """It is not known whether Mirakl accepted a submission, and sending it again could do harm.

    :param operation: Mirakl's code of the operation.
    :param candidates: ids of jobs that may be the one.
    :param final: whether a retry cannot find out more: the task then fails at once, also without ``fail_fast``.
    """

    def __init__(
        self, message: str, *, operation: str, candidates: Sequence[str] = (), final: bool = False
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.candidates = tuple(candidates)
        self.final = final


class MiraklTriggerEventError(MiraklError):
    """A trigger returned an event that cannot be read."""
