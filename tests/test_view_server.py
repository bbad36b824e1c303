"""The live view's server: it is shared, comes back, lets nobody in without the token, and goes with its program."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, needs_browser
from shown_view import RADAR, SCENE, Shown, flowgraph, get, open_page, running

from isacblocks.stream import Flowgraph
from isacblocks.view.access import AccessError
from isacblocks.view.live import LiveView

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A view with a token, for all tests that only ask it."""
    with running(tmp_path_factory.mktemp("guarded"), token=TOKEN) as found:
        yield found


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


def test_with_a_token_nobody_sees_anything_without_it(guarded: Shown) -> None:
    port = guarded.view.port
    assert guarded.view.url.endswith(f"/?token={TOKEN}")
    assert get(port, f"/?token={TOKEN}&theme=dark")[0] == 302  # to the address without it, with a cookie
    for brought in ({"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"isacblocks-token-{port}={TOKEN}"}):
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
def test_the_address_with_the_token_opens_the_view_and_does_not_stay(guarded: Shown, browser: Browser) -> None:
    open_page(browser, guarded)
    assert "token" not in browser.driver.current_url
    assert browser.errors() == []


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
