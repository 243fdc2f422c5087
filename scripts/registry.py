"""Write ``.airflow-registry.yaml``: what Airflow's provider registry shows of this package.

The descriptions are the first sentences of the classes. A test says when the file is old.

Usage: ``python scripts/registry.py``
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow_provider_mirakl.get_provider_info import get_provider_info

FILE = Path(__file__).resolve().parent.parent / ".airflow-registry.yaml"
HEAD = """\
# Metadata for the registry of Airflow's providers. Written by scripts/registry.py.
# With a public repository come its address (source-url), that of the documentation (docs-url) and a logo.

package-name: {package}
display-name: {name}
description: {description}
"""
SUFFIX = {"operators": "Operator", "sensors": "Sensor", "hooks": "Hook", "triggers": "Trigger"}


def entries(info: dict[str, Any], section: str) -> list[tuple[str, str]]:
    """Path and first sentence of every public class of a section."""
    found = []
    for group in info[section]:
        for module in group["python-modules"]:
            for name, kind in sorted(vars(import_module(module)).items()):
                if (
                    inspect.isclass(kind)
                    and kind.__module__ == module
                    and re.fullmatch(rf"(Mirakl|Djust)\w+{SUFFIX[section]}|(Mirakl|Djust)Hook", name)
                    and name.endswith(SUFFIX[section])
                ):
                    text = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
                    found.append((f"{module}.{name}", re.sub(r":\w+:`~?[\w.]*?(\w+)`|``", r"\1", text)))
    return found


def registry() -> str:
    """The whole file."""
    info = get_provider_info()
    text = HEAD.format(package=info["package-name"], name=info["name"], description=info["description"])
    text = text.replace(info["description"], f'"{info["description"]}"')
    for section in ("operators", "sensors", "hooks", "triggers"):
        text += f"\n{section}:\n"
        for path, words in entries(info, section):
            text += f'  - module: {path}\n    description: "{words.replace(chr(34), chr(39))}"\n'
    return text


if __name__ == "__main__":
    FILE.write_text(registry(), encoding="utf-8")
    sys.stdout.write(f"wrote {FILE.name}\n")
