"""A real headless Chromium for tests, with nothing of its own to say to the world."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
SIZE = 700, 600  # of the window: what is out of sight is not drawn, which is most of the work
_TALL = 5000  # all figures are in sight
_FLAGS = (
    "headless=new",
    "no-sandbox",  # tests run as root in containers
    "disable-gpu",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    f"window-size={SIZE[0]},{SIZE[1]}",
)
_PATIENCE = 90.0  # seconds: against hanging only

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="needs Chromium and its driver: apt install chromium chromium-driver"
)


class Browser:
    """One Chromium with a profile of its own in `profile`."""

    def __init__(self, profile: Path, *flags: str) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*_FLAGS, *flags, f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body in JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def data(self, name: str) -> Any:
        """The columns of the data source of that name, or None while there is none; of an array in a column its length."""
        return self.run(
            """const model = window.Bokeh && Bokeh.documents[0] && Bokeh.documents[0].get_model_by_name(arguments[0]);
            if (!model) return null;
            const data = model.data instanceof Map ? Object.fromEntries(model.data) : model.data;
            const plain = x => x !== null && typeof x === "object" ? x.length : x;
            return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Array.from(v, plain)]));
            """,
            name,
        )

    def set(self, name: str, attribute: str, value: Any) -> None:
        """Set an attribute of the widget of that name, as a user's hand on it does."""
        self.run("Bokeh.documents[0].get_model_by_name(arguments[0])[arguments[1]] = arguments[2]", name, attribute, value)

    def see_all(self) -> None:
        """Make the window so tall that every figure is in sight."""
        self.driver.set_window_size(SIZE[0], _TALL)

    def press(self, name: str) -> None:
        """A click on the button of that name."""
        self.run(
            """const view = Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name(arguments[0]).id);
            view.shadow_el.querySelector("button").click();""",
            name,
        )

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """Wait until `holds()` is true and return it."""
        limit = time.monotonic() + _PATIENCE
        while True:
            found = holds()
            if found:
                return found
            assert time.monotonic() < limit, f"waited in vain for {what}; the page says {self.errors()}"
            time.sleep(0.05)

    def updates(self) -> int:
        """How many updates the page has drawn."""
        return int(self.run("return window.isacblocks ? window.isacblocks.updates : 0"))

    def errors(self) -> list[str]:
        """What the page complained about since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Every address that anything was asked of since the last call."""
        found = []
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                found.append(event["params"]["request"]["url"])
            if event["method"] == "Network.webSocketCreated":
                found.append(event["params"]["url"])
        return found

    def close(self) -> None:
        """End it."""
        self.driver.quit()
