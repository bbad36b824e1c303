"""What the live view costs and how quick it is, with a real headless Chromium that looks on.

    python tools/view_figures.py cost      frames/s of the flowgraph without a view and with one, in turn; ratio of medians
    python tools/view_figures.py delay     updates/s, age of what is drawn (median, 99 %), the server's share of a core
    python tools/view_figures.py picture   docs/live-view.png, the picture in the README

Chromium draws in software on the same cores here: `cost` leaves it out unless --browser asks for it, since on a desk it
runs on somebody else's graphics card.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import Browser  # noqa: E402  the tests' browser

from isacblocks import OfdmRadar, Scene  # noqa: E402
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource  # noqa: E402
from isacblocks.cli.script import compile_kernels  # noqa: E402
from isacblocks.stream import Flowgraph  # noqa: E402
from isacblocks.study.evaluation import Evaluation  # noqa: E402
from isacblocks.view.live import LiveView  # noqa: E402


def flowgraph(view: bool, rate: float = math.inf) -> tuple[Flowgraph, LiveView | None, ImpairedChannel]:
    """online_calibration's flowgraph, watched or not."""
    radar, scene = OfdmRadar(), Scene()
    source, channel = OfdmSource(radar, seed=1), ImpairedChannel(radar, scene, seed=1)
    source.rate = rate
    image, detector = AngleDelayMap(radar, scene=scene), MaprtDetector(radar, noise="estimated")
    calibrator, judge = KappaCalibrator(radar, window=scene), Evaluation(radar)
    fg = Flowgraph("online_calibration")
    fg.connect(source, channel)
    fg.connect(channel.compressed, image.compressed)
    fg.connect(image, detector, judge.detection)
    fg.connect(channel.truth, judge.truth)
    fg.connect(detector, calibrator, judge.kappa)
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    fg.feedback(calibrator.kappa, detector.kappa, lag=2)
    if not view:
        return fg, None, channel
    live = LiveView(fg, radar, scene, port=0)
    live.watch(channel.compressed, detector.detection, calibrator.kappa, channel.truth)
    live.control(channel)
    return fg, live, channel


def cpu_seconds(pid: int) -> float:
    """What a process has used of a core since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ready(view: LiveView) -> None:
    """Wait until the server answers."""
    import urllib.request

    with urllib.request.urlopen(view.url, timeout=60) as answer:
        answer.read()


def cost(frames: int, placement: str, pairs: int, browser: Browser | None) -> None:
    """Runs in turn, so that what else the machine does falls on both alike."""
    speeds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(pairs):
        for watched in (False, True):
            fg, live, _ = flowgraph(watched)
            if live is None:
                status = fg.run(frames, placement=placement)
            else:
                with live:
                    ready(live)
                    if browser is not None:
                        browser.driver.get(live.url)
                    status = fg.run(frames, placement=placement)
            speeds[watched].append(frames / status.seconds)
    without, watched_speed = (float(np.median(speeds[key])) for key in (False, True))
    ratios = np.array(speeds[True]) / np.array(speeds[False])
    print(f"{placement}: {without:.0f} frames/s without, {watched_speed:.0f} with; ratio {watched_speed / without:.3f}")
    print(f"  of pairs: median {np.median(ratios):.3f}, from {ratios.min():.3f} to {ratios.max():.3f}")


def delay(seconds: float, browser: Browser) -> None:
    """What a browser saw while the flowgraph went on at 2000 frames/s."""
    fg, live, _ = flowgraph(True, rate=2000.0)
    assert live is not None
    with live, fg:
        fg.start()
        browser.driver.get(live.url)
        browser.until(lambda: browser.updates() > 5, "the first updates")
        browser.run("window.isacblocks.delays.length = 0")
        assert live.server_pid is not None
        count, cpu, began = browser.updates(), cpu_seconds(live.server_pid), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        updates, used = browser.updates() - count, cpu_seconds(live.server_pid) - cpu
        delays: Any = browser.run("return window.isacblocks.delays")
    print(f"{updates / took:.1f} updates/s; age {np.median(delays):.0f} ms, 99 % below {np.percentile(delays, 99):.0f} ms")
    print(f"server: {100 * used / took:.1f} % of a core")


def picture(path: Path, browser: Browser) -> None:
    """The page after some seconds, with an antenna that has just been kicked."""
    fg, live, channel = flowgraph(True, rate=1000.0)
    assert live is not None
    with live, fg:
        fg.start()
        browser.driver.set_window_size(1500, 1620)
        browser.driver.get(live.url)
        time.sleep(8)
        channel.kick(7, 90.0)
        time.sleep(0.5)
        browser.driver.save_screenshot(str(path))
    print(path)


def main() -> int:
    """One of the three."""
    parser = argparse.ArgumentParser("view_figures", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("cost", "delay", "picture"))
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--placement", default="threads")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--browser", action="store_true", help="cost: with a browser that looks on")
    options = parser.parse_args()
    compile_kernels()
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile)) if options.browser or options.what != "cost" else None
        try:
            if options.what == "cost":
                cost(options.frames, options.placement, options.pairs, browser)
            elif options.what == "delay" and browser is not None:
                delay(options.seconds, browser)
            elif browser is not None:
                picture(ROOT / "docs" / "live-view.png", browser)
        finally:
            if browser is not None:
                browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
