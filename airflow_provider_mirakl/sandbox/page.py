"""The page for people: what is in the sandbox, what was called, what is limited, what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.sandbox.machine.wire import loads

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.world import World

_STYLE = """
:root { color-scheme: light dark; --ink: #16202c; --soft: #51606f; --line: #d9e0e7; --paper: #f4f6f8; --card: #fff;
  --accent: #0b5cad; --good: #18794e; --bad: #b3261e; --warn: #8a5300; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #a5b2bf; --line: #303a45; --paper: #12171d;
  --card: #1a2129; --accent: #7ab8ff; --good: #6fd3a0; --bad: #ff8a80; --warn: #f2bf6b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 1rem 1.25rem; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
p { margin: .25rem 0; } .soft { color: var(--soft); } a { color: var(--accent); }
a:focus-visible, input:focus-visible, button:focus-visible, .scroll:focus-visible { outline: 3px solid var(--accent);
  outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: .5rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 0 0 1rem;
  padding: 0; list-style: none; }
.cards li, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.cards li { padding: .6rem .9rem; } .cards b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
section { padding: .9rem 1rem; margin: 0 0 1rem; } .pair { display: grid; gap: 0 1rem; grid-template-columns:
  repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.scroll { overflow-x: auto; max-height: 24rem; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { position: sticky; top: 0; background: var(--card); font-weight: 600; color: var(--soft); white-space: nowrap; }
td.num { text-align: right; } code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.ok { color: var(--good); } .no { color: var(--bad); font-weight: 600; } .wait { color: var(--warn); font-weight: 600; }
form { display: flex; gap: .5rem; flex-wrap: wrap; margin: 0 0 .6rem; } input, button { font: inherit; padding: .3rem
  .6rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--card); color: inherit; }
button { background: var(--accent); color: var(--card); border-color: var(--accent); cursor: pointer; }
"""

_SCRIPT = """
const state = document.getElementById("state"), live = document.getElementById("live");
async function refresh() {
  try {
    const answer = await fetch("/_sandbox/page" + location.search);
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const old = live.querySelector(`[data-part="${part.dataset.part}"]`);
      if (!old) live.append(part);
      else if (old.innerHTML !== part.innerHTML && !old.contains(document.activeElement)) {
        const box = old.querySelector(".scroll"), top = box ? box.scrollTop : 0;
        old.innerHTML = part.innerHTML;
        const now = old.querySelector(".scroll"); if (now) now.scrollTop = top;
      }
    }
    if (state.textContent !== "live") state.textContent = "live";
  } catch (error) { state.textContent = "the sandbox does not answer"; }
  setTimeout(refresh, document.hidden ? 5000 : 1000);
}
setTimeout(refresh, 1000);
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _cell(value: Any) -> str:
    if isinstance(value, Markup):
        return f"<td>{value}</td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="num">{value:,}</td>'
    return f"<td>{escape('' if value is None else str(value))}</td>"


def _table(name: str, head: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> str:
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    if not body:
        return f'<p class="soft">{escape(empty)}</p>'
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _section(part: str, title: str, content: str) -> str:
    heading = f'<h2 id="h-{part}">{escape(title)}</h2>'
    return f'<section data-part="{part}" aria-labelledby="h-{part}">{heading}{content}</section>'


def _code(text: str) -> Markup:
    return Markup(f"<code>{escape(text)}</code>")


def _status(status: int) -> Markup:
    if status == 0:
        return Markup('<span class="no">reset</span>')
    kind = "ok" if status < 400 else "wait" if status == 429 else "no"
    return Markup(f'<span class="{kind}">{status}</span>')


def _cards(world: World) -> str:
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
    return f'<ul class="cards" data-part="cards">{items}</ul>'


def _product_row(account: str, body: bytes) -> Sequence[Any]:
    product = loads(body)
    titles = product.get("titles") or [{}]
    prices = product.get("standard_prices") or []
    price = f"{prices[0]['price']['amount']} {prices[0]['price']['currency']}" if prices else ""
    stock = sum(quantity["available_quantity"] for quantity in product.get("quantities") or [])
    return (_code(product["id"]), titles[0].get("value", ""), product.get("brand", ""), price, stock, account)


def _products(world: World, wanted: str) -> str:
    rows = []
    for account, shelf in world.connect.shelves.items():
        keys = [wanted] if wanted else list(reversed(shelf.recent))
        rows += [_product_row(account, shelf.products[key]) for key in keys if key in shelf.products]
    form = (
        '<form method="get" role="search"><label for="id">Product id</label>'
        f'<input id="id" name="id" value="{escape(wanted)}"><button>Find</button></form>'
    )
    empty = f"No product has the id {wanted}." if wanted else "No products yet."
    head = ("Id", "Title", "Brand", "Price", "Stock", "Account")
    title = "Connect products" if wanted else "Connect products, latest changes first"
    return _section("products", title, form + _table(title, head, rows, empty))


def _call_row(call: dict[str, Any]) -> Sequence[Any]:
    path = call["path"] + (f"?{call['query']}" if call["query"] else "")
    notes = [f"retry after {call['retry_after']} s"] if "retry_after" in call else []
    notes += [f"fault: {kind}" for kind in call.get("faults", ())]
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
    recent = _table("Latest calls", _CALL_HEAD, map(_call_row, reversed(calls)), "Nobody has called yet.")
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


def _faults(world: World) -> str:
    rows = [
        (
            rule["kind"],
            rule["operation"] or rule["path"] or "every call",
            f"{rule['struck']} of {'any' if rule['times'] is None else rule['times']}",
            f"{rule['probability']:.0%}",
        )
        for rule in world.faults.table()
    ]
    head = ("Fault", "Strikes", "Struck", "Chance")
    return _section(
        "faults", "Faults", _table("Faults", head, rows, "None ordered: everything works as it should.")
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
    head = ("Call", "Operation", "Account", "Received", "What became of the items")
    content = f'<p class="soft">{escape(line)}</p>' + _table("Ledger", head, rows, "Nothing was written yet.")
    return _section("ledger", "Ledger of writes", content)


def _instance(world: World) -> str:
    parts = []
    for part, title, head, rows, empty in world.instance.overview():
        parts.append(_section(part, title, _table(title, head, rows, empty)))
    return "".join(parts)


def fragment(world: World, wanted: str = "") -> str:
    """The parts of the page that change."""
    return (
        _cards(world)
        + _products(world, wanted)
        + _calls(world)
        + f'<div class="pair">{_limits(world)}{_faults(world)}</div>'
        + _ledger(world)
        + _instance(world)
    )


def page(world: World, url: str, wanted: str = "") -> str:
    """The whole page.

    :param url: root of the server as the reader sees it.
    :param wanted: a product id to show.
    """
    clock = world.clock
    pace = "time moves by hand" if clock.stepped else f"speed {clock.speed:g}"
    addresses = " · ".join(
        f"{escape(name)} <code>{escape(url + path)}</code>"
        for name, path in (
            ("Connect", "/connect"),
            ("instance", "/mirakl"),
            ("tokens", "/auth/oauth/token"),
            ("DJUST", "/djust"),
        )
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Mirakl sandbox</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body>'
        '<a class="skip" href="#live">Skip to content</a>'
        f'<header><h1>Mirakl sandbox</h1><span>{escape(pace)}</span><span role="status" id="state">live</span>'
        f'<p class="soft">{addresses}</p><p class="soft">Control: <a href="/_sandbox/status">status</a>, '
        '<a href="/_sandbox/journal">journal</a>, <a href="/_sandbox/ledger">ledger</a>, '
        '<a href="/_sandbox/faults">faults</a>, <a href="/_sandbox/products?limit=100">products</a></p></header>'
        f'<main id="live">{fragment(world, wanted)}</main><script>{_SCRIPT}</script></body></html>'
    )
