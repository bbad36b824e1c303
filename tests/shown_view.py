"""A flowgraph that runs and has a live view, for tests of the view."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from browser import Browser

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource
from isacblocks.stream import Flowgraph
from isacblocks.study.evaluation import Evaluation
from isacblocks.view.client import DeskClient
from isacblocks.view.live import LiveView

RADAR, SCENE = OfdmRadar(antennas=16, subcarriers=64), Scene()


class Shown(SimpleNamespace):
    """A flowgraph that runs and is shown."""

    fg: Flowgraph
    view: LiveView
    channel: ImpairedChannel
    source: OfdmSource


def flowgraph(tmp_path: Path, **options: object) -> Shown:
    source, channel = OfdmSource(RADAR, seed=1), ImpairedChannel(RADAR, SCENE, seed=1)
    image, detector = AngleDelayMap(RADAR, scene=SCENE), MaprtDetector(RADAR, noise="estimated")
    calibrator, judge = KappaCalibrator(RADAR, window=SCENE), Evaluation(RADAR)
    source.rate = 1000.0
    fg = Flowgraph("shown")
    fg.connect(source, channel)
    fg.connect(channel.ports["compressed"], image.ports["compressed"])
    fg.connect(image, detector, judge.ports["detection"])
    fg.connect(channel.ports["truth"], judge.ports["truth"])
    fg.connect(detector, calibrator, judge.ports["kappa"])
    fg.feedback(calibrator.ports["kappa"], image.ports["kappa"], lag=2)
    files = {"calibration": tmp_path / "saved.json", "recording": tmp_path / "frames.isac"}
    view = LiveView(fg, RADAR, SCENE, port=0, **files, **options)  # type: ignore[arg-type]
    view.watch(channel.ports["compressed"], detector.ports["detection"], calibrator.ports["kappa"], channel.ports["truth"])
    view.control(channel)
    return Shown(fg=fg, view=view, channel=channel, source=source, calibrator=calibrator, detector=detector)


@contextmanager
def running(tmp_path: Path, **options: object) -> Iterator[Shown]:
    """The flowgraph, started, until the end."""
    found = flowgraph(tmp_path, **options)
    with found.view, found.fg:
        found.fg.start()
        yield found


def value(shown: Shown, setting: str) -> object:
    """What a setting is now, as the desk tells it."""
    with DeskClient(shown.view.desk.endpoint, patience=20_000) as client:
        return {s["setting"]: s["value"] for s in client.ask(ask="status")["settings"]}[setting]


def open_page(browser: Browser, shown: Shown) -> None:
    browser.driver.get(shown.view.url)
    browser.until(lambda: browser.updates() > 2, "the first updates")


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, body
