"""Sphinx settings: the pages are Markdown, the API comes from the docstrings. Builds offline."""

import dataclasses
import re

import prac
from prac.config import Settings, flag_of

project = "prac"
author = "The prac-lth authors"
copyright = "2026, The prac-lth authors"
version = release = prac.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.programoutput",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
# `this` in a docstring is code.
default_role = "code"
# The folder of results may be empty.
suppress_warnings = ["toc.empty_glob"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Notebooks are shown with the outputs that are stored in them: `make notebooks` runs them.
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Longer signatures break into a line a parameter.
maximum_signature_line_length = 80
# Defaults as the code writes them: `ignore`, not `<function ignore at 0x...>`.
autodoc_preserve_defaults = True
# Set here and not on each page, so that what is public looks alike on all of them.
autodoc_default_options = {"members": True, "special-members": "__len__, __getitem__"}
# Attributes listed in a class's docstring would come a second time from its fields.
napoleon_use_ivar = True
napoleon_numpy_docstring = False

# Only commands are copied, not what they print.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"prac {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]


def add_settings(app, what, name, obj, options, lines):
    """Append the help of each setting, which lies on its field, to its class's docstring."""
    if what == "class" and isinstance(obj, type) and issubclass(obj, Settings):
        for field in dataclasses.fields(obj):
            if "help" in field.metadata:
                lines += [f":param {field.name}: {field.metadata['help']}"]
                if flag_of(field) != field.name:
                    lines[-1] += f" (``{flag_of(field)}`` on the command line and in YAML)"
                lines[-1] += "."


def readable_defaults(app, what, name, obj, options, signature, returns):
    """Write a dataclass's defaults as names, and those made anew each time as `...`."""
    plain = re.sub(r"<function (\w+)[^>]*>", r"\1", signature or "").replace("<factory>", "...")
    return plain.replace("~", "") or None, returns


def setup(app):
    """Connect the above."""
    app.connect("autodoc-process-signature", readable_defaults)
    app.connect("autodoc-process-docstring", add_settings)
