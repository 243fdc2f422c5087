"""Every reader of foreign data, and its samples: the rows of ``TARGETS``."""

from __future__ import annotations

import asyncio
import functools
import gzip
import importlib.util
import io
import json
import sys
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import msgspec
from hypothesis import strategies as st
from mutation import ODD, contents, documents, files, json_of, lines_of
from watching import SECRET, Target

from airflow_provider_mirakl.actions.book import PLAN_FILE, plan_hash, read_plan, write_plan
from airflow_provider_mirakl.actions.rows import read_file as read_action_rows
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.documents import ShopDocument
from airflow_provider_mirakl.api.steps import drive
from airflow_provider_mirakl.catalog.ledger import Ledger, resume
from airflow_provider_mirakl.catalog.mapping import Columns
from airflow_provider_mirakl.catalog.plan import Plan, plan_delete, plan_upsert, read_chunk
from airflow_provider_mirakl.catalog.rejects import rejected_items
from airflow_provider_mirakl.catalog.sync import SyncPlan, is_planned, plan_sync
from airflow_provider_mirakl.checks.imports import OF01
from airflow_provider_mirakl.checks.imports import ImportCheck as Check
from airflow_provider_mirakl.checks.lint import lint_table
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.client.steps import performer
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklError
from airflow_provider_mirakl.files.csv_table import open_table
from airflow_provider_mirakl.files.pages import Pages
from airflow_provider_mirakl.hooks.connections import ConnectionReader, read_connection, secrets_of
from airflow_provider_mirakl.jobs.reports import read_failures, read_items, read_warnings
from airflow_provider_mirakl.repair.pairs import read_file as read_pair_file
from airflow_provider_mirakl.repair.pairs import read_pairs
from airflow_provider_mirakl.runtime.arguments import arguments_of
from airflow_provider_mirakl.runtime.trip import read_event as read_trip
from airflow_provider_mirakl.shops.archive import ArchiveLimits
from airflow_provider_mirakl.shops.fetch import Fetcher
from airflow_provider_mirakl.triggers.moment import MomentTrigger
from airflow_provider_mirakl.triggers.paced import PacedTrigger, read_paced
from airflow_provider_mirakl.triggers.poll import PollTrigger, load_error, read_event
from airflow_provider_mirakl.watches import WATCHES, Cursor, begin_of, listed, news

TESTS = Path(__file__).parents[1]


@functools.cache
def _module(path: str) -> ModuleType:
    """A module of the tests, whose tables are used here too."""
    name = f"fuzzed_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, TESTS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# --- Sources ------------------------------------------------------------------------------------------------------

NAMES = ("a.csv", "a.tsv", "a.txt", "a.json", "a.ndjson", "a.jsonl", "a.xml", "a.csv.gz", "a.parquet", "a")


def _as_it_is(data: bytes) -> bytes:
    return data


@st.composite
def _sources(draw: st.DrawFn) -> tuple[str, bytes, dict[str, Any]]:
    pack = draw(st.sampled_from((_as_it_is, _as_it_is, _as_it_is, gzip.compress)))
    data = pack(draw(contents(files("sources"))))
    if pack is gzip.compress and draw(st.booleans()):
        data = draw(contents([data], most=1))
    options: dict[str, Any] = {"on_invalid": draw(st.sampled_from(("fail", "reject")))}
    if draw(st.booleans()):
        options["encoding"] = draw(
            st.sampled_from(("auto", "utf-8", "utf-16", "cp1252", "utf-7", "shift_jis", "idna"))
        )
    if draw(st.booleans()):
        options["items"] = draw(st.sampled_from((None, "products", "a.b", "")))
    if draw(st.booleans()):
        options["columns"] = draw(
            documents(json_of("columns")).filter(lambda each: isinstance(each, dict | None))
        )
    return draw(st.sampled_from(NAMES)), data, options


def _read_source(sample: tuple[str, bytes, dict[str, Any]], folder: Path) -> None:
    name, data, options = sample
    if isinstance(settings := options.get("columns"), dict):
        options = options | {"columns": Columns.from_settings(settings)}
    source = folder / name
    source.write_bytes(data)
    for plan in (plan_upsert, plan_delete):
        with suppress(MiraklError):
            _is_whole(plan(str(source), folder / plan.__name__, **options))
    with suppress(MiraklError):
        _is_whole(plan_sync(str(source), folder / "sync", folder / "state", **options).upsert)
    for read in (
        _lint,
        read_action_rows,
        read_pair_file,
        lambda path: list(read_failures(path)),
        read_warnings,
    ):
        with suppress(MiraklError):
            read(source)


def _is_whole(plan: Plan) -> None:
    """A plan's calls have the planned number of products, each a JSON object with an id."""
    rows = [row for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]
    assert len(rows) == plan.products
    assert all(isinstance(json.loads(row)["id"], str) for row in rows)


def _lint(path: Path) -> None:
    with open_table(path) as table:
        lint_table(table, Check(OF01))


# --- Replies ------------------------------------------------------------------------------------------------------


@functools.cache
def _calls() -> list[tuple[str, Callable[[], Any]]]:
    """Every call of the package."""
    table = _module("contract/client/test_calls.py").TABLE
    return [(name, functools.partial(make, role)) for roles, name, make in table for role in roles[:1]]


FIELDS = (
    "products", "next_page_token", "import_id", "import_status", "has_error_report", "tracking_id", "status", "urls",
    "data", "errors", "error", "error_description", "message", "code", "detail", "field", "shops", "total_count",
    "shop_documents", "id", "file_name", "type", "shop_id", "date_uploaded", "orders", "order_lines", "conversations",
    "messages", "returns", "documents", "access_token", "expires_in", "lines_read", "lines_in_error", "offers",
    "product_import_trackings", "synchronization", "export_urls", "attributes", "values_lists", "hierarchies",
)  # fmt: skip
HEADERS: dict[str, tuple[str, ...]] = {
    "content-type": (
        "application/json",
        "text/html",
        "text/csv; charset=utf-99",
        "application/problem+json",
        "",
        "x",
    ),
    "content-encoding": ("gzip", "deflate", "br", "identity", "gzip, gzip", "nonsense"),
    "retry-after": ("5", "-1", "1e400", "nan", "Wed, 21 Oct 2099 07:28:00 GMT", "Xxx, 99 Foo 0000", ""),
    "date": ("Wed, 21 Oct 2015 07:28:00 GMT", "yesterday", "Wed, 21 Oct 9999 99:99:99 GMT"),
    "location": ("/api/x", "https://other.example/x", "http://[", "//", "javascript:x", "https://xn--/"),
    "link": (
        '<https://mirakl.example/api/x?page_token=a>; rel="next"',
        "<x>; rel=next",
        '<>; rel="next',
        "\xff",
    ),
    "content-disposition": ('attachment; filename="a.csv"', "attachment; filename*=UTF-8''%ff", "x" * 300),
    "x-request-id": ("abc", SECRET),
    "content-range": ("bytes 0-1/2",),
}
STATUSES = (
    200,
    200,
    200,
    201,
    202,
    204,
    301,
    302,
    304,
    400,
    401,
    403,
    404,
    409,
    415,
    422,
    429,
    500,
    503,
    599,
)


def _echo(data: bytes) -> bytes:
    return data.replace(b"@KEY@", SECRET.encode())


@st.composite
def _replies(draw: st.DrawFn) -> tuple[int, list[tuple[int, dict[str, str], bytes]]]:
    bodies = st.one_of(
        documents(json_of("replies"), FIELDS).map(lambda value: json.dumps(value).encode()),
        contents(files("replies") + files("pages")),
    )
    replies = []
    for _ in range(draw(st.integers(1, 3))):
        headers = draw(st.dictionaries(st.sampled_from(sorted(HEADERS)), st.integers(0, 7), max_size=3))
        named = {name: HEADERS[name][at % len(HEADERS[name])] for name, at in headers.items()}
        pack = draw(st.sampled_from((_as_it_is, _as_it_is, gzip.compress)))
        if pack is gzip.compress:
            named["content-encoding"] = "gzip"
        replies.append((draw(st.sampled_from(STATUSES)), named, pack(_echo(draw(bodies)))))
    return draw(st.integers(0, len(_calls()) - 1)), replies


def _client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    """A client whose connection is a function; its clock passes only while it waits."""
    moment = [1_800_000_000.0]

    def sleep(seconds: float) -> None:
        assert seconds <= 120.0
        moment[0] += seconds

    client = Client(
        Settings(base_url="https://mirakl.example", auth=api_key(SECRET)),
        pacer=Pacer(),
        clock=lambda: moment[0],
        sleep=sleep,
    )
    client.close()
    client._http = httpx.Client(transport=httpx.MockTransport(answer))
    return client


def _read_reply(sample: tuple[int, list[tuple[int, dict[str, str], bytes]]], folder: Path) -> None:
    number, replies = sample
    turn = iter(replies * 20)

    def answer(request: httpx.Request) -> httpx.Response:
        status, headers, body = next(turn)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return httpx.Response(status, headers=raw, stream=httpx.ByteStream(body))

    with _client(answer) as client:
        call = _calls()[number][1]()
        found = client.send(call)
        if hasattr(found, "following"):
            for _, _ in zip(client.pages(call), range(3), strict=False):
                pass


# --- Archives -----------------------------------------------------------------------------------------------------

PATHS = (
    "2000/a.pdf", "2000/b.txt", "a.pdf", "../evil", "/etc/evil", "2000/../../evil", "C:\\evil", "2000\\evil", "2000/",
    "", ".", "2000/a.PDF", "2000/" + "n" * 300, "2000/\u202etxt.exe", "2000/nul", "2000//x",
)  # fmt: skip


@st.composite
def _archives(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed, suppress(UnicodeError):
        for _ in range(draw(st.integers(0, 4))):
            entry = zipfile.ZipInfo("x")
            entry.filename = draw(st.sampled_from(PATHS))
            entry.compress_type = draw(st.sampled_from((0, 8, 12, 14)))
            entry.external_attr = draw(st.sampled_from((0, 0o120777 << 16, 0o040755 << 16, 0o100644 << 16)))
            entry.create_system = draw(st.sampled_from((0, 3)))
            content = draw(st.sampled_from((b"", b"%PDF-1.7", b"\0" * 2_000_000)))
            with (
                suppress(Exception),
                warnings.catch_warnings(action="ignore"),
            ):  # zipfile refuses to write some
                packed.writestr(entry, content)
    data = draw(contents([out.getvalue()], most=draw(st.integers(0, 3))))
    names = draw(
        st.lists(st.sampled_from(("a.pdf", "b.txt", *PATHS)) | st.text(max_size=8), min_size=2, max_size=5)
    )
    return data, names


def _read_archive(sample: tuple[bytes, list[str]], folder: Path) -> None:
    data, names = sample
    listed = [ShopDocument(at, name, "KBIS", 2000, "2026-01-01T00:00:00Z") for at, name in enumerate(names)]
    limits = ArchiveLimits(max_files=50, max_file_bytes=1 << 20, max_total_bytes=4 << 20)
    with _client(lambda request: httpx.Response(200, stream=httpx.ByteStream(data))) as client:
        fetched = Fetcher(client, "operator", limits=limits, sleep=lambda seconds: None).fetch(
            listed, folder / "documents", shop_id=2000
        )
    assert len(fetched.results) == len(listed)
    assert all(file.parent == folder / "documents" / "2000" for file in folder.rglob("*") if file.is_file())


# --- Connections --------------------------------------------------------------------------------------------------


@dataclass
class _Connection:
    conn_id: str = "c"
    conn_type: str | None = "mirakl"
    host: str | None = "https://mirakl.example"
    port: int | None = None
    login: str | None = None
    password: str | None = SECRET
    schema: str | None = None
    extra: str | None = None


@st.composite
def _connections(draw: st.DrawFn) -> tuple[_Connection, str | None]:
    extra = draw(documents(json_of("connections")))
    texts = st.sampled_from(
        (None, "", "0", "x", "https://", "http://[", "a b", "xn--", "x:99999", "é", "/api", "\0")
    )
    found = _Connection(
        conn_type=draw(st.sampled_from(("mirakl", "mirakl_connect", "djust", "http", None))),
        host=draw(st.just("https://mirakl.example") | texts),
        port=draw(st.sampled_from((None, 0, 443, 8080, -1, 10**9))),
        login=draw(texts),
        schema=draw(texts),
        password=draw(
            st.sampled_from((SECRET, SECRET, f"Bearer {SECRET}", f"'{SECRET}'", f" {SECRET}\n", "", None))
        ),
        extra=draw(st.just(json.dumps(extra).replace("@KEY@", SECRET)) | texts),
    )
    return found, draw(st.sampled_from((None, "shop", "operator", "front", "x")))


def _read_fields(sample: tuple[_Connection, str | None], folder: Path) -> None:
    connection, role = sample
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = {}
    extra = extra if isinstance(extra, dict) else {}
    secrets_of(connection, extra)
    values = read_connection(ConnectionReader(connection, extra), role=role)
    values.settings.check()
    assert SECRET not in repr(values)


# --- Arguments ----------------------------------------------------------------------------------------------------


@functools.cache
def _arguments() -> list[Any]:
    """The arguments of every operator and sensor, one of a kind."""
    surface = _module("unit/operators/surface.py")
    found = {
        repr(
            (
                type(each),
                sorted((name, repr(value)) for name, value in vars(each).items() if name != "argument"),
            )
        ): each
        for kind in surface.public().values()
        for each in arguments_of(kind).values()
    }
    return [found[name] for name in sorted(found)]


def _read_argument(sample: Any, folder: Path) -> None:
    for argument in _arguments():
        with suppress(MiraklConfigurationError):
            if not argument.waits(sample):
                argument.read(sample)
    if isinstance(sample, str | list):
        with suppress(MiraklError):
            read_pairs(sample)


# --- Events and stored triggers -----------------------------------------------------------------------------------


def _read_events(sample: Any, folder: Path) -> None:
    for read in (read_event, read_paced):
        with suppress(MiraklError):
            read(sample)
    if isinstance(sample, dict):
        assert isinstance(load_error(sample), MiraklError)


_TIMES = ("first", "deadline", "earliest", "interval")


def _run_stored(sample: Any, folder: Path) -> None:
    """Run a trigger with the arguments of a row of Airflow's table, and read what it tells."""
    kind, arguments = (PacedTrigger, read_paced) if "opener" in sample else (PollTrigger, read_event), sample
    made, read = kind
    for name in _TIMES:  # else it would wait, as it should
        if isinstance(arguments.get(name), int | float):
            arguments = arguments | {name: 0.0}
    try:
        trigger = made(**arguments)
    except TypeError:
        assert not set(made(**_SOUND[made]).serialize()[1]) <= set(arguments), "a whole row could not be read"
        return
    trigger.serialize()

    async def fire() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    events = asyncio.run(fire())
    assert len(events) == 1
    read(json.loads(json.dumps(events[0], default=str)))


_SOUND: dict[Any, dict[str, Any]] = {
    PacedTrigger: {},
    PollTrigger: {
        "poll": "", "arguments": {}, "hook": "", "conn_id": "", "first": 0, "interval": 0, "deadline": 0,
    },
}  # fmt: skip


def _run_moment(sample: Any, folder: Path) -> None:
    """As :func:`_run_stored`, of the trigger that only waits."""
    arguments = sample
    if isinstance(arguments.get("moment"), int | float):
        arguments = arguments | {"moment": 0.0}
    try:
        trigger = MomentTrigger(**arguments)
    except TypeError:
        assert not {"moment", "state"} <= set(arguments), "a whole row could not be read"
        return
    trigger.serialize()

    async def fire() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(fire())
    with suppress(MiraklError):
        read_trip(json.loads(json.dumps(event, default=str)))


# --- Watches ------------------------------------------------------------------------------------------------------


@st.composite
def _watched(draw: st.DrawFn) -> tuple[str, Any, list[Any]]:
    cursor = draw(documents([{"since": "2026-01-01T00:00:00+00:00", "told": "0" * 32}]))
    replies = documents(json_of("replies"), FIELDS)
    return draw(st.sampled_from(sorted(WATCHES))), cursor, draw(st.lists(replies, min_size=1, max_size=3))


def _poll_watch(sample: tuple[str, Any, list[Any]], folder: Path) -> None:
    """One poll of an event trigger: from a stored position, of replies that are almost right."""
    name, stored, replies = sample
    watch, turn = WATCHES[name], iter(replies * 20)
    cursor = Cursor.load(stored) or Cursor(datetime(2026, 1, 1, tzinfo=UTC))
    options: dict[str, Any] = {"statuses": ["SHIPPED"]} if name == "orders" else {}

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.dumps(next(turn, {})).encode()
        return httpx.Response(
            200, headers={"content-type": "application/json"}, stream=httpx.ByteStream(body)
        )

    with _client(answer) as client:
        steps = listed(watch, Caller("shop", 2000), begin_of(watch, cursor), options)
        found = drive(steps, performer(client))
    told = news(watch, found, options, cursor, datetime(2026, 2, 1, tzinfo=UTC))
    json.dumps(told.found)
    assert Cursor.load(told.cursor.dump()) == told.cursor


# --- Notes and plans ----------------------------------------------------------------------------------------------


@functools.cache
def _notes() -> list[tuple[Any, bytes]]:
    """Every kind of note with a sample of it."""
    tests = _module("unit/test_notes.py")
    return [
        (
            kind,
            msgspec.json.encode(
                {
                    "format": kind.version,
                    "generation": "one",
                    "revision": 1,
                    "saved_at": "x",
                    "content": tests.SAMPLES[file],
                }
            ),
        )
        for file, kind in sorted(tests.kinds().items())
        if file in tests.SAMPLES
    ]


@st.composite
def _note_files(draw: st.DrawFn) -> tuple[int, bytes]:
    number = draw(st.integers(0, len(_notes()) - 1))
    whole = _notes()[number][1]
    if draw(st.booleans()):
        return number, draw(contents([whole]))
    return number, json.dumps(draw(documents([json.loads(whole)]))).encode()


def _read_note(sample: tuple[int, bytes], folder: Path) -> None:
    number, data = sample
    kind = _notes()[number][0]
    note = kind.at(folder, generation="one", name=kind.file.replace("*", "x"))
    Path(str(note.path)).write_bytes(data)
    found = note.read()
    assert found is None or isinstance(found, kind.type)


@functools.cache
def planned() -> dict[str, bytes]:
    """The files of a plan and of a sync, some of whose calls are made."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        products = [{"id": f"p{number}"} for number in range(6)]
        ledger = Ledger.open(plan_upsert(products, folder / "plan", batch_size=2), generation="g")
        ledger.record(0, now)
        state = folder / "state"
        for count in (6, 4):
            sync = plan_sync(
                [*products[:count], {"id": f"new{count}"}],
                folder / "sync",
                state,
                batch_size=2,
                max_delete_ratio=1,
            )
            for opened in sync.ledgers(generation="g"):
                for index in range(len(opened.plan.chunks)):
                    sync.intend(opened.plan, index)
                    sync.commit(opened.plan, index)
                    opened.record(index, now)
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }


@st.composite
def _plans(draw: st.DrawFn) -> tuple[str, bytes | None]:
    name = draw(st.sampled_from(sorted(planned())))
    data = planned()[name]
    if draw(st.integers(0, 9)) == 0:
        return name, None
    if name.endswith(".json") and draw(st.booleans()):
        return name, json.dumps(draw(documents([json.loads(data)]))).encode()
    return name, draw(contents([data], most=2))


def _resume_plan(sample: tuple[str, bytes | None], folder: Path) -> None:
    changed, damaged = sample
    for name, data in planned().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    if damaged is None:
        (folder / changed).unlink()
    else:
        (folder / changed).write_bytes(damaged)
    with suppress(MiraklError):
        ledger = resume(folder / "plan", generation="g")
        while ledger is not None and (chunk := ledger.chunk) is not None:
            assert len(read_chunk(ledger.plan.folder, chunk)) == chunk.products
            ledger.record(ledger.next_chunk, datetime.now(UTC))
    with suppress(MiraklError):
        if is_planned(folder / "sync", generation="g"):
            SyncPlan.load(folder / "sync", folder / "state").ledgers(generation="g")
    plan_sync([{"id": "p1"}], folder / "again", folder / "state", max_delete_ratio=1)


def _read_report(sample: tuple[str, bytes, dict[str, Any]], folder: Path) -> None:
    path = folder / "report.json"
    path.write_bytes(sample[1])
    list(read_items(path))


@st.composite
def _damaged(draw: st.DrawFn) -> tuple[int, bytes]:
    """Which of three files is damaged, and what stands in it then."""
    return draw(st.integers(0, 2)), draw(contents(list(_KEPT)))


_KEPT = (b'{"id":"o-1"}\n{"id":"o-2"}\n', b'{"id":"o-3"}\n', b"")


def _read_pages(sample: tuple[int, bytes], folder: Path) -> None:
    """A page is what was kept, or refused."""
    number, data = sample
    pages = Pages(folder / "pages")
    checksums = [pages.keep(at, rows) for at, rows in enumerate(_KEPT)]
    pages.path(number).write_bytes(data)
    for at, checksum in enumerate(checksums):
        with suppress(MiraklError):
            assert pages.read(at, checksum) == _KEPT[at]
    pages.forget()
    assert not list((folder / "pages").iterdir())


_GROUPS = [[{"order_id": "o-1", "quantity": 2}, {"order_id": "o-1", "quantity": None}], [{"order_id": "ö"}]]


@st.composite
def _action_plans(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return b"".join(json.dumps(draw(documents([group]))).encode() + b"\n" for group in _GROUPS)
    return draw(contents([b"".join(json.dumps(group).encode() + b"\n" for group in _GROUPS)]))


def _read_actions(sample: bytes, folder: Path) -> None:
    """The rows of the actions are those that were planned, or none."""
    write_plan(folder, _GROUPS)
    assert read_plan(folder, plan_hash(_GROUPS)) == _GROUPS
    (folder / PLAN_FILE).write_bytes(sample)
    assert read_plan(folder, plan_hash(_GROUPS)) in (None, _GROUPS)


@functools.cache
def _rejects() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fuzz-") as place, suppress(MiraklError):
        rows: list[dict[str, Any]] = [{"id": "A", "brand": 5}, {"id": 7}, {"title": "x"}, {"id": "B"}]
        plan_upsert(rows, Path(place), on_invalid="reject")
        return (Path(place) / "rejects.ndjson").read_bytes()
    raise AssertionError("nothing was rejected")


def _read_rejected(sample: bytes, folder: Path) -> None:
    path = folder / "rejected.ndjson"
    path.write_bytes(sample)
    items = list(rejected_items(path, 3))
    assert len(items) >= 3, "one whose reason is lost has failed, too"
    assert {item.status for item in items} == {"failed"}


TARGETS = (
    Target("sources", _sources(), _read_source),
    Target("replies", _replies(), _read_reply),
    Target("archives", _archives(), _read_archive),
    Target("connections", _connections(), _read_fields),
    Target(
        "arguments",
        ODD
        | documents(lines_of("texts"))
        | contents(files("texts")).map(lambda data: data.decode("utf-8", "replace")),
        _read_argument,
        prepare=_arguments,
    ),
    Target("events", documents(json_of("events")), _read_events),
    Target(
        "triggers",
        documents(json_of("triggers")).filter(
            lambda row: isinstance(row, dict) and all(isinstance(name, str) for name in row)
        ),
        _run_stored,
    ),
    Target(
        "moments",
        documents([{"moment": 0.0, "state": {"pace": {}, "journey": {}}}]).filter(
            lambda row: isinstance(row, dict) and all(isinstance(name, str) for name in row)
        ),
        _run_moment,
    ),
    Target("watches", _watched(), _poll_watch),
    Target("notes", _note_files(), _read_note),
    Target("pages", _damaged(), _read_pages),
    Target("actions", _action_plans(), _read_actions),
    Target("rejected", st.deferred(lambda: contents([_rejects()])), _read_rejected, prepare=_rejects),
    Target("plans", _plans(), _resume_plan),
)
