"""Tables of what was tried: the faults, the kills, the mutants, and the ledger of benchmarks with its picture."""

from __future__ import annotations

import json
import sys
from collections import Counter
from html import escape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results.json"
MUTANTS = ROOT / "benchmarks" / "mutants.json"
CHAOS = ROOT / "benchmarks" / "chaos.json"
FAULTS = ROOT / "benchmarks" / "faults.json"
OUTCOMES = ("failed", "stopped", "lost", "doubled", "repeated", "untrue", "hung")


def matrix() -> tuple[ModuleType, tuple[Any, ...]]:
    """The data of the faults, and the operations."""
    for folder in ("tests/airflow", "tests/airflow/live"):
        if str(ROOT / folder) not in sys.path:
            sys.path.insert(0, str(ROOT / folder))
    import fault_matrix

    return fault_matrix, fault_matrix.OPERATIONS


def faults_table() -> str:
    """How each operation ends with each fault, as Markdown."""
    data, operations = matrix()
    lines = [
        "| Fault | What happens | Which calls fail | How the task ends | Except |",
        "|---|---|---|---|---|",
    ]
    strikes = {
        "each": "each call once",
        "writing": "the writing call once",
        "always": "the main call, always",
    }
    for fault in data.FAULTS:
        others: dict[str, list[str]] = {}
        met = [name for name, _ in operations if data.met(name, fault)]
        for name in met:
            end = data.ends(name, fault.name)
            if end != fault.ends:
                others.setdefault(end, []).append(name)
        words = "; ".join(f"{_end(end)}: {', '.join(names)}" for end, names in others.items())
        every = {name for name, _ in operations} - data.PARTS.keys() <= set(met)
        only = "" if every else f" (only {', '.join(met)})"
        lines.append(
            f"| {fault.name} | {fault.meaning}{only} | {strikes[fault.strikes]} | {_end(fault.ends)} | {words} |"
        )
    return "\n".join(lines) + "\n"


def operations_table() -> str:
    """The operations of the table, where each runs, and the operators and sensors that have no row, as Markdown."""
    data, operations = matrix()
    lines = ["| Operation | Main call | Tested in | Faults |", "|---|---|---|---|"]
    for name, code in operations:
        part = data.PARTS.get(name)
        places = dict.fromkeys(place for fault in data.FAULTS for place in data.met(name, fault))
        faults = f"{', '.join(part.faults)}: {part.reason}" if part else "all that it can meet"
        lines.append(f"| {name} | {code} | {', '.join(places)} | {faults} |")
    lines += [f"| {name} | {code} | triggerer | all that a poll can meet |" for name, code in data.EVENTS]
    lines += ["", "| Not in the table | Why |", "|---|---|"]
    lines += [f"| `{name}` | {reason} |" for name, reason in data.LEFT_OUT.items()]
    return "\n".join(lines) + "\n"


def faults_record() -> str:
    """When all cells were run last, and how many passed, as Markdown."""
    if not FAULTS.exists():
        return "No run of every cell is recorded yet.\n"
    found: dict[str, Any] = json.loads(FAULTS.read_text("utf-8"))
    about, failed = found["machine"], found["failed"]
    versions = f"Airflow {about['apache-airflow']}, Python {about['python']}"
    ran = found["passed"] + len(failed)
    words = f"{ran:,} of {found['cells']:,} cells were run on {found['date']}; {versions}. {found['passed']:,} passed"
    return (
        f"{words}, **{len(failed):,} failed**: {'; '.join(failed)}.\n"
        if failed
        else f"{words}, none failed.\n"
    )


def _end(end: str) -> str:
    return f"`{end}`" if end.startswith(("Mirakl", "Airflow")) else end


def results() -> dict[str, Any]:
    """The ledger."""
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    return found


def target(row: dict[str, Any]) -> str:
    """The target of a figure, for people."""
    if row["at_least"] is not None:
        return f"{row['at_least']:g} or more"
    return f"{row['at_most']:g} or less" if row["at_most"] is not None else ""


def measured(row: dict[str, Any]) -> str:
    """The value of a figure, for people; or why there is none."""
    if row["value"] is None:
        return str(row["why"])
    return f"{row['value']:.3g} {row['unit']}"


def share(row: dict[str, Any]) -> float:
    """How much better than its target a figure is: 1 is the target, more is better."""
    if row["at_least"] is not None:
        return float(row["value"] / row["at_least"])
    if row["at_most"] == 0:
        return 0.0 if row["value"] else 1.0
    return float(row["at_most"] / max(row["value"], 1e-9))


def _machine(about: dict[str, Any]) -> str:
    """A machine and its versions, or what was different in another run."""
    units = {"system": "{}", "cores": "{} cores", "memory_gb": "{} GB"}
    words = [text.format(about[name]) for name, text in units.items() if name in about]
    versions = [
        f"{name.removeprefix('apache-airflow-providers-')} {value or 'not installed'}"
        for name, value in about.items()
        if name not in units
    ]
    return "; ".join(", ".join(part) for part in (words, versions) if part)


def ledger_table() -> str:
    """Every figure with its target, as Markdown."""
    found = results()
    others = [row for row in found["figures"] if row.get("run") != found.get("run")]
    lines = [f"The last run began at {found['run']}, on {_machine(found['machine'])}."]
    if others:
        lines.append(
            f"{len(others)} of {len(found['figures'])} figures are from other runs: their date is marked with *."
        )
    lines += ["", "| Figure | Measured | Target | Date | Load |", "|---|---|---|---|---|"]
    for row in found["figures"]:
        missed = "" if row["value"] is None or share(row) >= 1 else " **missed**"
        other = " *" if row in others else ""
        if "machine" in row:
            other += f" with {_machine(row['machine'])}"
        lines.append(
            f"| {row['name']} | {measured(row)}{missed} | {target(row)} | {row['date']}{other} | {row['load']:g} |"
        )
    return "\n".join(lines) + "\n"


BAR, LEFT, WIDTH, MOST = 26, 470, 380, 4.0


def picture() -> str:
    """A bar for each figure: how it compares with its target, on a scale that ends at four times."""
    rows = [row for row in results()["figures"] if target(row) and row["value"] is not None]
    height = BAR * len(rows) + 40
    unit = WIDTH / MOST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 190} {height}" role="img">',
        "<style>text { font: 13px sans-serif; fill: #888 }</style>",
        "<title>Each figure of the benchmarks beside its target</title>",
    ]
    for number, row in enumerate(rows):
        y, length = number * BAR + 8, min(share(row), MOST) * unit
        colour = "#2e7d32" if share(row) >= 1 else "#c62828"
        name = row["name"] if len(row["name"]) <= 66 else f"{row['name'][:64]}..."
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 8}" rx="3" fill="{colour}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 14}">{escape(measured(row))}</text>',
        ]
    foot = len(rows) * BAR + 26
    parts += [
        f'<line x1="{LEFT + unit}" x2="{LEFT + unit}" y1="4" y2="{foot - 14}" stroke="#888" stroke-dasharray="4"/>',
        f'<text x="{LEFT + unit}" y="{foot}" text-anchor="middle">target</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def mutants() -> dict[str, Any]:
    """What the mutants found."""
    found: dict[str, Any] = json.loads(MUTANTS.read_text("utf-8"))
    return found


def mutants_table() -> str:
    """The mutants of each room, and each one that no test notices, as Markdown."""
    found = mutants()
    rooms: dict[str, list[int]] = {}
    for module, counts in found["modules"].items():
        room = rooms.setdefault(module.partition("/")[0], [0, 0, 0])
        for at, name in enumerate(("mutants", "tried", "killed")):
            room[at] += counts[name]
    lines = ["| Room | Possible changes | Tried | Noticed | Not noticed |", "|---|---|---|---|---|"]
    lines += [
        f"| `{room}` | {every:,} | {tried:,} | {killed:,} | {tried - killed:,} |"
        for room, (every, tried, killed) in rooms.items()
    ]
    lines += ["", "| Not noticed | Change | Why it is harmless |", "|---|---|---|"]
    for row in found["survivors"]:
        change = row["change"].replace("|", "\\|")
        lines.append(
            f"| `{row['module']}:{row['line']}` | `` {change} `` | {row.get('harmless', '**a test is missing**')} |"
        )
    return "\n".join(lines) + "\n"


def chaos() -> dict[str, Any]:
    """The results of the chaos rounds."""
    found: dict[str, Any] = json.loads(CHAOS.read_text("utf-8"))
    return found


def chaos_table() -> str:
    """How the runs of each operation ended, and those of each victim, as Markdown."""
    found = chaos()
    versions = f"Airflow {found['machine']['apache-airflow']}, Python {found['machine']['python']}"
    leaks = f"**{len(found['leaks'])} leaked**" if found["leaks"] else "none leaked"
    lines = [
        f"{found['rounds']} rounds, the last on {found['date']}; {versions}. Keys and customers' data: {leaks}.",
        "",
    ]
    for heading in ("operation", "victim"):
        sums: dict[str, Counter[str]] = {}
        for row in found["counts"]:
            counted = {name: row.get(name, 0) for name in ("cases", *OUTCOMES)}
            for name in (" + ".join(sorted(row[heading].split(" + "))), "all"):
                sums.setdefault(name, Counter()).update(counted)
        sums["all"] = sums.pop("all")
        lines += [
            f"| {heading.capitalize()} | Runs | {' | '.join(map(str.capitalize, OUTCOMES))} |",
            "|---|" + "---:|" * (len(OUTCOMES) + 1),
            *(
                f"| {name.replace('_', ' ')} | {' | '.join(str(count[each]) for each in ('cases', *OUTCOMES))} |"
                for name, count in sums.items()
            ),
            "",
        ]
    return "\n".join(lines)


def write(app: Sphinx) -> None:
    """Write what the pages include, as Sphinx begins."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    made = {
        "faults.inc": faults_table(),
        "faults_run.inc": faults_record(),
        "fault_operations.inc": operations_table(),
        "ledger.inc": ledger_table(),
        "ledger.svg": picture(),
        "mutants.inc": mutants_table(),
        "chaos.inc": chaos_table(),
    }
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write, priority=400)
    return {"parallel_read_safe": True}
