"""What tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:  # what the view needs is loaded by the tests that look at one
    from browser import Browser
    from shown_view import Shown

ROOT = Path(__file__).resolve().parents[1]
PLACEMENTS = ("threads", "processes", "tcp")
# Files whose tests start no flowgraphs, or look at nothing but what programs print and leave: they may share the machine.
BESIDE_OTHERS = frozenset(
    f"test_{name}"
    for name in [
        "bench",
        "block",
        "blocks",
        "calibrate",
        "calibration_command",
        "calibration_kernels",
        "campaign",
        "campaign_engines",
        "changes",
        "channel_settings",
        "cold_start",
        "compressed_simulation",
        "compression",
        "contract",
        "decisions",
        "detection",
        "detection_figures",
        "docs",
        "docstrings",
        "errors_bounds",
        "estimation",
        "expectation",
        "fast_search",
        "figures",
        "framing",
        "gnuradio_wire",
        "graph_command",
        "graph_file",
        "grc",
        "hostile",
        "hub",
        "imports",
        "jit",
        "layers",
        "losses",
        "messages",
        "new_block",
        "normals",
        "panel",
        "paper_figures",
        "plots",
        "random",
        "raw_iq",
        "record_iq",
        "recording",
        "refinement",
        "scripts",
        "sigmf",
        "simd",
        "simd_words",
        "simulation",
        "site",
        "slope_search",
        "soapy",
        "soundness",
        "spec_wire_codec",
        "spectral",
        "start",
        "start_figures",
        "tally",
        "told_commands",
        "tracking",
        "training",
        "tutorial",
        "view_controls",
        "warmup",
        "waveform",
    ]
)

# The files that take longest, of both parts of tools/test: they begin first, so that no core is left with one at the end
LONGEST = tuple(
    f"test_{name}"
    for name in [
        "scripts",
        "simd",
        "docs",
        "live_view",
        "demo_and_desk_commands",
        "campaign_engines",
        "checkpoint",
        "restart",
        "view_knobs",
        "fast_search",
        "view_server",
        "gnuradio_live",
        "normals",
        "bench",
        "figures",
        "limits",
        "signals",
        "terminal",
        "ending",
        "compression",
        "calibrate",
        "flowgraph",
        "memory",
        "tutorial",
        "start_figures",
        "paper_figures",
        "waveform",
        "search_gain",
        "frozen",
        "estimation",
        "simd_words",
        "jit",
        "link",
        "gnuradio_blocks",
    ]
)

# How long an example takes says nothing: the machine may be busy with something else
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell starts what it puts into the background with Ctrl-C ignored, nohup does so with SIGHUP; children inherit that.
# The tests send both to programs of their own, which must hear them wherever the tests were started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All other tests wait for what they have started more than they compute; the longest files come first."""
    for item in items:
        if item.path.stem not in BESIDE_OTHERS:
            item.add_marker("waits")
    place = {stem: number for number, stem in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(params=PLACEMENTS)
def placement(request: pytest.FixtureRequest) -> str:
    """Every flowgraph test runs over every placement."""
    return str(request.param)


@pytest.fixture(scope="session")
def chirps() -> Path:
    """The recorded radar data, where it is at hand."""
    path = ROOT.parent / "shared" / "data" / "doppler_example_1.npy"
    if not path.exists():
        pytest.skip("the radar recording ../shared/data/doppler_example_1.npy is not here; it is not part of the project")
    return path


@pytest.fixture(params=["smallest", "small", "odd", "table1"])
def golden(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Inputs and the reference's results; see reference/make_golden.py."""
    with np.load(ROOT / "tests" / "golden" / f"{request.param}.npz", allow_pickle=False) as file:
        return {"name": request.param, **{key: file[key] for key in file.files}}


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    """A flowgraph with a live view, for one test."""
    from shown_view import running

    with running(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """One for all tests that only look at it."""
    from shown_view import running

    with running(tmp_path_factory.mktemp("seen")) as found:
        yield found


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser of all tests."""
    from browser import Browser

    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The same with nothing open, which remembers no error, no request and no size of the test before."""
    from browser import SIZE

    chromium.driver.get("about:blank")
    chromium.driver.set_window_size(*SIZE)
    chromium.errors(), chromium.requests()
    return chromium
