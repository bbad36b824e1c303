"""Symbols that are not known and are decided: the constellations' law, and frames as with symbols that are known."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_raw_iq import (
    DIRECT,
    ECHO,
    KAPPA,
    LENGTH,
    PERIOD,
    RADAR,
    N,
    S,
    delays,
    frames_of,
    items,
    noise,
    qpsk,
    received,
    wanted,
)

from isacblocks.blocks import AngleDelayMap, MaprtDetector
from isacblocks.frontends import OfdmReceiver, SimulatedIq, read_waveform
from isacblocks.frontends.ofdm_decisions import DataSymbols, combined, nearest
from isacblocks.kernels.simulation import draw_symbols, qam_constellation
from isacblocks.kernels.steering import steering_vectors
from isacblocks.stream import jig

ORDERS = (4, 16, 64)


def data_symbols(rows: int, order: int, seed: int = 2) -> np.ndarray:
    return np.asarray(draw_symbols(seed, 0, rows, RADAR, order))


def tail(x: Any) -> Any:
    """Q(x)."""
    return 0.5 * np.vectorize(math.erfc)(np.asarray(x) / math.sqrt(2))


def law(gain: np.ndarray, order: int) -> np.ndarray:
    """Of wrong decisions, square QAM of mean energy 1 in noise of power 1 / gain: the textbooks'."""
    p = 2 * (1 - 1 / math.sqrt(order)) * tail(np.sqrt(3 * gain / (order - 1)))
    return np.asarray(1 - (1 - p) ** 2)


def within(count: int, expected: float, variance: float) -> bool:
    return abs(count - expected) < 4.5 * math.sqrt(variance) + 1


@pytest.mark.parametrize("order", [*ORDERS, 256])
def test_decisions_are_the_nearest_points_and_err_as_the_textbooks_say(order: int) -> None:
    """With the channel known: 64 subcarriers of different strength, 8 antennas that combine."""
    rng = np.random.default_rng(order)
    points = qam_constellation(order).astype(np.complex64)
    z = (3 * (rng.random(999) - 0.5) + 3j * (rng.random(999) - 0.5)).astype(np.complex128)
    brute = points[np.abs(z[:, None] - qam_constellation(order)).argmin(axis=1)]
    np.testing.assert_array_equal(nearest(z, order), brute)
    frames = 3000
    channel = noise((N, S), 3) * math.sqrt((order - 1) / 3 * 5 / N)
    x = points[rng.integers(0, order, (frames, S))]
    wrong = doubtful = 0
    for k, w in enumerate(noise((frames, N, S), 4)):
        z, gain = combined(channel * x[k] + w, channel)
        found = nearest(z, order)
        wrong += int(np.count_nonzero(found != x[k]))
        doubtful += int(np.count_nonzero(np.abs(z - x[k]) > DataSymbols(1, order).distance / 4))
    p, q = law(gain, order), np.exp(-gain * DataSymbols(1, order).distance ** 2 / 16)
    assert within(wrong, frames * p.sum(), frames * (p * (1 - p)).sum())
    assert within(doubtful, frames * q.sum(), frames * (q * (1 - q)).sum())
    assert 0.001 < p.mean() < 0.2


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("timing", ["preamble", 11])
def test_frames_are_those_with_known_symbols_to_the_bit(order: int, timing: str | int) -> None:
    """High SNR, carrier off, one known symbol of six; then the frames are eq. (8)'s, too."""
    pilot, unknown = qpsk(1), data_symbols(5, order)
    x = np.concatenate([pilot, unknown])
    offset = 0.0 if isinstance(timing, int) else 0.07
    y = received(x, 60, [(20.0, *DIRECT[1:]), ECHO], offset, lead=11)
    fields = items(y + 0.05 * noise(y.shape))
    make = partial(OfdmReceiver, RADAR, pilot, LENGTH, timing=timing, data=DataSymbols(5, order))
    known, _ = frames_of(OfdmReceiver(RADAR, x, LENGTH, timing=timing), fields)
    outputs, _ = jig.check(make, {"iq": fields}, middle=3)
    frame = outputs["frame"]
    for name, expected in known.items():
        np.testing.assert_array_equal(frame[name], expected, err_msg=name)
    assert frame["valid"].all()
    assert len({row.tobytes() for row in frame["x"]}) == 6
    ideal = wanted(frame["x"], [(20.0, *DIRECT[1:]), ECHO])
    turn = np.exp(-1j * np.angle((ideal.conj() * frame["y"]).sum(axis=(1, 2))))
    left = np.square(np.abs(frame["y"] * turn[:, None, None] - ideal)).mean()
    assert left < (0.1 if offset else 0.004)  # of 400; 0.0025 is noise


@pytest.mark.parametrize("order", ORDERS)
def test_at_low_snr_the_receiver_errs_by_the_law(order: int) -> None:
    """Samples of the continuous signal over two paths; 100 known symbols show the channel, 100 are decided."""
    pilots, unknown = qpsk(100), data_symbols(100, order)
    x, level = np.concatenate([pilots, unknown]), math.sqrt((order - 1) / 3 * 5 / N)
    paths = [(level, 0.2, 0.0), (0.3 * level * np.exp(1.1j), *ECHO[1:])]
    y = received(x, 200, paths)
    data = DataSymbols(100, order, doubtful=0.0, memory=math.inf)  # none is good enough to learn from
    fields = items(y + noise(y.shape))
    frame, block = frames_of(OfdmReceiver(RADAR, pilots, LENGTH, timing=0, data=data), fields)
    number = np.arange(len(frame["x"]))
    sent, decided = x[number], number >= 100
    wrong = frame["x"] != sent
    assert not wrong[~decided].any()
    channel = np.array([gain * steering_vectors(np.array([theta]), RADAR)[0] * KAPPA for gain, theta, _ in paths])
    ideal = channel.T @ np.array([delays(tau) for _, _, tau in paths])
    gain = np.square(np.abs(ideal)).sum(axis=0)
    # The channel that was learned from 100 symbols has noise, too: that of both, and of their product
    p = law(gain / (1 + 1 / 100 + N / (100 * gain)), order)
    count = int(decided.sum())
    assert within(int(wrong.sum()), count * p.sum(), count * (p * (1 - p)).sum())
    assert 0.005 < p.mean() < 0.2
    assert block.decisions == count * S
    share = np.exp(-gain * data.distance**2 / 16).mean()
    assert block.doubtful / block.decisions == pytest.approx(share, rel=0.05)
    assert block.refused == count == np.count_nonzero(frame["valid"] == 0)
    left = np.square(np.abs(frame["y"] - ideal * sent[:, None, :]))
    assert left.mean() == pytest.approx(1.0, abs=0.01)  # frames are eq. (8)'s to the noise, whatever was decided


def test_what_cannot_be_trusted_is_refused_until_it_is_known_again() -> None:
    """A path that turns, another gain, the sender silent: refused, not taken for something; then the next known symbol."""
    pilot, unknown = qpsk(1), data_symbols(9, 16)
    x = np.concatenate([pilot, unknown])
    y = received(x, 80, [(20.0, *DIRECT[1:])])
    y[:, 35 * PERIOD :] *= np.exp(0.25j * np.pi)  # in the middle of a cycle, as no clock does
    y = y + noise(y.shape)
    y[3, 52 * PERIOD + 40 :] *= 4  # in the symbol 52
    y[:, 70 * PERIOD :] = noise((N, 10 * PERIOD), 9)
    fields = items(y, length=PERIOD)
    fields["gain"][53:, 3] = 12.0
    fields["changed"][52] = 1
    frame, block = frames_of(OfdmReceiver(RADAR, pilot, PERIOD, timing=0, data=DataSymbols(9, 16)), fields)
    sent, good = x[np.arange(80) % 10], frame["valid"].astype(bool)
    # 52 is of two settings, 53 to 59 have no channel; the symbol 70 is silence where a known one was expected
    refused = [*range(35, 40), *range(52, 60), *range(71, 80)]
    np.testing.assert_array_equal(np.flatnonzero(~good), refused)
    np.testing.assert_array_equal(frame["x"][good], sent[good])
    assert not frame["x"][53:60].any()
    assert (block.refused, block.decisions) == (len(refused) - 1, (8 * 9 - 8) * S)
    assert block.doubtful > 0.5 * 14 * S


def test_a_change_at_the_border_of_two_symbols_spoils_their_average() -> None:
    x = qpsk(1)
    y = received(x, 20, [DIRECT])
    fields = items(y, length=PERIOD)
    fields["gain"][6:, 1] = 3.0
    block = OfdmReceiver(RADAR, x, PERIOD, timing=0, average=4)
    np.testing.assert_array_equal(frames_of(block, fields)[0]["valid"], [1, 0, 1, 1, 1])


def test_the_detector_s_law_holds_for_symbols_of_any_energy() -> None:
    """Frames of noise, symbols of 64 points: T exceeds its threshold as often as it was asked for."""
    x = data_symbols(2000, 64)
    y = noise((2000, N, S)).astype(np.complex64)
    each = np.ones(2000)
    frame = {"y": y, "x": x, "theta_min": -0.3 * each, "theta_max": 0.2 * each, "tau_min": 0 * each, "tau_max": 5e-7 * each}
    frame |= {"time": np.arange(2000.0), "valid": np.ones(2000, np.uint8)}
    peak = jig.run(AngleDelayMap(RADAR), {"frame": frame})[0]["peak"]
    found = jig.run(MaprtDetector(RADAR, p_fa=0.1, noise="known"), {"peak": peak})[0]["detection"]
    assert within(int(found["present"].sum()), 200, 180)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"count": -1}, "count"),
        ({"count": 3, "order": 8}, "order: expected one of 4, 16, 64, 256"),
        ({"count": 3, "doubtful": math.nan}, "doubtful"),
        ({"count": 3, "memory": 0.5}, "memory"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        DataSymbols(**options)
    with pytest.raises(ValueError, match="prefixes do not tell symbols apart"):
        OfdmReceiver(RADAR, qpsk(1), LENGTH, timing="prefix", data=DataSymbols(1))
    with pytest.raises(ValueError, match="at least one that is known"):
        OfdmReceiver(RADAR, qpsk(0), LENGTH, data=DataSymbols(1))


def test_a_waveform_with_data_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    """From the file to the frames: the simulated receiver draws the symbols, ours finds them."""
    path = tmp_path / "wave.toml"
    path.write_text("antennas = 8\nsubcarriers = 32\nqpsk = 2\nprefix = 8\ndata = 6\norder = 64\nnoise_power = 1e-3\n")
    wave = read_waveform(path)
    source = SimulatedIq(wave, length=200, leakage=3.0, seed=3)
    iq, _ = jig.run(source, items=30)
    frame = jig.run(wave.receiver(tmp_path, 200), {"iq": iq["iq"]})[0]["frame"]
    assert len(frame["x"]) == 30 * 200 // 40
    for k, x in enumerate(frame["x"]):
        np.testing.assert_array_equal(x, source.sent(k))
    assert frame["valid"].all()
    assert len({x.tobytes() for x in frame["x"]}) == 2 + sum(k % 8 >= 2 for k in range(150))
