"""The live view in a real browser: every knob acts, by mouse and by keys."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from browser import Browser, needs_browser
from shown_view import RADAR, Shown, open_page, value

from isacblocks.blocks.calibration_file import load_calibration
from isacblocks.blocks.recording import Recording


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
    names = ["pause", "rate", "snr_db", "drift", "p_fa", "memory", "antenna", "degrees"]
    wanted = {*names, "kick", "mute", "unmute", "save", "record"}
    reached: set[str] = set()
    for _ in range(60):
        if wanted <= reached:
            break
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
    assert wanted <= reached
