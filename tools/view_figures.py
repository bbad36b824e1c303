"""What the live view costs and how quick it is, with a real headless Chromium that looks on.

    python tools/view_figures.py cost      frames/s of the flowgraph alone, watched, watched by who stalls, with a table on a
                                           terminal: in turn
    python tools/view_figures.py delay     updates/s, age of what is drawn (median, 99 %), the server's share of a core
    python tools/view_figures.py picture   docs/live-view.png, the picture in the README

Chromium draws in software on the same cores here. For `cost` a program looks on that takes every update and draws nothing:
on a desk drawing is another machine's work, or a graphics card's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]

from benchmarks.onlookers import cpu_seconds  # noqa: E402
from benchmarks.report import columns  # noqa: E402
from benchmarks.viewed import flowgraph  # noqa: E402
from benchmarks.viewing import HEAD, WANTED, measure_viewing, rows  # noqa: E402
from browser import Browser  # noqa: E402  the tests' browser

from isacblocks.cli.script import compile_kernels  # noqa: E402


def cost(seconds: float, placement: str, rounds: int, slices: int) -> None:
    """Without a view, with a viewer that reads, with one that stalls, with a table on a terminal."""
    found = measure_viewing(seconds, rounds, slices, placement)
    print(f"{placement}, wanted: {WANTED:g} of the frames/s without a view")
    print(columns(HEAD, rows(found)))


def delay(seconds: float, browser: Browser) -> None:
    """What a browser saw while the flowgraph went on at 2000 frames/s."""
    fg, live, _ = flowgraph(True, rate=2000.0)
    assert live is not None
    with live, fg:
        fg.start()
        browser.driver.get(live.url)
        browser.until(lambda: browser.updates() > 5, "the first updates")
        browser.run("window.isacblocks.ages.length = 0")
        assert live.server_pid is not None
        count, cpu, began = browser.updates(), cpu_seconds(live.server_pid), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        updates, used = browser.updates() - count, cpu_seconds(live.server_pid) - cpu
        parts: Any = np.array(browser.run("return window.isacblocks.ages"))
    ages = parts.sum(axis=1)
    print(f"{updates / took:.1f} updates/s; age {np.median(ages):.0f} ms, 99 % below {np.percentile(ages, 99):.0f} ms")
    for name, part in zip(("to the server", "in the server", "to the browser", "drawing"), parts.T, strict=True):
        print(f"  {name}: {np.median(part):.0f} ms, 99 % below {np.percentile(part, 99):.0f} ms")
    print(f"server: {100 * used / took:.1f} % of a core")


def picture(path: Path, browser: Browser) -> None:
    """The page after some seconds, with an antenna that has just been kicked."""
    fg, live, channel = flowgraph(True, rate=1000.0)
    assert live is not None
    with live, fg:
        fg.start()
        browser.driver.set_window_size(1500, 1780)
        browser.driver.get(live.url)
        time.sleep(8)
        channel.kick(7, 90.0)
        time.sleep(0.4)
        title = 'return document.getElementById("title-map_after").textContent'
        browser.until(lambda: browser.run(title).startswith("after: target"), "a frame with a target")
        browser.driver.save_screenshot(str(path))
    print(path)


def main() -> int:
    """One of the three."""
    parser = argparse.ArgumentParser("view_figures", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("cost", "delay", "picture"))
    parser.add_argument("--placement", default="threads")
    parser.add_argument("--rounds", type=int, default=6, help="runs of every kind (default: 6)")
    parser.add_argument("--slices", type=int, default=8, help="of every run, in turn with the others (default: 8)")
    parser.add_argument("--seconds", type=float, help="of a slice (default: 1), or of delay (default: 20)")
    options = parser.parse_args()
    compile_kernels()
    if options.what == "cost":
        cost(options.seconds or 1.0, options.placement, options.rounds, options.slices)
        return 0
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        try:
            if options.what == "delay":
                delay(options.seconds or 20.0, browser)
            else:
                picture(ROOT / "docs" / "live-view.png", browser)
        finally:
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
