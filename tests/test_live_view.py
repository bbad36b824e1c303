"""The live view in a real browser: it loads, moves, obeys, comes back, is shared, and asks nobody else for anything."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import Browser, needs_browser
from stream_blocks import Collect, Counter

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource, Recorder
from isacblocks.blocks.calibration_file import load_calibration
from isacblocks.blocks.recording import Recording
from isacblocks.stream import Flowgraph
from isacblocks.study.evaluation import Evaluation
from isacblocks.view.access import AccessError
from isacblocks.view.client import DeskClient
from isacblocks.view.desk import DeskError
from isacblocks.view.live import LiveView

RADAR, SCENE = OfdmRadar(antennas=16, subcarriers=64), Scene()
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


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    found = flowgraph(tmp_path)
    with found.view, found.fg:
        found.fg.start()
        yield found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """One for all tests that only look at it."""
    found = flowgraph(tmp_path_factory.mktemp("seen"))
    with found.view, found.fg:
        found.fg.start()
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.driver.get("about:blank")
    chromium.errors(), chromium.requests()  # of the test before
    return chromium


def value(shown: Shown, setting: str) -> object:
    """What a setting is now, as the desk tells it."""
    with DeskClient(shown.view.desk.endpoint, patience=20_000) as client:
        return {s["setting"]: s["value"] for s in client.ask(ask="status")["settings"]}[setting]


def open_page(browser: Browser, shown: Shown) -> None:
    browser.driver.get(shown.view.url)
    browser.until(lambda: browser.updates() > 2, "the first updates")


@needs_browser
def test_it_loads_without_an_error_moves_and_asks_nobody_else(seen: Shown, browser: Browser) -> None:
    open_page(browser, seen)
    browser.driver.set_window_size(700, 5000)  # what is out of sight is not sent
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


@needs_browser
def test_each_knob_acts(shown: Shown, browser: Browser, tmp_path: Path) -> None:
    open_page(browser, shown)
    browser.set("snr_db", "value_throttled", 5)
    browser.until(lambda: value(shown, "snr_db") == 5.0, "the SNR")
    browser.set("drift", "value_throttled", 2.5)
    browser.until(lambda: value(shown, "drift") == 2.5, "the drift")
    browser.set("p_fa", "value_throttled", -3)
    browser.until(lambda: value(shown, "p_fa") == pytest.approx(1e-3), "P_fa")
    browser.set("memory", "value", "500")
    browser.until(lambda: value(shown, "memory") == 500.0, "the memory")
    browser.set("rate", "value", "2000")
    browser.until(lambda: value(shown, "rate") == 2000.0, "the rate")
    browser.set("antenna", "value", 4)
    browser.press("kick")
    browser.until(lambda: shown.channel.kicks and shown.channel.kicks[4] == 90.0, "the kick")
    browser.press("mute")
    browser.until(lambda: shown.channel.muted == [4], "the mute")
    browser.press("unmute")
    browser.until(lambda: shown.channel.muted == [], "the antenna to be heard again")
    browser.press("save")
    browser.until(shown.view.path.exists, "the calibration")
    saved = load_calibration(shown.view.path, RADAR)
    assert saved.frames > 0
    assert saved.sigma_rad is not None
    browser.press("record")
    label = "return Bokeh.documents[0].get_model_by_name('record').label"
    browser.until(lambda: "Stop recording (" in browser.run(label), "what is recorded")
    browser.press("record")
    browser.until(lambda: browser.run(label) == "Record frames", "the recording's end")
    recording = Recording(tmp_path / "frames.isac")
    assert len(recording) > 0
    assert recording.radar() == RADAR
    browser.press("pause")
    browser.until(lambda: shown.view.desk.paused, "the pause")
    browser.press("pause")
    browser.until(lambda: not shown.view.desk.paused, "the stream to go on")
    assert browser.errors() == []


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
def test_keys_act_but_not_in_a_field(shown: Shown, browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, shown)
    body = browser.driver.find_element("tag name", "body")
    body.send_keys(Keys.SPACE)
    browser.until(lambda: shown.view.desk.paused, "the pause")
    body.send_keys(Keys.SPACE)
    browser.until(lambda: not shown.view.desk.paused, "the stream to go on")
    body.send_keys("k")
    browser.until(lambda: any(shown.channel.kicks), "the kick")
    body.send_keys("s")
    browser.until(shown.view.path.exists, "the calibration")
    kicks = list(shown.channel.kicks)
    field = browser.run(
        """return Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name("antenna").id)
        .shadow_el.querySelector("input");"""
    )
    field.send_keys("k")
    time.sleep(0.5)
    assert shown.channel.kicks == kicks
    body.send_keys("d")
    browser.until(lambda: "theme=dark" in browser.driver.current_url, "the dark page")
    browser.until(lambda: browser.updates() > 2, "the dark page's updates")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"


FOCUSED = """const one = document.activeElement;
    const model = Bokeh.documents[0].roots().find((m) => {
        const view = Bokeh.index.find_one_by_id(m.id);
        return view && (view.el === one || view.el.contains(one));
    });
    return model ? model.name : null;"""


@needs_browser
def test_every_control_is_reached_and_worked_by_keys(shown: Shown, browser: Browser) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key: str) -> None:
        ActionChains(browser.driver).send_keys(key).perform()

    open_page(browser, shown)
    reached = set()
    for _ in range(60):
        press(Keys.TAB)
        name = browser.run(FOCUSED)
        if name in reached:
            continue
        reached.add(name)
        if name == "snr_db":
            press(Keys.ARROW_RIGHT)
            browser.until(lambda: value(shown, "snr_db") == 15.5, "the SNR a step up")
        if name == "mute":
            press(Keys.ENTER)
            browser.until(lambda: shown.channel.muted == [7], "the mute")
    names = ["pause", "rate", "snr_db", "drift", "p_fa", "memory", "antenna", "degrees"]
    assert {*names, "kick", "mute", "unmute", "save", "record"} <= reached


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
def test_two_viewers_see_the_same_and_follow_each_other(shown: Shown, browser: Browser, tmp_path: Path) -> None:
    other = Browser(tmp_path / "other")
    try:
        open_page(browser, shown)
        open_page(other, shown)
        browser.set("p_fa", "value_throttled", -4)
        other.until(
            lambda: other.run("return Bokeh.documents[0].get_model_by_name('p_fa').value") == pytest.approx(-4), "the other"
        )
        browser.press("pause")
        other.until(lambda: other.run("return Bokeh.documents[0].get_model_by_name('pause').active"), "the other's pause")
        for one in (browser, other):
            count = one.updates()
            one.until(lambda one=one, count=count: one.updates() > count + 5, "updates")  # type: ignore[misc]
    finally:
        other.close()


@needs_browser
def test_it_comes_back_when_the_server_has_died(shown: Shown, browser: Browser) -> None:
    open_page(browser, shown)
    first = shown.view.server_pid
    assert first is not None
    browser.run("window.before = true")
    os.kill(first, signal.SIGKILL)
    browser.until(lambda: shown.view.server_pid not in (None, first), "another server")
    browser.until(
        lambda: not browser.run("return window.before === true") and browser.updates() > 3, "the page to come back"
    )
    assert shown.fg.status.phase == "running"
    items = shown.fg.status.blocks["kappa_calibrator"].items_in
    browser.until(lambda: shown.fg.status.blocks["kappa_calibrator"].items_in > items, "the stream to go on")


@needs_browser
def test_a_browser_that_stalls_is_sent_no_more_and_costs_the_stream_nothing(seen: Shown, browser: Browser) -> None:
    open_page(browser, seen)
    browser.driver.set_script_timeout(60)
    frames = seen.fg.status.blocks["kappa_calibrator"].items_in
    browser.run("const end = Date.now() + 6000; while (Date.now() < end) { /* the page does nothing else */ }")
    assert seen.fg.status.blocks["kappa_calibrator"].items_in > frames + 2000
    assert browser.run("return window.isacblocks.sent") <= browser.updates() + 4  # not the seventy of six seconds


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, body


def test_with_a_token_nobody_sees_anything_without_it(tmp_path: Path) -> None:
    token = "correct-horse-battery-staple"
    shown = flowgraph(tmp_path, token=token)
    with shown.view, shown.fg:
        shown.fg.start()
        port = shown.view.port
        assert shown.view.url.endswith(f"/?token={token}")
        assert get(port, f"/?token={token}&theme=dark")[0] == 302  # to the address without it, with a cookie
        for brought in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"isacblocks-token-{port}={token}"}):
            status, body = get(port, "/", **brought)
            assert (status, "<main>" in body) == (200, True)
        for path, headers in (("/", {}), ("/?token=wrong", {}), ("/", {"Cookie": f"isacblocks-token-{port}=wrong"})):
            status, body = get(port, path, **headers)
            assert (status, "<main>" in body) == (403, False)
        assert get(port, "/static/js/bokeh.min.js")[0] == 403
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade |= {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Origin": f"http://127.0.0.1:{port}"}
        assert get(port, "/ws", **upgrade)[0] == 403


@needs_browser
def test_the_address_with_the_token_opens_the_view_and_does_not_stay(tmp_path: Path, browser: Browser) -> None:
    shown = flowgraph(tmp_path, token="correct-horse-battery-staple")
    with shown.view, shown.fg:
        shown.fg.start()
        open_page(browser, shown)
        assert "token" not in browser.driver.current_url
        assert browser.errors() == []


def test_other_sites_may_not_talk_to_it(tmp_path: Path) -> None:
    shown = flowgraph(tmp_path)
    with shown.view, shown.fg:
        shown.fg.start()
        assert get(shown.view.port, "/")[0] == 200
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade |= {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Origin": "http://evil.example"}
        for path in ("/ws", "/updates"):  # Bokeh's, and ours
            assert get(shown.view.port, path, **upgrade)[0] == 403


def test_addresses_that_may_not_or_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="needs a token"):
        flowgraph(tmp_path, host="0.0.0.0")
    shown = flowgraph(tmp_path)
    with shown.view, pytest.raises(AccessError, match="choose another port"):
        LiveView(Flowgraph("other"), RADAR, SCENE, port=shown.view.port)


def test_the_server_goes_with_its_program(tmp_path: Path) -> None:
    shown = flowgraph(tmp_path)
    with shown.view:
        pid = shown.view.server_pid
        assert get(shown.view.port, "/")[0] == 200
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
