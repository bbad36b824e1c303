"""The live view in a real browser: it loads, moves, shows what is, fits, and asks nobody else for anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import Browser, needs_browser
from shown_view import RADAR, SCENE, Shown, flowgraph, get, open_page
from stream_blocks import Collect, Counter

from isacblocks.blocks import AngleDelayMap, ImpairedChannel, MaprtDetector, OfdmSource, Recorder
from isacblocks.blocks.recording import Recording
from isacblocks.stream import Flowgraph
from isacblocks.view.client import DeskClient
from isacblocks.view.desk import DeskError

PICTURES = (
    "map_images",
    "plane_data",
    "error_data",
    "antennas_data",
    "plan_data",
    "rates_data",
    "wiring_blocks",
    "wiring_edges",
)


@needs_browser
def test_it_loads_without_an_error_moves_and_asks_nobody_else(seen: Shown, browser: Browser) -> None:
    open_page(browser, seen)
    browser.see_all()  # what is out of sight is not sent
    for name in PICTURES:
        browser.until(lambda name=name: all(len(c) for c in (browser.data(name) or {"": []}).values()), name)  # type: ignore[misc]
    before = {name: browser.data(name) for name in ("plane_data", "error_data", "rates_data", "wiring_blocks")}
    for name, columns in before.items():
        browser.until(lambda name=name, columns=columns: browser.data(name) != columns, f"{name} to move")  # type: ignore[misc]
    assert browser.data("map_images")["after"] == [100 * 100]
    assert browser.errors() == []
    hosts = {urlsplit(url).hostname for url in browser.requests() if not url.startswith(("data:", "blob:", "chrome"))}
    assert hosts == {"127.0.0.1"}


@needs_browser
def test_what_it_shows_is_what_was_learned(seen: Shown, browser: Browser) -> None:
    open_page(browser, seen)
    browser.see_all()
    browser.until(lambda: (browser.data("error_data") or {}).get("frames", [0])[-1:] > [3000], "3000 frames")
    plane = browser.data("plane_data")
    learned, true = (np.array(plane[x]) + 1j * np.array(plane[y]) for x, y in (("x", "y"), ("tx", "ty")))
    truth = seen.channel.kappa
    np.testing.assert_allclose(true, truth, atol=1e-5)
    assert np.abs(learned - true).max() < 0.25
    assert np.abs(learned - 1).max() > 0.5
    assert {"good"} == set(browser.data("antennas_data")["health"])
    plan = browser.data("plan_data")
    assert all(SCENE.range_min - 1 < r < RADAR.range_of(RADAR.prefix_duration) + 1 for r in plan["range"])
    np.testing.assert_allclose(np.hypot(plan["x"], plan["y"]), plan["range"], rtol=1e-6)


def test_a_recording_says_what_it_has_and_what_it_lost(tmp_path: Path) -> None:
    """Whatever the disk's pace: what is in it is what passed, and what is missing is counted; no file is overwritten."""
    shown = flowgraph(tmp_path)
    shown.source.rate = 20_000.0
    shown.fg.connect(shown.channel.ports["compressed"], Recorder(tmp_path / "all.isac"))
    with shown.view, shown.fg, DeskClient(shown.view.desk.endpoint, patience=20_000) as client:
        shown.fg.start()

        def told() -> dict[str, float]:
            return dict(shown.fg.status.blocks["view_reel"].readings)

        def until(holds: Callable[[], bool]) -> None:
            limit = time.monotonic() + 60
            while not holds():
                assert time.monotonic() < limit, told()
                time.sleep(0.02)

        paths = [shown.view.record(), shown.view.record()]  # once more: it is the same one
        until(lambda: told().get("recorded", 0) > 2000)
        assert client.do("record", active=False) == paths[0] == paths[1]
        until(lambda: told()["recording"] == 0)
        first = told()
        paths.append(client.do("record"))
        until(lambda: told()["recording"] == 1 and told()["recorded"] > 500)
        with pytest.raises(DeskError, match="there is no such setting"):
            client.set("view_reel", "take", 7)
        client.do("pause")  # who records all may be behind the reel
        until(lambda: not any(edge.in_flight for edge in shown.fg.status.edges if edge.receiver == "recorder.items"))
    assert paths == [str(tmp_path / "frames.isac")] * 2 + [str(tmp_path / "frames-2.isac")]
    every = Recording(tmp_path / "all.isac")
    for path, counted in ((paths[0], first), (paths[2], told())):
        found = Recording(path)
        assert len(found) == counted["recorded"]
        assert found.gaps() == counted["missed"]
        np.testing.assert_array_equal(found.items, every.items[found.items["sequence"]])


def test_a_flowgraph_of_our_blocks_shows_itself(capfd: pytest.CaptureFixture[str]) -> None:
    source, channel, image = (
        OfdmSource(RADAR, seed=1),
        ImpairedChannel(RADAR, SCENE, seed=1),
        AngleDelayMap(RADAR, scene=SCENE),
    )
    source.rate = 500.0
    fg = Flowgraph("by itself")
    fg.connect(source, channel)
    fg.connect(channel.ports["compressed"], image.ports["compressed"])
    fg.connect(image, MaprtDetector(RADAR, noise="estimated"))
    before = dict(fg.blocks), fg.edges()
    with fg, ThreadPoolExecutor() as pool:
        running = pool.submit(fg.run, view=True)
        said = ""
        while "live view: " not in said:
            assert not running.done(), running.result()
            said += capfd.readouterr().err
            time.sleep(0.05)
        port = urlsplit(said.partition("live view: ")[2].split(";")[0].strip()).port
        assert port is not None
        status, page = get(port, "/")
        assert (status, "map_after" in page) == (200, True)
        fg.stop()
        assert running.result(60).phase == "stopped"
    assert "without kappa: there is not one KappaCalibrator" in said
    assert (dict(fg.blocks), fg.edges()) == before
    nothing = Flowgraph("of numbers")
    nothing.connect(Counter(), Collect())
    assert nothing.run(64, view=True).phase == "finished"
    assert "no live view of of numbers: none of its blocks is an AngleDelayMap" in capfd.readouterr().err


@needs_browser
def test_a_phone_has_room_for_every_figure(seen: Shown, browser: Browser) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        open_page(browser, seen)
        assert browser.run("return document.documentElement.scrollWidth") <= 390
        wide = """return [...document.querySelectorAll("[data-figure]")].filter((s) => s.scrollWidth > s.clientWidth + 1)
            .map((s) => s.dataset.figure);"""
        browser.until(lambda: browser.run(wide) == ["wiring"], "nothing but the flowgraph to be wider than the phone")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_browser
def test_a_finger_on_a_figure_scrolls_the_page_and_moves_nothing(seen: Shown, browser: Browser) -> None:
    def cdp(command: str, **arguments: object) -> None:
        browser.driver.execute_cdp_cmd(command, arguments)

    def touch(kind: str, *at: float) -> None:
        points = [dict(zip("xy", at, strict=True))] if at else []
        cdp("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    cdp("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    cdp("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        open_page(browser, seen)
        place = """document.querySelector("[data-figure=plane]").scrollIntoView({block: "center"});
            const r = document.querySelector("[data-figure=plane]").getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2, scrollY];"""
        ranges = """const f = Bokeh.documents[0].get_model_by_name("plane");
            return [f.x_range.start, f.x_range.end, f.y_range.start, f.y_range.end];"""
        before = browser.run(ranges)
        x, y, top = browser.run(place)
        touch("touchStart", x, y)
        for step in range(1, 13):
            touch("touchMove", x, y - 12 * step)
        touch("touchEnd")
        browser.until(lambda: browser.run("return scrollY") > top + 50, "the page to scroll")
        assert browser.run(ranges) == before
        assert browser.run("return Bokeh.documents[0].get_model_by_name('plane').toolbar.autohide") is False
    finally:
        cdp("Emulation.setTouchEmulationEnabled", enabled=False)
        cdp("Emulation.clearDeviceMetricsOverride")


@needs_browser
def test_zoom_survives_updates(seen: Shown, browser: Browser) -> None:
    open_page(browser, seen)
    browser.see_all()
    ranges = """return Bokeh.documents[0].roots().filter(f => ["plane", "speed", "map_after"].includes(f.name)).map(
        f => [f.name, f.x_range.start, f.x_range.end, f.y_range.start, f.y_range.end]);"""
    zoom = """for (const f of Bokeh.documents[0].roots().filter(f => ["plane", "speed", "map_after"].includes(f.name))) {
        const view = Bokeh.index.find_one_by_id(f.id);
        const [x0, x1, y0, y1] = [f.x_range.start, f.x_range.end, f.y_range.start, f.y_range.end];
        const third = (a, b) => ({start: a + (b - a) / 3, end: b - (b - a) / 3});
        const xrs = new Map([[f.x_range, third(x0, x1)]]), yrs = new Map([[f.y_range, third(y0, y1)]]);
        view.update_range({xrs, yrs}, {panning: true, scrolling: true});
    }"""
    browser.run(zoom)
    before, count = browser.run(ranges), browser.updates()
    browser.until(lambda: browser.updates() > count + 20, "twenty updates")
    assert browser.run(ranges) == before
    assert len(before) == 3


@needs_browser
def test_a_browser_that_stalls_is_sent_no_more_and_costs_the_stream_nothing(seen: Shown, browser: Browser) -> None:
    open_page(browser, seen)
    browser.see_all()
    browser.driver.set_script_timeout(60)
    frames = seen.fg.status.blocks["kappa_calibrator"].items_in
    browser.run("const end = Date.now() + 6000; while (Date.now() < end) { /* the page does nothing else */ }")
    assert seen.fg.status.blocks["kappa_calibrator"].items_in > frames + 2000
    assert browser.run("return window.isacblocks.sent") <= browser.updates() + 4  # not the seventy of six seconds


def test_other_sites_may_not_talk_to_it(seen: Shown) -> None:
    assert get(seen.view.port, "/")[0] == 200
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Origin": "http://evil.example"}
    for path in ("/ws", "/updates"):  # Bokeh's, and ours
        assert get(seen.view.port, path, **upgrade)[0] == 403
