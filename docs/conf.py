"""How the documentation site is built: ``make docs``. Needs no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Autodoc imports Airflow, which writes into its home on import.
sys.path.insert(0, str(HERE / "_ext"))

os.environ["AIRFLOW_HOME"] = str(HERE / "_build" / "airflow")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from airflow_provider_mirakl import __version__  # noqa: E402

project = "airflow-provider-mirakl"
author = "The airflow-provider-mirakl authors"
copyright = author
release = __version__
version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "generated_pages",
    "proof_pages",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

html_theme = "furo"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_logo = "integration-logos/mirakl.svg"
html_favicon = html_logo
html_title = f"{project} {release}"
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# The reference is made from the code: a new module needs no page written by hand.
apidoc_modules = [
    {
        "path": "../airflow_provider_mirakl",
        "destination": "reference/python",
        "exclude_patterns": ["../airflow_provider_mirakl/sandbox"],
        "separate_modules": True,
        "module_first": True,
        "max_depth": 2,
        "automodule_options": {"members", "show-inheritance"},
    }
]
# What a package re-exports is described where it is defined.
autodoc_default_options = {"ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
add_module_names = False
# Types under TYPE_CHECKING are named without their module, and two modules may have one of the same name. Sphinx then
# takes the first; a reference to nothing is reported otherwise.
suppress_warnings = ["ref.python"]

# Copying from a console block takes the commands only.
copybutton_exclude = ".linenos, .gp, .go"
