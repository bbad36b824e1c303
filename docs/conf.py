"""How the documentation is made into a site: sh tools/docs. See docs/decisions/0027-the-site.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_site"))

from isacblocks._version import __version__

project = "isacblocks"
copyright = "the authors of isacblocks"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "command_help"]
exclude_patterns = ["_site"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_show_sourcelink = False
html_copy_source = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
nitpicky = False  # annotations name types of numpy and zmq, whose documentation is elsewhere
