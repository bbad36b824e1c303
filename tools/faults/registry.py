"""All cases, by the modules that hold them."""

from __future__ import annotations

import importlib

from faults.case import Case

MODULES: tuple[str, ...] = (
    "decoders",
    "frontends",
    "graphs",
    "kills",
    "numerics",
    "pauses",
    "saves",
    "soak",
    "stops",
    "strangers",
)  # of this package, each with CASES


def cases() -> dict[str, Case]:
    """By name, in the order of the table."""
    found: dict[str, Case] = {}
    for module in MODULES:
        for case in importlib.import_module(f"faults.{module}").CASES:
            if case.name in found:
                raise ValueError(f"two cases are called {case.name}")
            found[case.name] = case
    return found
