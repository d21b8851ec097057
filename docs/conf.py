"""How the site is built: `tox run -e docs`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference_pages  # noqa: E402

from flask_lgprivacy import __version__  # noqa: E402

project = "flask_lgprivacy"
author = "The flask_lgprivacy maintainers"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["reference/generated/*"]
html_theme = "furo"
html_title = "flask_lgprivacy"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_use_ivar = True
default_role = "code"
suppress_warnings = ["misc.highlighting_failure"]

reference_pages.write(HERE / "reference" / "generated")
