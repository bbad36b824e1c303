"""Samples that are not numbers, dead and loud antennas, interference: refused, counted, and kappa goes on without them."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
import pytest
from faults import numerics
from faults.case import Case
from faults.numerics import FRAMES, LIMIT, RADAR, Receiver, broken_frames, broken_samples, interference, on, run, stream

from isacblocks import Scene
from isacblocks.blocks import AngleDelayMap, DelayCompressor, ImpairedChannel, KappaCalibrator, OfdmSource
from isacblocks.blocks.methods import full_circle as full_circle_method
from isacblocks.blocks.soundness import sound_samples
from isacblocks.blocks.told_noise import LONGEST
from isacblocks.kernels import follow
from isacblocks.kernels.estimation import mixture_grid, mixture_sums, nothing_pending
from isacblocks.kernels.health import GOOD
from isacblocks.kernels.health import REFUSED as REFUSED_CODE
from isacblocks.kernels.samples import sample_statistics
from isacblocks.kernels.soundness import (
    BROKEN,
    BURST,
    DARK,
    LATEST,
    MARKED,
    REASONS,
    REFUSED,
    USABLE,
    judge_antennas,
    judge_frames,
)
from isacblocks.stream import jig

N, S = RADAR.antennas, RADAR.subcarriers


def judged(row: list[float]) -> tuple[list[float], list[int], int]:
    power, sound = np.array([row]), np.empty((1, len(row)), np.uint8)
    refused = judge_antennas(power, sound)
    return power[0].tolist(), sound[0].tolist(), refused


def test_antennas_are_judged_by_their_power() -> None:
    assert judged([1.0, 2.0, 29.0]) == ([1.0, 2.0, 29.0], [1, 1, 1], 0)
    assert judged([1.0, np.nan, np.inf, 0.0, 1e-40, 1e25]) == (
        [1.0, REFUSED, REFUSED, 0.0, 0.0, REFUSED],
        [1, 0, 0, 0, 0, 0],
        3,
    )
    assert judged([1.0, 1.1, 0.9, 32.0, 31.0]) == ([1.0, 1.1, 0.9, 32.0, 31.0], [1] * 5, 0)
    assert judged([1.0, 1.1, 0.9, 34.0, 1.0]) == ([1.0, 1.1, 0.9, REFUSED, 1.0], [1, 1, 1, 0, 1], 1)
    assert judged([0.01, 1.0, 1.1, 0.9, 1.2]) == ([0.01, 1.0, 1.1, 0.9, 1.2], [1] * 5, 0)  # faint is no reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e25])
def test_one_bad_sample_anywhere_is_seen(value: float) -> None:
    rng = np.random.default_rng(1)
    for part in (1.0, 1j):
        y = (rng.standard_normal((1, N, S)) + 1j * rng.standard_normal((1, N, S))).astype(np.complex64)
        n, s = rng.integers(N), rng.integers(S)
        y[0, n, s] = value * part if np.isfinite(value) else complex(*((value, 0) if part == 1 else (0, value)))
        power, largest, shared = np.empty((3, 1, N))
        sample_statistics(y.view(np.float32), power, largest, shared)
        sound = np.empty((1, N), np.uint8)
        assert judge_antennas(power, sound) == 1
        assert np.flatnonzero(sound[0] == 0).tolist() == [n]
        clean, samples, refused = sound_samples(y, np.ones(1, np.uint8))
        assert not clean[0, n].any()
        np.testing.assert_array_equal(np.delete(clean, n, 1), np.delete(y, n, 1))
        assert np.isinf(samples["antenna_power"][0, n])
        assert refused == 1
        assert sound_samples(y, np.zeros(1, np.uint8))[2] == 0  # nobody counts what was marked already


def frames_of(count: int, noise: Any = 1.0, echo: Any = 0.0) -> dict[str, Any]:
    """Arguments of judge_frames: frames with so much noise, and an echo's energy, that kappa = 1 does not focus."""
    energy = np.broadcast_to(noise, (count,)) * N * (S - 1.0)
    turned = np.exp(2j * np.pi * np.arange(N) / N)  # sums to 0
    echo = np.broadcast_to(echo, (count,))
    return {
        "valid": np.ones(count, np.uint8),
        "sector": np.zeros((4, count)),
        "energy": energy + echo,
        "symbol_energy": np.full(count, float(S)),
        "statistic": np.zeros(count),
        "snapshot": (np.sqrt(echo * S / N)[:, None] * turned).astype(np.complex64),
        "power": np.ones((count, N), np.float32),
        "kappa": np.ones(N, complex),
        "carriers": S,
        "ratio": 4.0,
        "latest": np.zeros(LATEST + 1),
    }


def judge(frames: dict[str, Any]) -> tuple[Any, Any]:
    count = frames["energy"].size
    noise, reason = np.empty(count), np.empty(count, np.uint8)
    judge_frames(**frames, noise_power=noise, reason=reason)
    return noise, reason


def test_every_reason() -> None:
    frames = frames_of(12)
    frames["valid"][0] = 0
    frames["energy"][1], frames["symbol_energy"][2], frames["symbol_energy"][3] = np.nan, 0.0, np.inf
    frames["sector"][2, 4], frames["snapshot"][5, 3], frames["statistic"][6] = np.nan, np.nan, np.inf
    frames["power"][7, : N // 2 + 1] = 0.0
    frames["power"][8, : N // 2], frames["energy"][8] = np.inf, frames["energy"][8] / 2  # half of them are left
    frames["energy"][9] = 0.0
    frames["energy"][11] *= 5.0
    reason = judge(frames)[1]
    assert reason.tolist() == [MARKED] + [BROKEN] * 6 + [DARK, USABLE, DARK, USABLE, BURST]
    assert len(REASONS) == reason.max() + 1


def test_bursts_are_told_from_steps_and_from_echoes() -> None:
    """The noise rises for 10 frames, then for good; after half of the latest frames the new level is the usual one."""
    noise = np.ones(120)
    noise[40:50] = noise[80:] = 10.0
    reason = judge(frames_of(120, noise))[1]
    assert (reason[40:50] == BURST).all()
    assert (reason[:40] == USABLE).all()
    assert (reason[50:80] == USABLE).all()
    assert (reason[80 : 80 + LATEST // 2] == BURST).all()
    assert (reason[80 + LATEST :] == USABLE).all()
    echo = np.zeros(60)
    echo[30:] = 1e6
    found, reason = judge(frames_of(60, 1.0, echo))
    assert (reason == USABLE).all()  # an echo that kappa does not focus, 60 dB above the noise
    np.testing.assert_allclose(found, 1.0, rtol=0.05)
    assert (judge(frames_of(60, noise[:60]) | {"ratio": np.inf})[1] == USABLE).all()


def test_noise_is_that_of_the_sound_antennas() -> None:
    frames = frames_of(4)
    frames["power"][:, :4] = 0.0
    frames["energy"] *= (N - 4) / N
    noise, reason = judge(frames)
    assert (reason == USABLE).all()
    np.testing.assert_allclose(noise, (N - 4) * (S - 1) / ((N - 4) * S - 1))


def test_verdicts_do_not_depend_on_the_portions() -> None:
    noise = np.random.default_rng(2).choice([1.0, 10.0], 90, p=[0.8, 0.2])
    whole = frames_of(90, noise)
    reason = judge(whole)[1]
    pieces, latest = [], np.zeros(LATEST + 1)
    for f in range(0, 90, 7):
        fields = {name: value[..., f : f + 7] for name, value in frames_of(90, noise).items() if name in ("sector",)}
        fields |= {
            name: value[f : f + 7]
            for name, value in frames_of(90, noise).items()
            if name in ("valid", "energy", "symbol_energy", "statistic", "snapshot", "power")
        }
        ordered = {name: fields.get(name, value) for name, value in whole.items()} | {"latest": latest}
        pieces.append(judge(ordered)[1])
    np.testing.assert_array_equal(np.concatenate(pieces), reason)
    np.testing.assert_array_equal(latest, whole["latest"])


def test_the_mean_noise_follows_a_step_at_once() -> None:
    noise, memory = np.array([1.0] * 50 + [100.0] * 50 + [0.01] * 50), np.zeros(2)
    grid, one = mixture_grid(), np.ones(150)
    believed = []
    for f in range(150):
        rows = one[f : f + 1]
        mixture_sums(
            np.zeros((1, N), complex), rows * S, noise[f : f + 1], rows, rows, rows, np.ones(N, complex), float(N * S),
            4000.0, 30.0, 0.5, *grid, memory, np.empty(1), nothing_pending(grid[0].size, grid[1].size),
        )  # fmt: skip
        believed.append(memory[0])
    np.testing.assert_allclose(believed, noise, rtol=0.02)


@pytest.mark.parametrize("method", ["tracker", "online", "em", "adam-max", "adam-reconstruction"])
@pytest.mark.parametrize("spoil", [broken_samples, broken_frames, interference, on(5, "nan"), on(5, "dead"), on(5, "loud")])
def test_no_method_is_poisoned(method: str, spoil: numerics.Spoil) -> None:
    """As good without what is refused as an undisturbed run of it, but for the fifth of the frames that is gone."""
    frames, truth = stream(1, FRAMES)
    clean, spoilt = Receiver(method), Receiver(method)
    run(clean, frames)
    run(spoilt, frames, spoil, 1)
    assert spoilt.numbers
    among = np.delete(np.arange(N), 5)
    assert spoilt.loss_db(truth, among) < 1.1 * clean.loss_db(truth, among) + LIMIT / 4
    assert np.concatenate(spoilt.present)[np.concatenate(spoilt.valid) == 0].sum() == 0


@pytest.mark.parametrize("told", [True, False])
def test_a_start_from_nothing_is_not_poisoned(told: bool) -> None:
    frames, truth = stream(2, FRAMES)
    receiver = Receiver(full_circle=True, told=Scene() if told else None)

    def spoil(part: numerics.Fields, rng: np.random.Generator) -> None:
        for what in (broken_samples, broken_frames, interference):
            what(part, rng)

    run(receiver, frames, spoil, 1)
    assert receiver.numbers
    assert receiver.loss_db(truth) < LIMIT


def _peaks(frames: numerics.Fields) -> dict[str, numerics.Fields]:
    """What a calibrator takes, of frames under kappa^(0)."""
    compressed = jig.run(DelayCompressor(RADAR), {"frame": frames})[0]["compressed"]
    return {"peak": jig.run(AngleDelayMap(RADAR), {"frame": frames})[0]["peak"], "compressed": compressed}


@pytest.mark.parametrize("full_circle", [False, True], ids=["start-known", "full-circle"])
@pytest.mark.parametrize("method", ["tracker", "online", "em", "adam-max", "adam-reconstruction"])
@pytest.mark.parametrize("noise", [100.0, 0.01])
def test_a_noise_that_is_told_wrong_by_20_db_teaches_what_no_word_of_it_teaches(
    noise: float, method: str, full_circle: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a bit of what is learned is different, it is said once, and every frame that contradicts is counted."""
    monkeypatch.setattr(full_circle_method, "FIRST", 64)
    frames, _ = stream(1, 128)
    inputs = _peaks(frames | {"y": frames["y"] * np.float32(np.sqrt(noise))})
    told = KappaCalibrator(RADAR, Scene(), method, batch=8, full_circle=full_circle)
    found = jig.run(told, inputs)[0]["kappa"]
    blind = jig.run(KappaCalibrator(RADAR, None, method, batch=8, full_circle=full_circle), inputs)[0]["kappa"]
    for name, values in blind.items():
        np.testing.assert_array_equal(found[name], values)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "N0 was told to be 1, but 32 frames more" in caplog.text
    assert told.noise_wrong == told.findings()["frames_noise_wrong"] == 128 - 31


@pytest.mark.parametrize("method", ["tracker", "online", "em"])
def test_a_told_noise_that_becomes_wrong_is_believed_up_to_there(method: str) -> None:
    """Frames that contradict from the 100th on wait until they are 32, and no kappa is learned from them as it was told."""
    frames, _ = stream(2, 384)
    y = frames["y"].copy()
    y[100:] *= np.float32(0.1)
    inputs = _peaks(frames | {"y": y})
    calibrator = KappaCalibrator(RADAR, Scene(), method)
    kappa = jig.run(calibrator, inputs)[0]["kappa"]
    jig.check(lambda: KappaCalibrator(RADAR, Scene(), method), inputs, middle=120)  # also restored while frames wait
    as_told = kappa["noise_power"] == 1.0
    assert kappa["frames"][as_told].max() in range(96 - calibrator.batch, 101)
    np.testing.assert_allclose(kappa["noise_power"][~as_told], 0.01, rtol=0.05)
    assert calibrator.noise_wrong == 384 - 100 - 31


def test_frames_that_contradict_now_and_then_hold_nothing_up() -> None:
    """One in three, and one of two for longer than frames wait: all are learned from as it was told, nothing is flagged."""
    frames, _ = stream(3, FRAMES)
    inputs = {"peak": _peaks(frames)["peak"]}
    noise = inputs["peak"]["noise_power"].copy()
    noise[1:200:3] /= 100
    noise[200:500:2] /= 100
    noise[200] = noise[202] / 100
    noise[203] /= 100  # one more than agree, from here on
    make = partial(KappaCalibrator, RADAR, Scene())
    outputs, _ = jig.check(make, {"peak": inputs["peak"] | {"noise_power": noise}}, middle=50)
    believed = jig.run(make(), inputs)[0]["kappa"]
    for name, values in believed.items():
        np.testing.assert_array_equal(outputs["kappa"][name], values)
    calibrator = make()
    jig.run(calibrator, {"peak": {n: a[:480] for n, a in (inputs["peak"] | {"noise_power": noise}).items()}})
    assert (calibrator.frames, calibrator.noise_wrong) == (480 - LONGEST, 0.0)


def test_what_waits_is_forgotten_where_the_receiver_is_changed() -> None:
    """It was the receiver as it was before; what contradicts goes on being counted."""
    frames, _ = stream(1, 96)
    inputs = {"peak": _peaks(frames | {"y": frames["y"] * np.float32(10.0)})["peak"]}
    changed = np.zeros((96, N), np.uint8)
    changed[20, 3] = 1
    inputs["changes"] = {"changed": changed, "gain": np.zeros((96, N), np.float32)}
    outputs, _ = jig.check(lambda: KappaCalibrator(RADAR, Scene()), inputs)
    assert outputs["kappa"]["frames"].tolist() == list(range(8, 77, 8))
    calibrator = KappaCalibrator(RADAR, Scene())
    jig.run(calibrator, inputs)
    assert (calibrator.invalid, calibrator.noise_wrong) == (20, 96 - 31)


@pytest.mark.parametrize("at", [0.0, 0.3])
@pytest.mark.parametrize("noise", [100.0, 0.01])
def test_a_noise_that_is_told_wrong_poisons_no_loop(noise: float, at: float) -> None:
    """Map, detector and calibrator, kappa fed back: as good as told nothing, and as sure of it; wrong from some frame on."""
    frames, truth = stream(3, FRAMES)
    frames = numerics.stepped(frames, noise, at)
    told, blind = Receiver(told=Scene()), Receiver()
    run(told, frames)
    run(blind, frames)
    assert told.loss_db(truth) < 1.1 * blind.loss_db(truth) + 0.001
    sigmas = [receiver.calibrator.findings()["sigma_rad"] for receiver in (told, blind)]
    assert sigmas[0] < 1.05 * sigmas[1]
    assert at or sigmas[0] > 0.95 * sigmas[1]  # after a step told nothing is less sure: it takes the step for a jump


@pytest.mark.parametrize("method", ["tracker", "online", "em", "adam-max"])
def test_antennas_whose_kappa_goes_to_zero_poison_nothing(method: str) -> None:
    """Four that hear next to nothing of the echoes, or nothing, but their own noise: the others are learned as ever."""
    truth = ImpairedChannel(RADAR, Scene(), seed=4).kappa
    truth[[1, 6, 7, 12]] *= [1e-2, 1e-4, 1e-8, 0.0]
    symbols = jig.run(OfdmSource(RADAR, seed=4), items=FRAMES)[0]["symbols"]
    channel = ImpairedChannel(RADAR, Scene(), truth, seed=4)
    frames = jig.run(channel, {"symbols": symbols})[0]["frame"]
    receiver = Receiver(method)
    run(receiver, frames)
    assert receiver.numbers
    kappa = receiver.kappas[-1][-1]
    others = np.delete(np.arange(N), [1, 6, 7, 12])
    undisturbed = Receiver(method)
    run(undisturbed, stream(4, FRAMES)[0])
    loss = undisturbed.loss_db(stream(4, FRAMES)[1])
    assert receiver.loss_db(channel.kappa, others) < 1.5 * loss + LIMIT / 4
    assert (np.abs(kappa[[1, 6, 7, 12]]) < 0.5 * np.abs(kappa[others]).min()).all() or method.startswith("adam")


def test_the_antenna_that_is_refused_is_named_and_comes_back() -> None:
    frames, truth = stream(3, FRAMES)
    half = {name: array[: FRAMES // 2] for name, array in frames.items()}
    receiver = Receiver()
    run(receiver, half, on(2, "nan"))
    assert receiver.health[-1][-1][2] == REFUSED_CODE
    assert receiver.calibrator.findings()["health"] == {"refused": [2]}
    assert abs(receiver.kappas[-1][-1][2]) < 0.3
    run(receiver, {name: array[FRAMES // 2 :] for name, array in frames.items()})
    assert not receiver.health[-1][-1].any()
    assert receiver.loss_db(truth) < LIMIT


def test_what_is_refused_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    frames, _ = stream(1, FRAMES)
    frame = {name: array[:60].copy() for name, array in frames.items()}
    frame["y"][10:14], frame["y"][20, 3, 1], frame["valid"][30] = 0.0, np.nan, 0
    frame["x"][40, 0] = np.inf
    frame["y"][50] *= 10
    with caplog.at_level(logging.WARNING):
        _, block = jig.run(AngleDelayMap(RADAR), {"frame": frame}, look=lambda block: block)
    assert block.findings() == {
        "refused": {"marked invalid": 1, "not numbers": 1, "too few antennas": 4, "interference": 1},
        "refused_antennas": 1,
    }
    assert block.invalid == 7
    assert len([r for r in caplog.records if "refused" in r.message]) == 3


def test_a_compressor_leaves_out_the_same_antennas() -> None:
    frames, _ = stream(1, FRAMES)
    frame = {name: array[:32].copy() for name, array in frames.items()}
    broken_samples(frame, np.random.default_rng(4))
    whole = jig.run(AngleDelayMap(RADAR), {"frame": frame})[0]["peak"]
    small, compressor = jig.run(DelayCompressor(RADAR), {"frame": frame}, look=lambda block: block)
    peak = jig.run(AngleDelayMap(RADAR), {"compressed": small["compressed"]})[0]["peak"]
    assert compressor.muted == np.isinf(whole["antenna_power"]).sum() > 0
    np.testing.assert_array_equal(peak["antenna_power"], whole["antenna_power"])
    np.testing.assert_array_equal(peak["valid"], whole["valid"])
    np.testing.assert_allclose(peak["noise_power"], whole["noise_power"], rtol=1e-5)


def test_a_calibrator_takes_no_peak_that_is_not_numbers() -> None:
    """From a map that does not look, or off a wire."""
    frames, _ = stream(1, FRAMES)
    peak = jig.run(AngleDelayMap(RADAR), {"frame": {name: array[:64] for name, array in frames.items()}})[0]["peak"]
    bad = {name: array.copy() for name, array in peak.items()}
    bad["snapshot"][3, 0, 2], bad["noise_power"][9], bad["symbol_energy"][17] = np.nan, 0.0, np.inf
    clean = {name: np.delete(array, [3, 9, 17], axis=0) for name, array in peak.items()}
    found, block = jig.run(KappaCalibrator(RADAR), {"peak": bad}, look=lambda block: block)
    wanted = jig.run(KappaCalibrator(RADAR), {"peak": clean})[0]
    np.testing.assert_array_equal(found["kappa"]["kappa"], wanted["kappa"]["kappa"])
    assert block.findings()["frames_not_numbers"] == 3
    assert block.invalid == 3


def test_a_map_keeps_its_kappa_where_a_word_is_not_numbers() -> None:
    frames, _ = stream(1, FRAMES)
    receiver = Receiver()
    run(receiver, {name: array[:32] for name, array in frames.items()})
    before = receiver.map.assumed.copy()
    assert receiver._word is not None
    receiver._word["kappa"] = np.full_like(receiver._word["kappa"], np.nan)
    receiver.take({name: array[32:48].copy() for name, array in frames.items()})
    assert np.isfinite(receiver.map.assumed).all()
    np.testing.assert_array_equal(receiver.map.assumed, before)


@pytest.mark.parametrize("case", numerics.CASES, ids=lambda case: case.name)
def test_the_cases_hold(case: Case) -> None:
    assert case.run(1).breaches == []


@pytest.mark.parametrize("sure", [False, True])
def test_no_antenna_is_good_where_no_echo_is_seen(sure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At -20 dB, also if the standard deviations said that the phases are known."""
    tracked = follow.follow

    def surely(*arguments: Any) -> int:
        updates = tracked(*arguments)
        arguments[-1].health[:] = GOOD
        return int(updates)

    if sure:
        monkeypatch.setattr(follow, "follow", surely)
    frames, _ = stream(41, FRAMES, -20.0)
    receiver = Receiver()
    run(receiver, frames, None, 41)
    assert receiver.numbers
    assert receiver.health[-1][-1].all()
