"""Frames that come finished from outside."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks import DelayCompressor
from isacblocks.blocks.records import GAIN_CHANGED, PHASE_UNKNOWN
from isacblocks.frontends import Framing
from isacblocks.frontends.gnuradio.assembly import Assembly
from isacblocks.frontends.gnuradio.wire import Tag
from isacblocks.stream import WiringError, jig
from isacblocks.stream.spec import Layout, LayoutField

RADAR = OfdmRadar(3, 5)


def given(count: int = 9, rows: int = 5, **other: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    value = (rng.standard_normal((count, rows, 5)) + 1j * rng.standard_normal((count, rows, 5))).astype(np.complex64)
    value[:, -1, 0] = -0.5 + 0.25j
    fields = {
        "value": value,
        "start": np.arange(count, dtype=np.uint64),
        "frequency": np.full(count, np.nan),
        "gap": np.zeros(count, np.uint8),
        "changed": np.zeros(count, np.uint8),
        "seconds": np.zeros(count, np.int64),
        "fraction": np.full(count, np.nan),
    }
    return {"samples": fields | other}


def test_rows_are_antennas_symbols_and_sector() -> None:
    inputs = given()
    outputs, _ = jig.check(lambda: Framing(RADAR, sectors=True, noise_power=4.0), inputs)
    frame, value = outputs["frame"], inputs["samples"]["value"]
    np.testing.assert_array_equal(frame["y"], value[:, :3] / np.float32(2))
    np.testing.assert_array_equal(frame["x"], value[:, 3])
    np.testing.assert_array_equal((frame["theta_min"], frame["theta_max"]), np.tile([[-0.5], [0.25]], (1, 9)))
    np.testing.assert_array_equal(frame["tau_max"], Scene().delay_window(RADAR)[1])
    np.testing.assert_array_equal(frame["time"], np.arange(9) * RADAR.frame_duration)
    assert frame["valid"].all()


def test_symbols_and_sector_may_be_told_once() -> None:
    x = np.exp(1j * np.arange(5))
    outputs, _ = jig.check(lambda: Framing(RADAR, x, sector=(-0.1, 0.2)), given(rows=3))
    np.testing.assert_array_equal(outputs["frame"]["x"], np.tile(x.astype(np.complex64), (9, 1)))
    assert set(outputs["frame"]["theta_max"]) == {0.2}


@pytest.mark.parametrize("noise_power", [1.0, 4.0])
@pytest.mark.parametrize("told", [False, True], ids=["symbols come", "symbols are told"])
def test_compressed_frames_are_those_of_a_compressor_behind_it(noise_power: float, told: bool) -> None:
    """Bit for bit, with marked frames and antennas that are left out among them."""
    x = np.exp(1j * np.arange(5)) if told else None
    inputs = given(rows=4 if told else 5)
    value = inputs["samples"]["value"]
    value[1, 0] *= 1e4  # far louder than the others
    value[2, 1, 3] = np.inf
    value[3, -1, 0] = np.nan  # no sector
    outputs, seen = jig.check(
        lambda: Framing(RADAR, x, sectors=True, noise_power=noise_power),
        inputs,
        look=lambda block: (block.save()["muted"], block.reading_values["refused_antennas"]),
    )
    expected, refused = jig.run(
        DelayCompressor(RADAR), {"frame": outputs["frame"]}, look=lambda block: block.save()["muted"]
    )
    assert outputs["compressed"].keys() == expected["compressed"].keys()
    for name, values in expected["compressed"].items():
        np.testing.assert_array_equal(outputs["compressed"][name], values, err_msg=name)
    assert outputs["compressed"]["valid"].tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1]
    assert seen == (refused, 2.0) == (2, 2.0)


def test_what_nobody_takes_is_not_made() -> None:
    block = Framing(RADAR, sectors=True)
    block.start()
    block.compressed.connected = True
    fields = given()["samples"]
    assert [made.port for made in block.process(block.samples.items(**fields))] == ["compressed"]


def test_what_cannot_be_used_is_marked_and_counted() -> None:
    inputs = given()
    fields = inputs["samples"]
    fields["changed"][0] = 1
    fields["value"][1, 3] = 0
    fields["value"][2, 3, 2] = np.nan
    fields["value"][3, 4, 0] = 0.3 + 0.1j
    fields["value"][4, 4, 0] = np.nan
    fields["value"][5, 4, 0] = 0.3 + 2j
    outputs, invalid = jig.run(
        Framing(RADAR, sectors=True), inputs, portion=4, look=lambda block: block.reading_values["invalid"]
    )
    np.testing.assert_array_equal(outputs["frame"]["valid"], [0] * 6 + [1] * 3)
    assert invalid == 6
    sectors = outputs["frame"]["theta_min"], outputs["frame"]["theta_max"]
    assert np.isfinite(sectors).all()


def test_time_is_the_front_end_s_where_it_is_told() -> None:
    fraction = np.array([np.nan, np.nan, 0.5, 0.75, 0.0, 0.25, np.nan, np.nan, 0.0])
    seconds = np.array([0, 0, 7, 7, 8, 8, 0, 0, 9])
    outputs, _ = jig.check(lambda: Framing(RADAR, sectors=True), given(seconds=seconds, fraction=fraction))
    each = RADAR.frame_duration
    expected = [0, each, 2 * each, 2 * each + 0.25, 2 * each + 0.5, 2 * each + 0.75, 6 * each, 7 * each, 2 * each + 1.5]
    np.testing.assert_allclose(outputs["frame"]["time"], expected, rtol=0, atol=1e-9)


def hearing(rows: int, channels: int) -> Framing:
    """Behind a front end that tells gains of so many channels, with an antenna's rows and one of symbols."""
    block = Framing(RADAR, sectors=rows == 5)
    gain = LayoutField("gain", "float32", ("C",), (channels,), "dB")
    block.samples.adopt(Layout("samples", 1, (*block.samples.layout.fields, gain)))
    return block


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_was_done_to_the_receiver_goes_to_the_calibrator(channels: int) -> None:
    """Tags of GNU Radio, through its source's assembly: gains, a retune, a loss, a new start; quiet frames say nothing."""
    assembly, rows = Assembly(1, channels), np.ones((12, 4, 5), np.complex64)
    gains = [(3.0, 3.0, 3.0, 3.0), (3.0, 9.0, 3.0, 3.0), (6.0, 6.0, 6.0, 6.0)]
    before, after, anew = (gain[:channels] if channels != 1 else gain[1:2] for gain in gains)
    tags = [Tag(0, "rx_freq", 1e9), Tag(0, "gain", before), Tag(2, "gain", after), Tag(5, "rx_freq", 2e9)]
    assembly.feed(rows[:7], 0, tags)
    assembly.feed(rows[7:9], 10)  # three are missing
    assembly.feed(rows[9:], 0, [Tag(0, "rx_freq", 2e9), Tag(1, "gain", anew)])
    value = np.empty_like(rows)
    fields = {"value": value, **assembly.take(12, value)}
    source = {name: fields[name] for name in (*given()["samples"], "gain")}
    outputs, _ = jig.check(lambda: hearing(4, channels), {"samples": source}, middle=2)
    found, expected = outputs["changes"], np.zeros((12, 3), int)
    one = slice(None) if channels == 1 else 1
    expected[2, one], expected[[5, 9]], expected[10] = GAIN_CHANGED, PHASE_UNKNOWN, GAIN_CHANGED
    np.testing.assert_array_equal(found["changed"], expected)
    assert found["gain"][2, one].tolist() == (6.0 if channels != 1 else [6.0] * 3)
    assert found["gain"][10, 1] == -3.0
    assert outputs["frame"]["valid"].all()


def test_gains_that_say_nothing_are_refused() -> None:
    with pytest.raises(
        WiringError, match=r"gains of \(2,\) channels, expected of 1, 3, 4; say so at the front end: channels=3"
    ):
        hearing(4, 2).start()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"x": np.ones(4)}, "expected 5 finite symbols"),
        ({"x": np.full(5, np.nan)}, "expected 5 finite symbols"),
        ({"sector": (0.1, 0.1)}, "sector"),
        ({"sector": (-2.0, 0.1)}, "sector"),
        ({"noise_power": 0.0}, "noise_power"),
        ({"noise_power": math.nan}, "noise_power"),
    ],
)
def test_what_is_asked_for_wrongly(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Framing(RADAR, **options)
