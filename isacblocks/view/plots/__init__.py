"""The pictures of the live view, one a module.

Each has a function that makes its figures, anew for every page, and a class that says what is in them, once for all pages.
The browser brings the two together by the names of figures and of data sources.
"""
