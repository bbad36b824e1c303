"""Raw samples to frames: timing, carrier, prefix, DFT and clutter; from the signal of eq. (1) to the frames of eq. (8)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene
from isacblocks.frontends.ofdm_receiver import OfdmReceiver
from isacblocks.frontends.ofdm_sync import find_preamble, find_prefix, waveform
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.steering import steering_vectors
from isacblocks.stream import jig

RADAR = OfdmRadar(antennas=8, subcarriers=64, cyclic_prefix=0.25)
N, S, PREFIX = 8, 64, 16
PERIOD, LENGTH = S + PREFIX, 500
KAPPA = draw_impairments("table1", N, 3)
SCENE = Scene()


def qpsk(rows: int, seed: int = 1) -> np.ndarray:
    turns = np.random.default_rng(seed).integers(0, 4, (rows, S)) / 2 + 0.25
    return np.asarray(np.exp(1j * np.pi * turns), np.complex64)


def delays(tau: float) -> np.ndarray:
    return np.asarray(np.exp(-2j * np.pi * np.arange(S) * RADAR.subcarrier_spacing * tau))


def received(
    x: np.ndarray, frames: int, paths: list[tuple[complex, float, float]], offset: float = 0.0, lead: int = 0
) -> np.ndarray:
    """Samples (N, L) of the continuous signal of eq. (1), symbol after symbol, over paths (gamma, theta, tau), no noise.

    offset: of the carrier, subcarriers; lead: samples before the first symbol. A delay is a fraction of a sample too: every
    symbol's wave is evaluated where it is sampled, and the symbol before it where its end is still arriving.
    """
    rate = S * RADAR.subcarrier_spacing
    time = np.arange(frames * PERIOD) / rate
    out = np.zeros((N, lead + time.size), complex)
    tones = 2j * np.pi * np.arange(S) * RADAR.subcarrier_spacing
    for gamma, theta, tau in paths:
        # the symbol that is arriving, and the time since the end of its prefix
        late = time - tau + 1e-15
        number = np.floor(late * rate / PERIOD + 1e-9).astype(int)
        since = late - (number * PERIOD + PREFIX) / rate
        wave = np.zeros(time.size, complex)
        for k in range(frames):
            now = number == k
            wave[now] = np.exp(since[now, None] * tones) @ x[k % len(x)] / math.sqrt(S)
        a = steering_vectors(np.array([theta]), RADAR)[0]
        out[:, lead:] += gamma * np.outer(KAPPA * a, wave)
    return np.asarray(out * np.exp(2j * np.pi * offset / S * np.arange(out.shape[1])))


def items(y: np.ndarray, length: int = LENGTH, **changes: Any) -> dict[str, np.ndarray]:
    count = y.shape[1] // length
    cut = y[:, : count * length].reshape(N, count, length).swapaxes(0, 1)
    fields: dict[str, np.ndarray] = {
        "iq": np.ascontiguousarray(cut, np.complex64),
        "start": np.arange(count, dtype=np.uint64) * np.uint64(length),
        "gap": np.zeros(count, np.uint8),
        "lost": np.zeros(count, np.uint64),
        "changed": np.zeros(count, np.uint8),
        "seconds": np.zeros(count, np.int64),
        "fraction": np.full(count, np.nan),
        "rate": np.full(count, S * RADAR.subcarrier_spacing),
        "frequency": np.full(count, 60e9),
        "gain": np.zeros((count, N), np.float32),
    }
    return fields | changes


def noise(shape: tuple[int, ...], seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / math.sqrt(2)


def frames_of(block: OfdmReceiver, fields: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Any]:
    outputs, end = jig.run(block, {"iq": fields}, look=lambda block: block)
    return outputs.get("frame", {}), end


def wanted(x: np.ndarray, paths: list[tuple[complex, float, float]]) -> np.ndarray:
    """Eq. (8) without noise, (F, N, S)."""
    a = [gamma * KAPPA * steering_vectors(np.array([theta]), RADAR)[0] for gamma, theta, _ in paths]
    return np.asarray(sum(a_p[None, :, None] * (x * delays(p[2]))[:, None, :] for a_p, p in zip(a, paths, strict=True)))


DIRECT, ECHO = (8.0 + 0j, 0.2, 0.0), (0.7 * np.exp(1.1j), -0.4, 3.3 / (S * 240e3))


def test_frames_are_those_of_the_equation_where_the_trigger_is_shared() -> None:
    x = qpsk(5)
    y = received(x, 30, [DIRECT, ECHO], lead=37)
    frame, _ = frames_of(OfdmReceiver(RADAR, x, LENGTH, timing=37), items(y))
    count = len(frame["y"])
    assert count == (y.shape[1] // LENGTH * LENGTH - 37) // PERIOD
    sent = x[np.arange(count) % 5]
    np.testing.assert_array_equal(frame["x"], sent)
    np.testing.assert_allclose(frame["y"], wanted(sent, [DIRECT, ECHO]), atol=2e-5)
    assert frame["valid"].all()


@pytest.mark.parametrize("offset", [0.0, 0.13, -0.41])
@pytest.mark.parametrize("timing", ["preamble", "prefix"])
def test_start_and_carrier_are_found_in_noise(timing: str, offset: float) -> None:
    """To the noise: what is left beside eq. (8), but for a common phase, has its power."""
    x = qpsk(5 if timing == "preamble" else 1)
    y = received(x, 120, [DIRECT, ECHO], offset, lead=23)
    frame, block = frames_of(OfdmReceiver(RADAR, x, LENGTH, timing=timing), items(y + noise(y.shape)))
    first = int(np.flatnonzero(np.abs(frame["x"] - x[0]).max(axis=1) == 0)[0])
    assert block.offset_hz == pytest.approx(offset * RADAR.subcarrier_spacing, abs=0.004 * RADAR.subcarrier_spacing)
    ideal = wanted(frame["x"], [DIRECT, ECHO])
    turn = np.exp(-1j * np.angle((ideal.conj() * frame["y"]).sum(axis=(1, 2))))
    left = frame["y"] * turn[:, None, None] - ideal
    assert np.square(np.abs(left)).mean() == pytest.approx(1.0, abs=0.06)
    assert first < 5
    assert np.abs(np.diff(np.unwrap(np.angle(turn)))).max() < 0.2  # the phase goes on from frame to frame
    assert frame["valid"].all()


def test_portions_do_not_matter() -> None:
    x = qpsk(3)
    y = received(x, 60, [DIRECT, ECHO], 0.2, lead=11)
    fields = items(y + noise(y.shape))
    jig.check(lambda: OfdmReceiver(RADAR, x, LENGTH, clutter=20.0), {"iq": fields})


def test_noise_alone_has_no_start(caplog: pytest.LogCaptureFixture) -> None:
    x = qpsk(3)
    for timing, symbols in (("preamble", x), ("prefix", x[:1])):
        for seed in range(8):
            fields = items(noise((N, 6000), seed))
            frame, block = frames_of(OfdmReceiver(RADAR, symbols, LENGTH, timing=timing), fields)
            assert not frame
            assert block.searching == 1
            assert "no symbol begins in the samples up to number" in caplog.text
            assert "4 searches), and nothing is sensed: is this what is sent" in caplog.text
            caplog.clear()
    assert find_preamble(noise((N, 10)).astype(np.complex64), waveform(x[0], np.arange(S), S, PREFIX)) is None
    assert find_prefix(noise((N, 60)).astype(np.complex64), S, PREFIX) is None


def test_static_clutter_goes_and_the_echo_stays() -> None:
    """Leakage 40 dB above an echo that turns from frame to frame, under a carrier offset."""
    x, rng = qpsk(4), np.random.default_rng(8)
    turns = np.exp(2j * np.pi * rng.random(160))
    still = received(x, 160, [DIRECT], 0.0)
    echo = received(x, 160, [(0.08, *ECHO[1:])], 0.0) * np.repeat(turns, PERIOD)[None, :]
    y = (still + echo) * np.exp(2j * np.pi * 0.2 / S * np.arange(160 * PERIOD))
    frame, _ = frames_of(OfdmReceiver(RADAR, x, LENGTH, clutter=64.0), items(y))
    valid = frame["valid"] != 0
    assert np.flatnonzero(valid)[0] == 8
    assert valid[8:].all()
    late = frame["y"][60:]
    want = wanted(frame["x"][60:], [(0.08, *ECHO[1:])])
    match = np.abs((want.conj() * late).sum(axis=(1, 2))) / np.square(np.abs(want)).sum(axis=(1, 2))
    assert np.median(match) == pytest.approx(1.0, abs=0.1)
    assert np.square(np.abs(late)).mean() < 2 * np.square(np.abs(want)).mean()


def test_gaps_retunes_and_gains() -> None:
    x = qpsk(3)
    y = received(x, 120, [DIRECT, ECHO], 0.1, lead=5)
    y = y + 0.1 * noise(y.shape)
    fields = items(y)
    gain = fields["gain"].copy()
    gain[9:, 2] = 6.0  # at the border of two items
    fields["changed"][4] = 1
    frame, _ = frames_of(OfdmReceiver(RADAR, x, LENGTH), fields | {"gain": gain})
    starts = 5 + PERIOD * np.arange(len(frame["valid"])) + PREFIX
    mixed = (starts + S > 4 * LENGTH) & (starts < 5 * LENGTH)
    mixed |= (starts < 9 * LENGTH) & (starts + S > 9 * LENGTH)
    np.testing.assert_array_equal(frame["valid"] == 0, mixed)
    assert not frame["y"][mixed].any()
    lost = {name: np.delete(array, [7, 8], axis=0) for name, array in fields.items()}
    for name, value in (("gap", 1), ("frequency", 61e9)):
        cut = {key: array.copy() for key, array in lost.items()}
        cut["changed"][:] = 0
        cut[name][7:] = value if name == "frequency" else cut[name][7:]
        if name == "gap":
            cut[name][7] = value
        frame, _ = frames_of(OfdmReceiver(RADAR, x, LENGTH), cut)
        ideal = wanted(frame["x"], [DIRECT, ECHO])
        turn = np.exp(-1j * np.angle((ideal.conj() * frame["y"]).sum(axis=(1, 2))))
        left = np.square(np.abs(frame["y"] * turn[:, None, None] - ideal)).mean(axis=(1, 2))
        assert frame["valid"].all()
        assert left.max() < 0.1  # no frame was put together over the gap


def test_samples_of_another_rate_are_no_symbols(caplog: pytest.LogCaptureFixture) -> None:
    """They are left out, said and counted, nothing goes on over them; rates a little off, or untold, are taken."""
    x = qpsk(5)
    y = received(x, 60, [DIRECT, ECHO], lead=7)
    rate = np.full(y.shape[1] // LENGTH, S * RADAR.subcarrier_spacing)
    rate[1:4] *= 1.0005
    rate[4:6] = np.nan
    away = slice(len(rate) // 2, len(rate) // 2 + 3)
    rate[away] = 1e6
    plain, _ = frames_of(OfdmReceiver(RADAR, x, LENGTH, timing=7), items(y))
    frame, block = frames_of(OfdmReceiver(RADAR, x, LENGTH, timing=7), items(y, rate=rate))
    assert (int(block.wrong), block.reading_values["wrong_rate"]) == (3, 3)
    lines = [line.getMessage() for line in caplog.records]
    assert len(lines) == 2  # of the first and the second
    assert f"samples come at 1000000 Hz, the symbols have {S * RADAR.subcarrier_spacing:.9g}" in lines[0]
    begin, end = away.start * LENGTH, away.stop * LENGTH
    firsts = 7 + PERIOD * np.arange(len(plain["y"]))
    kept = (firsts + PERIOD <= begin) | (firsts >= end)
    np.testing.assert_array_equal(frame["x"], plain["x"][kept])
    np.testing.assert_allclose(frame["y"], plain["y"][kept], atol=2e-5)


def test_samples_that_are_not_numbers_are_their_channel_s_own_affair() -> None:
    """One channel that never sends a number, another for a while: the others' frames are as they would have been."""
    x = qpsk(3)
    y = received(x, 120, [DIRECT, ECHO], 0.1, lead=5) + 0.1 * noise((N, 5 + 120 * PERIOD))
    y[6] = 0
    whole, _ = frames_of(OfdmReceiver(RADAR, x, LENGTH, clutter=16.0), items(y))
    y[6] = np.nan
    y[2, 50 * PERIOD : 60 * PERIOD + 9] = np.inf + 1j * np.nan
    frame, block = frames_of(OfdmReceiver(RADAR, x, LENGTH, clutter=16.0), items(y))
    np.testing.assert_array_equal(frame["valid"], whole["valid"])
    assert np.isnan(frame["y"][:, 6]).all()
    broken = np.isnan(frame["y"][:, 2]).all(axis=1)
    assert 10 <= broken.sum() <= 12
    others = np.delete(np.arange(N), [2, 6])
    before, behind = np.flatnonzero(broken)[[0, -1]]
    np.testing.assert_allclose(frame["y"][:before, [*others, 2]], whole["y"][:before, [*others, 2]], atol=1e-4)
    left = np.square(np.abs(frame["y"][behind + 1 :, [*others, 2]] - whole["y"][behind + 1 :, [*others, 2]])).mean()
    assert left < 0.02  # noise is 0.01: the carrier was estimated from fewer channels for a while
    assert np.isfinite(block.offset_hz)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"symbols": qpsk(2)[:, :5]}, "symbols"),
        ({"bins": np.zeros(S)}, "bins"),
        ({"prefix": 0}, "prefix"),
        ({"timing": "luck"}, "timing"),
        ({"timing": "prefix"}, "prefixes do not tell symbols apart"),
        ({"noise_power": math.nan}, "noise_power"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], word: str) -> None:
    given: dict[str, Any] = {"symbols": qpsk(2), "length": LENGTH} | options
    with pytest.raises(ValueError, match=word):
        OfdmReceiver(RADAR, **given)


def test_subcarriers_on_other_bins_of_a_larger_transform() -> None:
    """64 of 128 bins, around 0: frames of the same equation, at twice the rate."""
    x, bins, size, prefix = qpsk(2), np.arange(-32, 32), 128, 32
    waves = np.concatenate([waveform(row, bins % size, size, prefix) for row in x] * 10)
    y = np.outer(KAPPA, waves)
    block = OfdmReceiver(RADAR, x, LENGTH, size=size, bins=bins, prefix=prefix)
    frame, _ = frames_of(block, items(y, rate=np.full(y.shape[1] // LENGTH, size * RADAR.subcarrier_spacing)))
    assert len(frame["y"]) >= 15
    turn = frame["y"] / (KAPPA[:, None] * frame["x"][:, None, :])
    np.testing.assert_allclose(turn, 1.0, atol=1e-4)


def test_the_average_of_symbols_is_one_frame_with_their_energy() -> None:
    """64 channels; symbols of any modulus: y is h X to the noise, which is 1 still, and X^2 the energy of the symbols."""
    radar = OfdmRadar(antennas=64, subcarriers=64, cyclic_prefix=0.25)
    rng = np.random.default_rng(4)
    x = (qpsk(3) * rng.choice([0.5, 1.0, 1.5], (3, S))).astype(np.complex64)
    kappa = draw_impairments("table1", 64, 3)
    a = kappa * steering_vectors(np.array([-0.4]), radar)[0]
    waves = [waveform(row * delays(ECHO[2]), np.arange(S), S, PREFIX) for row in x]
    wave = np.concatenate([waves[k % 3] for k in range(48)])
    y = np.outer(a, wave) + noise((64, wave.size))
    one = {name: array for name, array in items(y[:N]).items() if name not in ("iq", "gain")}
    count = len(one["start"])
    one["iq"] = np.ascontiguousarray(y[:, : count * LENGTH].reshape(64, count, LENGTH).swapaxes(0, 1), np.complex64)
    one["gain"] = np.zeros((count, 64), np.float32)
    one["gain"][3:, 7] = 2.0  # in the symbol 18, of the frame 3
    outputs, _ = jig.check(lambda: OfdmReceiver(radar, x, LENGTH, timing=0, average=6), {"iq": one}, middle=2)
    frame, told = outputs["frame"], outputs["changes"]
    assert len(frame["y"]) == count * LENGTH // PERIOD // 6
    energy = 2 * np.square(np.abs(x)).sum(axis=0)
    np.testing.assert_allclose(frame["x"], np.tile(np.sqrt(energy), (len(frame["x"]), 1)), rtol=1e-6)
    valid = frame["valid"] != 0
    assert np.flatnonzero(~valid).tolist() == np.flatnonzero(told["changed"].any(axis=1)).tolist() == [3]
    assert told["gain"][3, 7] == 2.0
    left = frame["y"] - a[:, None] * (delays(ECHO[2]) * np.sqrt(energy))
    assert np.square(np.abs(left[valid])).mean() == pytest.approx(1.0, abs=0.02)
