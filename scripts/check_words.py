"""Fail on phrases that are not plain English, in the package, the docs and the example Dags.

Each pattern once was common here and has a better wording. Add a pattern only if it has no correct use.

Usage: ``python scripts/check_words.py``
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = ("airflow_provider_mirakl", "example_dags", "docs", "*.md")
WORDING = {
    r"says no\b": "rejects the call",
    r"operator's catalog\b(?! of)": "catalog means that of Mirakl Connect: the operator's attributes, master products",
    r"Mirakl(?!Connect)\w*Catalog(?!Manager)\w*(Operator|Sensor|Trigger)\b": "catalog means that of Mirakl Connect",
    r"(nobody|somebody|whoever)\b": "name who is meant, or use the passive",
    r"mend(s|ed|ing)?\b": "fix",
    r"former (try|run|plan)\b": "previous",
    r"for ever\b": "forever",
    r"calls? (is|was|are) spent\b": "before a call is made",
    r"anew\b": "start over, or restart",
    r"(what (became|comes|came) of|became of)\b": "the result of",
    r"JSON-able\b": "serializable as JSON",
    r"at the most\b": "at most",
    r"broken off\b": "interrupted",
    r"(?<!there )(is|are|was) no (proof|number|list|object|timeout|error|type|locale|field|text)\b": "is not a",
    r"in vain\b": "say what would not work",
    r"does no harm\b": "is harmless",
    r"without a word\b": "silently",
    r"one's own\b": "your own",
    r"the own (catalog|side|products)\b": "your",
    r"between two looks\b": "polls",
    r"has to reach\b": "must be able to access",
    r"(Connect|Mirakl) takes\b(?! a while)": "accepts",
    r"lets any number pass\b": "allows any number",
    r"cannot cure\b": "cannot fix",
    r"(e-mail|misspelt|licences?)\b": "email, misspelled, license",
    r"so many (ids|products|seconds|files)\b": "this many",
}  # fmt: skip
"""Pattern, without case, and what to write instead."""


def findings(path: Path) -> list[str]:
    """The lines of a file that contain a pattern."""
    name = path.relative_to(ROOT).as_posix()
    return [
        f"{name}:{number}: {match[0]!r}: {advice}"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for pattern, advice in WORDING.items()
        if (match := re.search(rf"\b{pattern}", line, re.IGNORECASE))
    ]


def main() -> None:
    """Check every file under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PLACES],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    files = [ROOT / name for name in listed.split("\0") if name.endswith((".py", ".md", ".toml"))]
    problems = [problem for path in files for problem in findings(path)]
    print(*problems, sep="\n")
    sys.exit(f"{len(problems)} phrases to rewrite" if problems else 0)


if __name__ == "__main__":
    main()
