"""The sandbox's web page: its content, calls, limits and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.sandbox.machine.faults import KINDS
from airflow_provider_mirakl.sandbox.machine.wire import dumps, loads
from airflow_provider_mirakl.sandbox.systems.connect import Change
from airflow_provider_mirakl.sandbox.systems.jobs import Job

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.world import World

_STYLE, _SCRIPT = (Path(__file__).with_name(name).read_text("utf-8") for name in ("page.css", "page.js"))
#: The time line shows this many simulated seconds before and after now; now is at four fifths.
PAST, FUTURE = 480.0, 120.0

#: Faults at a click: words, and the rule.
CLICKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Answer the next call with 429", {"kind": "throttle"}),
    ("Answer the next call with 503", {"kind": "status", "status": 503}),
    ("Delay the next call by a minute", {"kind": "delay", "seconds": 60}),
    ("Reset the next connection before the call", {"kind": "reset_before"}),
    ("Process the next call, then reset its connection", {"kind": "reset_after"}),
    ("Truncate the next JSON reply", {"kind": "broken_json"}),
    ("Lose the next write", {"kind": "lost", "method": "POST"}),
    ("Make the next product import fail", {"kind": "fail_job", "operation": "P41"}),
    ("Make the next offer import fail", {"kind": "fail_job", "operation": "OF01"}),
    ("Revoke the next token", {"kind": "revoke_token"}),
)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _cell(title: str, value: Any) -> str:
    label = f' data-label="{escape(title)}"'
    if isinstance(value, Markup):
        return f"<td{label}>{value}</td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="num"{label}>{value:,}</td>'
    return f"<td{label}>{escape('' if value is None else str(value))}</td>"


def _table(name: str, head: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> str:
    body = "".join(f"<tr>{''.join(map(_cell, head, row))}</tr>" for row in rows)
    if not body:
        return f'<p class="soft">{escape(empty)}</p>'
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}, table">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _section(part: str, title: str, content: str) -> str:
    heading = f'<h2 id="h-{part}">{escape(title)}</h2>'
    return f'<section id="{part}" data-part="{part}" aria-labelledby="h-{part}">{heading}{content}</section>'


def _code(text: str) -> Markup:
    return Markup(f"<code>{escape(text)}</code>")


def _kind(status: int) -> str:
    return "wait" if status == 429 else "ok" if 0 < status < 400 else "no"


def _status(status: int) -> Markup:
    return Markup(f'<span class="{_kind(status)}">{status or "reset"}</span>')


def _figures(world: World) -> str:
    calls = sum(world.journal.totals.values())
    errors = sum(count for (_, status), count in world.journal.totals.items() if status >= 400 or status == 0)
    figures = (
        ("products in Connect", sum(len(shelf.products) for shelf in world.connect.shelves.values())),
        ("accepted, not applied yet", world.connect.pending()),
        ("calls", calls),
        ("refused or failed", errors),
        ("limits running", len(world.limits.table())),
        ("faults ordered", len(world.faults.rules)),
    )
    items = "".join(f"<li><b>{count:,}</b>{escape(name)}</li>" for name, count in figures)
    return f'<ul class="figures" data-part="figures">{items}</ul>'


def _ago(world: World, moment: float) -> str:
    seconds = max(0.0, world.clock.now() - moment)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _lane(name: str, calls: list[dict[str, Any]], limit: dict[str, Any] | None, now: float) -> str:
    """One operation: a mark per call, a hatched bar while its interval runs, and the same in words."""

    def place(moment: float) -> float:
        return min(100.0, max(0.0, (moment - now + PAST) / (PAST + FUTURE) * 100))

    marks = "".join(
        f'<i class="{_kind(call["status"])}" style="left:{place(call["moment"]):.2f}%"></i>' for call in calls
    )
    bar = ""
    words = f"{len(calls)} call{'' if len(calls) == 1 else 's'}"
    early = sum(call["status"] == 429 for call in calls)
    if early:
        words += f', <span class="wait">{early} x 429</span>'
    if limit is not None:
        start, end = place(limit["since"]), place(limit["since"] + limit["interval"])
        bar = f'<b style="left:{start:.2f}%;width:{end - start:.2f}%"></b>'
        words += f', <span class="soft">free in {limit["free_in"]:.1f} s</span>'
    track = f'<span class="track" aria-hidden="true">{bar}{marks}<u></u></span>'
    return f"<li><span><b>{escape(name)}</b></span>{track}<span>{words}</span></li>"


def _now(world: World) -> str:
    """The time line of the last minutes."""
    now = world.clock.now()
    lanes: dict[str, list[dict[str, Any]]] = {}
    for call in world.journal.entries(last=2000):
        if call["moment"] > now - PAST:
            lanes.setdefault(call["operation"] or "unknown", []).append(call)
    limits: dict[str, dict[str, Any]] = {}
    for row in world.limits.table():
        if row["operation"] not in limits or row["free_in"] > limits[row["operation"]]["free_in"]:
            limits[row["operation"]] = row
    rows = "".join(_lane(name, calls, limits.get(name), now) for name, calls in sorted(lanes.items()))
    if not rows:
        return _section(
            "now", "Now", '<p class="soft">No call in the last eight minutes of Mirakl\'s time.</p>'
        )
    legend = (
        '<p class="legend"><span>eight minutes of Mirakl\'s time, then two to come</span>'
        '<span class="ok">▮ answered</span><span class="wait">▮ 429, too early</span><span class="no">▮ failed</span>'
        '<span class="wait">▨ the interval that is running</span></p>'
    )
    return _section("now", "Now", f'<ol class="lanes">{rows}</ol>{legend}')


def _card(world: World, key: str, body: bytes | None, change: Change) -> str:
    product = loads(body) if body else {}
    titles = product.get("titles") or [{}]
    facts = [product.get("brand", "")]
    facts += [
        f"{p['price']['amount']} {p['price']['currency']}" for p in product.get("standard_prices") or []
    ][:1]
    if product.get("quantities"):
        facts.append(f"stock {sum(quantity['available_quantity'] for quantity in product['quantities'])}")
    what = ", ".join(change.fields[:6]) + (", …" if len(change.fields) > 6 else "")
    words = f"{change.result} {_ago(world, change.moment)}" + (f": {what}" if what else "")
    fresh = world.clock.now() - change.moment < max(60.0, 3 * world.clock.speed)
    kinds = " ".join(filter(None, ("fresh" if fresh else "", "" if body else "gone")))
    return (
        f'<li class="{kinds}"><h3>{escape(str(titles[0].get("value") or key))}</h3>{_code(key)}'
        f'<div class="facts">{"".join(f"<span>{escape(str(fact))}</span>" for fact in facts if fact)}</div>'
        f'<p class="change soft">{escape(words)}</p></li>'
    )


def _products(world: World, wanted: str) -> str:
    cards = []
    for shelf in world.connect.shelves.values():
        changes = {wanted: shelf.changes.get(wanted, Change("there", 0.0))} if wanted else shelf.changes
        for key, change in reversed(changes.items()):
            body = shelf.products.get(key)
            if body is not None or not wanted:
                cards.append(_card(world, key, body, change))
    form = (
        '<form method="get" role="search"><label>Product id'
        f'<input name="id" value="{escape(wanted)}"></label><button>Find</button></form>'
    )
    empty = f"No product has the id {wanted}." if wanted else "No products yet."
    content = f'<ul class="cards">{"".join(cards)}</ul>' if cards else f'<p class="soft">{escape(empty)}</p>'
    title = "Connect products" if wanted else "Connect products, latest changes first"
    # Only the list is refreshed, so that the form keeps its input and the focus.
    return (
        f'<section id="products" aria-labelledby="h-products"><h2 id="h-products">{escape(title)}</h2>{form}'
        f'<div data-part="products">{content}</div></section>'
    )


def _call_row(call: dict[str, Any]) -> Sequence[Any]:
    path = call["path"] + (f"?{call['query']}" if call["query"] else "")
    notes = [f"retry after {call['retry_after']} s"] if "retry_after" in call else []
    notes += [f"fault: {kind}" for kind in call.get("faults", ())]
    notes += [call["reason"]] if "reason" in call else []
    return (
        call["number"],
        call["time"][11:23],
        call["operation"] or "unknown",
        call["method"],
        _code(path),
        _status(call["status"]),
        call["role"],
        call["items"],
        "; ".join(notes),
    )


_CALL_HEAD = ("No.", "Time (UTC)", "Operation", "Method", "Path", "Status", "Role", "Items", "Notes")


def _calls(world: World) -> str:
    calls = world.journal.entries(last=50)
    recent = _table("Latest calls", _CALL_HEAD, map(_call_row, reversed(calls)), "No calls yet.")
    failed = [
        call for call in world.journal.entries(last=2000) if call["status"] >= 400 or call["status"] == 0
    ][-30:]
    errors = _table("Latest errors", _CALL_HEAD, map(_call_row, reversed(failed)), "No errors.")
    return _section("calls", "Latest calls", recent) + _section("errors", "Latest errors", errors)


def _limits(world: World) -> str:
    rows = [
        (row["operation"], row["account"], _code(row["resource"]), f"{row['free_in']:.1f} s")
        for row in sorted(world.limits.table(), key=lambda row: row["free_in"])[:50]
    ]
    head = ("Operation", "Account", "Resource", "Free in")
    return _section("limits", "Limits", _table("Limits", head, rows, "Every operation may be called now."))


def _call_button(words: str, call: str, body: dict[str, Any] | None = None, key: str = "") -> str:
    data = f' data-body="{escape(dumps(body).decode())}"' if body else ""
    name = f' id="{escape(key)}"' if key else ""
    return f'<button type="button"{name} data-call="{call}"{data}>{escape(words)}</button>'


def _faults(world: World) -> str:
    """The active rules, each with a button that removes it."""
    rules = []
    for rule in world.faults.table():
        where = rule["operation"] or rule["path"] or rule["method"] or "every call"
        times = "times, no limit" if rule["times"] is None else f"of {rule['times']} times"
        words = f"<b>{escape(rule['kind'])}</b> {escape(where)}: used {rule['struck']} {times}"
        if rule["probability"] < 1:
            words += f", probability {rule['probability']:.0%}"
        button = _call_button(
            "Remove", f"DELETE faults?number={rule['number']}", key=f"rule-{rule['number']}"
        )
        rules.append(f"<li><span>{words}</span>{button}</li>")
    listed = f'<ul class="rules">{"".join(rules)}</ul>' if rules else '<p class="soft">No active faults.</p>'
    return f'<div data-part="rules">{listed}</div>'


def _controls(world: World) -> str:
    """Controls of faults and time. Only the list of rules is refreshed, so that forms keep their input."""
    clicks = "".join(_call_button(words, "POST faults", rule) for words, rule in CLICKS)
    kinds = "".join(
        f'<option value="{kind}" title="{escape(words)}">{kind}</option>' for kind, words in KINDS.items()
    )
    form = (
        f'<form id="fault-form"><label>Kind<select name="kind">{kinds}</select></label>'
        '<label>Operation (empty: every)<input name="operation" placeholder="P4*" size="12"></label>'
        '<label>Times (0: no limit)<input name="times" type="number" min="0" value="1" size="4"></label>'
        '<button class="main">Add</button></form>'
    )
    clock = "".join(
        _call_button(words, "POST clock", {"advance": seconds})
        for words, seconds in (("A minute passes", 60), ("An hour passes", 3600), ("A day passes", 86400))
    )
    more = _call_button("Reset the limits", "DELETE limits") + _call_button("Revoke tokens", "DELETE tokens")
    return (
        '<section id="faults" aria-labelledby="h-faults"><h2 id="h-faults">Faults and time</h2>'
        f'<div class="buttons">{clicks}</div>{form}{_faults(world)}'
        f'<div class="buttons">{clock}{more}</div><p role="status" id="told" class="soft"></p></section>'
    )


def _ledger(world: World) -> str:
    totals = world.ledger.totals()
    line = ", ".join(f"{count:,} {name}" for name, count in totals.items() if name != "calls")
    rows = [
        (
            row["call"],
            row["operation"],
            row["account"],
            row["received"],
            ", ".join(f"{count:,} {name}" for name, count in row["results"].items()),
        )
        for row in reversed(world.ledger.summaries(30))
    ]
    head = ("Call", "Operation", "Account", "Received", "Results of the items")
    content = f'<p class="soft">{escape(line)}</p>' + _table("Ledger", head, rows, "Nothing was written yet.")
    return _section("ledger", "Ledger of writes", content)


def _stages(job: Job) -> str:
    failed = job.finished is not None and not job.status.startswith("COMPLETE")
    stages = list(job.stages) or [job.status]
    if job.status not in stages:  # it ended early
        stages.append(job.status)
    here = stages.index(job.status)
    chips = []
    for place, name in enumerate(stages):
        kind = "done" if place < here or (job.finished is not None and not failed and place == here) else ""
        if place == here and not kind:
            kind = "failed" if failed else "now"
        current = ' aria-current="step"' if place == here else ""
        chips.append(f'<li class="{kind}"{current}>{escape(name)}</li>')
    return f'<ol class="stages">{"".join(chips)}</ol>'


def _jobs(world: World) -> str:
    cards = []
    now = world.clock.now()
    for job in sorted(world.jobs.all.values(), key=lambda job: job.changed, reverse=True)[:24]:
        shop = f" of shop {job.shop}" if job.shop else ""
        files = ", ".join(name.replace("_", " ") for name in job.files if name != "upload")
        words = f"changed {_ago(world, job.changed)}" + (f"; files: {files}" if files else "")
        bar = ""
        if job.finished is None:
            label = f"{job.kind} {job.id}"
            bar = f'<progress aria-label="{escape(label)}" max="1" value="{job.part(now):.2f}"></progress>'
        reason = f'<p class="no">{escape(job.reason)}</p>' if job.reason else ""
        cards.append(
            f"<li><h3>{escape(job.kind)}{escape(shop)}</h3>{_code(job.id)}{_stages(job)}{bar}{reason}"
            f'<p class="change soft">{escape(words)}</p></li>'
        )
    content = f'<ul class="cards">{"".join(cards)}</ul>' if cards else '<p class="soft">No job yet.</p>'
    return _section("jobs", "Imports, synchronizations and exports", content)


def _master(world: World) -> str:
    products = world.instance.catalog.products.values()
    states = Counter(
        (product["synchronization"], "stuck" if product["stuck"] else "") for product in products
    )
    rows = [(status, stuck, count) for (status, stuck), count in sorted(states.items())]
    head = ("Synchronization", "Note", "Products")
    title = "Master products of the Catalog Manager"
    return _section("master", title, _table(title, head, rows, "No master products."))


def _documents(world: World) -> str:
    newest = sorted(world.instance.documents.all.values(), key=lambda document: -document["id"])[:24]
    cards = [
        f'<li class="{"gone" if document["deleted"] is not None else ""}"><h3>{escape(document["type"])}</h3>'
        f'{_code(document["name"])}<div class="facts"><span>shop {document["shop"]}</span>'
        f"<span>{len(document['body']):,} bytes</span><span>id {document['id']}</span></div>"
        f'<p class="change soft">{"deleted" if document["deleted"] is not None else "uploaded"} '
        f"{_ago(world, document['deleted'] if document['deleted'] is not None else document['uploaded'])}</p></li>"
        for document in newest
    ]
    content = f'<ul class="cards">{"".join(cards)}</ul>' if cards else '<p class="soft">No documents yet.</p>'
    return _section("documents", "Shop documents", content)


def _orders(world: World) -> str:
    """Orders and returns of every company, the latest change first. Without customers' names."""
    now = world.clock.now()
    cards = []
    for book in world.orders.books.values():
        for kind, table in (("order", book.orders), ("return", book.returns)):
            for key in table.keys()[-24:]:
                row, moment = table.row(key), float(key.partition(" ")[0])
                lines = row["order_lines"] if kind == "order" else row["return_lines"]
                facts = [f"{len(lines)} line{'' if len(lines) == 1 else 's'}"]
                if kind == "order":
                    total = sum(line["price"]["amount"] for line in lines)
                    facts.append(f"{total:,.2f} {lines[0]['price']['currency']}")
                else:
                    facts.append(f"of order {row['order_id']}")
                name = f"{kind} {row['id']}"
                fresh = "fresh" if now - moment < max(60.0, 3 * world.clock.speed) else ""
                card = (
                    f'<li class="{fresh}"><h3>{escape(str(row["status"]))}</h3>{_code(name)}'
                    f'<div class="facts">{"".join(f"<span>{escape(fact)}</span>" for fact in facts)}</div>'
                    f'<p class="change soft">changed {_ago(world, moment)}</p></li>'
                )
                cards.append((moment, card))
    cards.sort(key=lambda card: -card[0])
    listed = "".join(card for _, card in cards[:24])
    content = f'<ul class="cards">{listed}</ul>' if cards else '<p class="soft">No orders yet.</p>'
    return _section("orders", "Connect orders and returns, latest changes first", content)


def _parts(world: World, wanted: str) -> tuple[str, str]:
    """The page before and after the controls."""
    first = _figures(world) + _now(world) + _products(world, wanted) + _orders(world)
    first += _jobs(world) + _documents(world)
    second = f'{_calls(world)}<div class="pair">{_limits(world)}{_master(world)}</div>{_ledger(world)}'
    return first, second


def fragment(world: World, wanted: str = "") -> str:
    """The parts of the page that change."""
    first, second = _parts(world, wanted)
    return first + _faults(world) + second


def page(world: World, url: str, wanted: str = "") -> str:
    """The whole page.

    :param url: root of the server as the reader sees it.
    :param wanted: a product id to show.
    """
    clock = world.clock
    pace = "time moves by hand" if clock.stepped else f"{clock.speed:g} times as fast as the real one"
    if not clock.stepped and clock.speed != 1:
        pace += ", and so are the times on this page"
    addresses = "".join(
        f"<span>{escape(name)} <code>{escape(url + path)}</code></span>"
        for name, path in (
            ("Connect", "/connect"),
            ("instance", "/mirakl"),
            ("tokens", "/auth/oauth/token"),
            ("DJUST", "/djust"),
        )
    )
    places = (
        ("#now", "Now"),
        ("#products", "Products"),
        ("#orders", "Orders"),
        ("#jobs", "Jobs"),
        ("#documents", "Documents"),
        ("#faults", "Faults and time"),
        ("#calls", "Calls"),
        ("#ledger", "Ledger"),
        ("/_sandbox/status", "status as JSON"),
        ("/_sandbox/journal", "journal as JSON"),
    )
    links = "".join(f'<li><a href="{address}">{name}</a></li>' for address, name in places)
    first, second = _parts(world, wanted)
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Mirakl sandbox</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body>'
        '<a class="skip" href="#live">Skip to content</a>'
        f'<header><div class="top"><h1>Mirakl sandbox</h1><span>{escape(pace)}</span>'
        '<span role="status" id="state">live</span><button type="button" id="theme">Dark</button></div>'
        f'<div class="addresses">{addresses}</div>'
        f'<nav aria-label="On this page"><ul>{links}</ul></nav></header>'
        f'<main id="live" tabindex="-1">{first}{_controls(world)}{second}</main>'
        f"<script>{_SCRIPT}</script></body></html>"
    )
