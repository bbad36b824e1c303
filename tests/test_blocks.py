"""Every block in the jig: whole, item by item, restored midway, all the same bits; and what each of them promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene, detection_threshold, find_peak, kappa_error
from isacblocks.blocks import (
    AngleDelayMap,
    DelayCompressor,
    ImpairedChannel,
    KappaCalibrator,
    MaprtDetector,
    OfdmSource,
    PhaseStep,
    Probe,
)
from isacblocks.blocks import angle_delay_map as angle_delay_map_block
from isacblocks.blocks.methods import full_circle
from isacblocks.blocks.methods.choice import METHODS
from isacblocks.blocks.records import COMPRESSED, DETECTION, FRAME, KAPPA, PEAK, SYMBOL, TRUTH
from isacblocks.kernels.adam import Adam
from isacblocks.kernels.delay_basis import Compressed
from isacblocks.kernels.expectation import em_step
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.losses import max_gradient
from isacblocks.stream import Flowgraph, WiringError, jig
from isacblocks.stream.spec import ANY
from isacblocks.study.evaluation import Evaluation, is_round

RADAR, SCENE = OfdmRadar(antennas=8, subcarriers=32), Scene()
GRID: dict[str, Any] = {"n_theta": 20, "n_tau": 20}
Fields = dict[str, Any]


@pytest.fixture(scope="module")
def streams() -> dict[str, Fields]:
    """One run through the chain, port by port: symbols, frames, truth, peaks, detections, kappas."""
    symbols = jig.run(OfdmSource(RADAR, seed=3), items=60)[0]["symbols"]
    channel = jig.run(ImpairedChannel(RADAR, SCENE, seed=3), {"symbols": symbols})[0]
    peak = jig.run(AngleDelayMap(RADAR, **GRID), {"frame": channel["frame"]})[0]["peak"]
    detection = jig.run(MaprtDetector(RADAR, SCENE, **GRID), {"peak": peak})[0]["detection"]
    kappa = jig.run(KappaCalibrator(RADAR, SCENE), {"peak": peak})[0]["kappa"]
    return {"symbols": symbols, **channel, "peak": peak, "detection": detection, "kappa": kappa}


def test_the_records_say_what_they_are() -> None:
    for record in (SYMBOL, FRAME, TRUTH, PEAK, DETECTION, KAPPA):
        assert len({f.name for f in record.fields}) == len(record.fields)
        assert record.name
    assert {f.name for f in PEAK.fields} < {f.name for f in DETECTION.fields}


def test_no_receiver_block_takes_the_truth() -> None:
    """What a receiver could not know is in the record TRUTH alone, and only the judge has a port for it."""
    secret = {"present", "gamma", "kappa"} & {f.name for f in TRUTH.fields}
    for block in (AngleDelayMap, MaprtDetector, KappaCalibrator):
        for port in block.inputs().values():
            assert port.record not in (TRUTH, ANY)
    assert not secret & {f.name for f in PEAK.fields}
    assert not secret & {f.name for f in FRAME.fields}
    assert Evaluation.inputs()["truth"].record is TRUTH


# In the jig


def test_source(streams: dict[str, Fields]) -> None:
    outputs, _ = jig.check(lambda: OfdmSource(RADAR, seed=3), items=60)
    np.testing.assert_array_equal(outputs["symbols"]["x"], streams["symbols"]["x"])
    with pytest.raises(ValueError, match="order"):
        OfdmSource(RADAR, order=5)
    with pytest.raises(ValueError, match="seed"):
        OfdmSource(RADAR, seed=-1)


STEPS = (PhaseStep(20, (1, 5), 90.0), PhaseStep(40, (1,), -45.0))


@pytest.mark.parametrize(
    "options",
    [{}, {"drift": 3.0}, {"steps": STEPS}, {"drift": 1.0, "steps": STEPS, "impairments": "published", "noise_power": 2.5}],
    ids=["static", "drift", "steps", "all"],
)
def test_channel(streams: dict[str, Fields], options: dict[str, Any]) -> None:
    jig.check(lambda: ImpairedChannel(RADAR, SCENE, seed=3, **options), {"symbols": streams["symbols"]})


@pytest.mark.parametrize("refine", [False, True])
def test_map(streams: dict[str, Fields], refine: bool) -> None:
    outputs, _ = jig.check(lambda: AngleDelayMap(RADAR, refine=refine, **GRID), {"frame": streams["frame"]})
    peak, frame = outputs["peak"], streams["frame"]
    theta = np.stack([np.linspace(a, b, 20) for a, b in zip(frame["theta_min"], frame["theta_max"], strict=True)])
    tau = np.linspace(frame["tau_min"][0], frame["tau_max"][0], 20)
    found = find_peak(frame["y"], frame["x"], np.ones(8), theta, tau, RADAR, refine=refine)
    np.testing.assert_allclose(peak["statistic"][:, 0], found.statistic, rtol=1e-9)
    np.testing.assert_allclose(peak["theta"][:, 0], found.theta, atol=1e-12)
    np.testing.assert_allclose(peak["snapshot"][:, 0], found.snapshot, atol=1e-3)
    best = outputs["map"]["map"].reshape(60, -1).max(axis=1)
    if not refine:
        np.testing.assert_allclose(best, found.statistic, rtol=1e-5)
    assert peak["valid"].all()
    # what is left of a frame beside its peak is noise of power one
    assert peak["noise_power"].mean() == pytest.approx(1.0, abs=4 / math.sqrt(60 * 8 * 32))


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("port", ["frame", "compressed"])
def test_frames_of_other_windows_stand_alone(streams: dict[str, Fields], port: str, refine: bool) -> None:
    """They take the literal sums, those of the block's own window the fast ones, whatever stands beside them."""
    frame = streams["frame"]
    if port == "compressed":
        frame = jig.run(DelayCompressor(RADAR, SCENE), {"frame": frame})[0]["compressed"]
    low, high = SCENE.delay_window(RADAR)
    mixed = {name: array.copy() for name, array in frame.items()}
    other = np.arange(60) % 5 < 2
    mixed["tau_min"][other], mixed["tau_max"][other] = low + 0.1 * (high - low), high
    mixed["tau_max"][other & (np.arange(60) > 30)] = low + 0.7 * (high - low)

    def make() -> AngleDelayMap:
        return AngleDelayMap(RADAR, refine=refine, scene=SCENE, **GRID)

    found = jig.check(make, {port: mixed})[0]
    plain = jig.run(make(), {port: frame})[0]
    for name in ("statistic", "theta", "tau", "snapshot", "correlation", "energy", "noise_power"):
        np.testing.assert_array_equal(found["peak"][name][~other], plain["peak"][name][~other])
    np.testing.assert_array_equal(found["map"]["map"][~other], plain["map"]["map"][~other])
    tau = np.linspace(mixed["tau_min"], mixed["tau_max"], 20, axis=1)
    theta = np.linspace(mixed["theta_min"], mixed["theta_max"], 20, axis=1)
    exact = find_peak(streams["frame"]["y"].astype(complex), streams["frame"]["x"], np.ones(8), theta, tau, RADAR, refine)
    np.testing.assert_allclose(found["peak"]["statistic"][:, 0], exact.statistic, rtol=3e-6)
    np.testing.assert_allclose(found["peak"]["tau"][:, 0], exact.tau, atol=1e-12)


def test_which_frames_take_the_fast_search(streams: dict[str, Fields], monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"search": 0, "search_literally": 0}
    for name in counts:
        original = getattr(angle_delay_map_block, name)

        def counted(frames: Any, *rest: Any, _name: str = name, _original: Any = original) -> Any:
            counts[_name] += len(frames)
            return _original(frames, *rest)

        monkeypatch.setattr(angle_delay_map_block, name, counted)
    window = SCENE.delay_window(RADAR)
    other = window[0], 0.9 * window[1]
    for block, expected in (
        (AngleDelayMap(RADAR, scene=SCENE, **GRID), (60, 0)),
        (AngleDelayMap(RADAR, window=window, **GRID), (60, 0)),
        (AngleDelayMap(RADAR, window=other, **GRID), (0, 60)),
    ):
        counts.update(search=0, search_literally=0)
        jig.run(block, {"frame": streams["frame"]})
        assert (counts["search"], counts["search_literally"]) == expected
    for bad in ((1e-7, 1e-7), (2e-7, 1e-7), (0.0, math.nan)):
        with pytest.raises(ValueError, match="window"):
            AngleDelayMap(RADAR, window=bad)


def test_detector(streams: dict[str, Fields]) -> None:
    outputs, _ = jig.check(lambda: MaprtDetector(RADAR, SCENE, p_fa=1e-2, **GRID), {"peak": streams["peak"]})
    found, frame = outputs["detection"], streams["frame"]
    theta = np.stack([frame["theta_min"], frame["theta_max"]], axis=1)
    grid = theta[:, :1] + (theta[:, 1:] - theta[:, :1]) * np.linspace(0, 1, 20)
    tau = np.linspace(frame["tau_min"][0], frame["tau_max"][0], 20)
    np.testing.assert_allclose(found["threshold"], detection_threshold(1e-2, RADAR, grid, tau), rtol=1e-9)
    level = streams["peak"]["statistic"][:, 0] / (8 * 32)
    np.testing.assert_allclose(found["level"][:, 0], level, rtol=1e-5)
    np.testing.assert_array_equal(found["present"][:, 0], found["level"][:, 0] >= found["threshold"])
    assert ((found["probability"] >= 0) & (found["probability"] <= 1)).all()
    strong = found["level"][:, 0] > 40
    assert (found["probability"][strong, 0] > 0.999).all()
    distance = 299_792_458.0 * streams["peak"]["tau"][:, 0] / 2
    np.testing.assert_allclose(np.hypot(*found["position"][:, 0].T), distance)
    np.testing.assert_allclose(found["range"][:, 0], distance)
    expected = streams["peak"]["correlation"][:, 0] / (8 * streams["peak"]["symbol_energy"] + 8 * 32 / SCENE.snr)
    np.testing.assert_allclose(found["gain"][:, 0], expected)


def test_detector_with_estimated_noise(streams: dict[str, Fields]) -> None:
    """The same decisions, probabilities and gains whatever the noise, from the noise of every frame and its threshold."""
    made = [MaprtDetector(RADAR, SCENE, noise="estimated", **GRID) for _ in range(2)]
    outputs, _ = jig.check(lambda: MaprtDetector(RADAR, SCENE, noise="estimated", **GRID), {"peak": streams["peak"]})
    found, peak = outputs["detection"], streams["peak"]
    np.testing.assert_allclose(
        found["level"][:, 0], peak["statistic"][:, 0] / (8 * peak["symbol_energy"] * peak["noise_power"]), rtol=1e-12
    )
    theta = np.stack([np.linspace(a, b, 20) for a, b in zip(peak["theta_min"], peak["theta_max"], strict=True)])
    tau = np.linspace(peak["tau_min"][0], peak["tau_max"][0], 20)
    expected = detection_threshold(1e-2, RADAR, theta, tau, noise_samples=8 * 32 - 1)
    np.testing.assert_allclose(found["threshold"], expected, rtol=1e-9)
    np.testing.assert_array_equal(found["present"][:, 0], found["level"][:, 0] >= found["threshold"])
    louder = dict(streams["frame"], y=streams["frame"]["y"] * np.float32(1024))
    quiet, loud = (
        jig.run(block, {"peak": jig.run(AngleDelayMap(RADAR, **GRID), {"frame": frame})[0]["peak"]})[0]["detection"]
        for block, frame in zip(made, (streams["frame"], louder), strict=True)
    )
    for name in ("present", "level", "threshold", "probability"):
        np.testing.assert_array_equal(loud[name], quiet[name])
    np.testing.assert_allclose(loud["gain"], 1024 * quiet["gain"])
    assert 0 < quiet["present"].sum() < 60
    with pytest.raises(ValueError, match="noise: expected one of known, estimated, got 'guessed'"):
        MaprtDetector(RADAR, SCENE, noise="guessed")


def test_estimated_noise_of_frames_without_any() -> None:
    """A silent frame holds no target; an echo without noise is one, and its level is finite."""
    x = np.ones((2, 32), np.complex64)
    y = np.zeros((2, 8, 32), np.complex64)
    y[1] = 1.0  # angle 0, delay 0
    frame = {
        "y": y,
        "x": x,
        "theta_min": np.full(2, -0.2),
        "theta_max": np.full(2, 0.2),
        "tau_min": np.zeros(2),
        "tau_max": np.full(2, 1e-6),
        "time": np.zeros(2),
        "valid": np.ones(2, np.uint8),
    }
    peak = jig.run(AngleDelayMap(RADAR, 21, 20), {"frame": frame})[0]["peak"]
    found = jig.run(MaprtDetector(RADAR, SCENE, noise="estimated", n_theta=21, n_tau=20), {"peak": peak})[0]["detection"]
    assert found["present"][:, 0].tolist() == [0, 1]
    assert found["probability"][:, 0].tolist() == [pytest.approx(0.1, abs=0.1), 1.0]
    for name, array in found.items():
        assert np.isfinite(array).all(), name


def test_detector_believes_the_calibrator(streams: dict[str, Fields]) -> None:
    """SNR and P(t = 1) that come back change gain and probability, never the decision."""
    kappa = {name: array[:1].repeat(60, 0) for name, array in streams["kappa"].items()}
    kappa |= {"snr": np.full(60, 3.0), "target_probability": np.full(60, 0.1)}
    peak = streams["peak"]
    told = jig.run(MaprtDetector(RADAR, Scene(snr_db=3, target_probability=0.1), **GRID), {"peak": peak})[0]["detection"]
    heard = jig.run(MaprtDetector(RADAR, SCENE, **GRID), {"peak": peak, "kappa": kappa})[0]["detection"]
    for name in heard:
        np.testing.assert_allclose(heard[name], told[name], rtol=1e-12)
    assert (heard["probability"] != streams["detection"]["probability"]).any()


@pytest.mark.parametrize("told", [True, False], ids=["told", "blind"])
@pytest.mark.parametrize("method", METHODS)
def test_calibrator(streams: dict[str, Fields], method: str, told: bool) -> None:
    compressed = jig.run(DelayCompressor(RADAR, SCENE), {"frame": streams["frame"]})[0]["compressed"]
    inputs = {"peak": streams["peak"], "compressed": compressed}
    scene = SCENE if told else None
    outputs, _ = jig.check(lambda: KappaCalibrator(RADAR, scene, method, batch=5, window=SCENE), inputs)
    kappa = outputs["kappa"]
    np.testing.assert_array_equal(kappa["frames"], np.arange(5, 61, 5))
    np.testing.assert_allclose(np.square(np.abs(kappa["kappa"])).sum(axis=1), 8)
    descends = method.startswith("adam")
    assert np.isnan(kappa["loss"]).all() == (not descends)
    assert np.isfinite(kappa["sigma"]).all() == (not descends)
    assert (kappa["snr"] == SCENE.snr_db).all() == told


def test_calibrator_from_nothing(monkeypatch: pytest.MonkeyPatch, streams: dict[str, Fields]) -> None:
    """The same bits however the frames come, also over the handover; before it nothing is claimed to be known."""
    monkeypatch.setattr(full_circle, "FIRST", 24)
    monkeypatch.setattr(full_circle, "MOST", 48)
    compressed = jig.run(DelayCompressor(RADAR, SCENE), {"frame": streams["frame"]})[0]["compressed"]
    inputs = {"peak": streams["peak"], "compressed": compressed}
    outputs, _ = jig.check(lambda: KappaCalibrator(RADAR, batch=4, full_circle=True, window=SCENE), inputs)
    kappa = outputs["kappa"]
    before = kappa["frames"] < 24
    assert np.isnan(kappa["acceptance"][before]).all()
    assert (kappa["sigma"][before] > 1.8).all()
    assert np.isfinite(kappa["acceptance"][~before]).all()


def test_a_start_that_does_not_stand_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak echoes and few frames: no kappa is put forward, and the figures say so, over more than one attempt."""
    monkeypatch.setattr(full_circle, "FIRST", 16)
    monkeypatch.setattr(full_circle, "MOST", 32)
    scene = Scene(snr_db=-5)
    symbols = jig.run(OfdmSource(RADAR, seed=3), items=80)[0]["symbols"]
    channel = jig.run(ImpairedChannel(RADAR, scene, "full-circle", seed=3), {"symbols": symbols})[0]
    peak = jig.run(AngleDelayMap(RADAR, **GRID), {"frame": channel["frame"]})[0]["peak"]
    compressed = jig.run(DelayCompressor(RADAR), {"frame": channel["frame"]})[0]["compressed"]
    inputs = {"peak": peak, "compressed": compressed}
    outputs, _ = jig.check(lambda: KappaCalibrator(RADAR, batch=8, full_circle=True), inputs)
    kappa = outputs["kappa"]
    np.testing.assert_array_equal(kappa["kappa"], 1)
    assert (kappa["sigma"] > 1.8).all()
    assert (kappa["acceptance"][kappa["frames"] >= 16] < 7).all()


def test_a_start_from_nothing_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strong echoes: all phases, the common and the linear one aside, and a deviation that says how well."""
    monkeypatch.setattr(full_circle, "FIRST", 64)
    radar, scene = OfdmRadar(antennas=16, subcarriers=64), Scene(snr_db=20)
    source, channel = OfdmSource(radar, seed=5), ImpairedChannel(radar, scene, "full-circle", seed=5)
    compressor, image = DelayCompressor(radar), AngleDelayMap(radar, 40, 40)
    calibrator = KappaCalibrator(radar, full_circle=True, n_theta=40, n_tau=40)
    fg = Flowgraph("start")
    fg.connect(source, channel, compressor, image.compressed)
    fg.connect(compressor, calibrator.compressed)
    fg.connect(image, calibrator, Probe(1))
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    fg.run(600)
    assert kappa_error(calibrator.estimate, channel.kappa, radar).loss_db < 0.05
    assert calibrator.learned["started"] == 64
    assert calibrator.calibration().sigma_rad is not None


def test_calibrator_needs_frames_for_some_methods(streams: dict[str, Fields]) -> None:
    cases: list[dict[str, Any]] = [{"method": "em"}, {"full_circle": True}]
    for options in cases:
        with pytest.raises(WiringError, match="needs compressed frames; connect a DelayCompressor"):
            jig.run(KappaCalibrator(RADAR, **options), {"peak": streams["peak"]})


def test_em_takes_the_whole_map_and_keeps_no_frames(streams: dict[str, Fields]) -> None:
    """Its first update is one EM step on the frames of that update, which are let go then."""
    inputs = {"peak": streams["peak"], "compressed": streams["compressed"]}
    block = KappaCalibrator(RADAR, SCENE, "em", batch=8, confidence=0.0, slope=False, shrink=False)
    made, seen = jig.run(block, inputs, look=lambda block: block)
    assert seen.learned["buffer"]["g"].shape[0] == len(streams["peak"]["valid"]) % 8
    peak, first = streams["peak"], slice(0, 8)
    assert peak["valid"][first].all()
    g, energy = streams["compressed"]["g"][first], streams["compressed"]["energy"][first]
    symbols = streams["compressed"]["symbol_energy"][first]
    theta = peak["theta_min"][first, None] + (peak["theta_max"] - peak["theta_min"])[first, None] * np.linspace(0, 1, 100)
    low, high = seen.basis.window
    tau = np.linspace(low, high, 100)[None]
    kappa = np.ones(RADAR.antennas, np.complex128)
    step = em_step(Compressed(g, energy, symbols), seen.basis, kappa, theta, tau, SCENE.snr, SCENE.target_probability)
    wanted: Any = retract(step.direction(kappa))
    np.testing.assert_allclose(made["kappa"]["kappa"][0], wanted, rtol=1e-5)


def test_no_truth_reaches_the_receiver() -> None:
    """By construction: what only a simulation knows is on one port, which none of the receiver's blocks can take."""
    known = {field.name for record in (PEAK, DETECTION, COMPRESSED, FRAME) for field in record.fields}
    assert not known & {"gamma", "kappa"}  # `present` of a detection is the detector's word
    for block in (DelayCompressor, AngleDelayMap, MaprtDetector, KappaCalibrator):
        assert TRUTH not in {port.record for port in block.inputs().values()}
    made = KappaCalibrator(RADAR)
    assert made.surroundings.told is None


def test_evaluation(streams: dict[str, Fields]) -> None:
    """Its history is made of the updates at round numbers and so does not depend on the messages; `last` may."""

    def look(block: Any) -> dict[str, Any]:
        return {"counts": block.counts, "stored": block.stored, "frames": block.frames, "errors": block.errors[:60]}

    inputs = {"detection": streams["detection"], "truth": streams["truth"]}
    _, seen = jig.check(lambda: Evaluation(RADAR), inputs, look=look)
    present = streams["truth"]["present"] != 0
    assert seen["counts"][0].tolist() == [
        int(present.sum()),
        int((streams["detection"]["present"][:, 0][present] != 0).sum()),
        int((~present).sum()),
        int((streams["detection"]["present"][:, 0][~present] != 0).sum()),
    ]


def test_probe(streams: dict[str, Fields]) -> None:
    def make(limit: int | None) -> Any:
        def probe() -> Probe:
            block = Probe(limit)
            block.ports["items"].adopt(OfdmSource(RADAR).symbols.layout)
            return block

        return probe

    def look(block: Any) -> Any:
        return block.values

    for limit in (None, 25):
        _, values = jig.check(make(limit), {"items": streams["symbols"]}, look=look)
        kept = slice(None) if limit is None else slice(-limit, None)
        np.testing.assert_array_equal(values["x"], streams["symbols"]["x"][kept])
        np.testing.assert_array_equal(values["sequence"], np.arange(60)[kept])


# Promises


def test_channel_drifts_and_steps_as_it_was_told(streams: dict[str, Fields]) -> None:
    channel = ImpairedChannel(RADAR, SCENE, seed=3, steps=STEPS)
    kappa = jig.run(channel, {"symbols": streams["symbols"]})[0]["truth"]["kappa"]
    turn = np.degrees(np.angle(kappa / channel.kappa))
    expected = np.zeros((60, 8))
    expected[20:, [1, 5]] = 90
    expected[40:, 1] = 45
    np.testing.assert_allclose(turn, expected, atol=1e-4)
    drifting = ImpairedChannel(RADAR, SCENE, seed=3, drift=10.0)
    kappa = jig.run(drifting, {"symbols": {"x": np.ones((4000, 32), np.complex64)}})[0]["truth"]["kappa"]
    steps = np.diff(np.unwrap(np.angle(kappa), axis=0), axis=0)
    assert np.degrees(steps.std()) * math.sqrt(1000) == pytest.approx(10.0, rel=0.02)
    np.testing.assert_allclose(np.abs(kappa), np.abs(drifting.kappa)[None].repeat(4000, 0), rtol=1e-6)


def test_channel_takes_kappa_itself_and_refuses_nonsense() -> None:
    mine = np.exp(1j * np.arange(8))
    np.testing.assert_allclose(ImpairedChannel(RADAR, SCENE, impairments=3 * mine).kappa, mine)
    for options, word in (
        ({"impairments": "strange"}, "impairments"),
        ({"impairments": np.ones(7)}, "impairments"),
        ({"drift": -1.0}, "drift"),
        ({"noise_power": 0.0}, "noise_power"),
        ({"steps": (PhaseStep(0, (8,), 90.0),)}, "steps"),
    ):
        with pytest.raises(ValueError, match=word):
            ImpairedChannel(RADAR, SCENE, **options)


def test_frames_that_cannot_be_used_pass_marked_and_harm_nobody(streams: dict[str, Fields]) -> None:
    frame = {name: array.copy() for name, array in streams["frame"].items()}
    frame["y"][3, 2, 5] = np.nan
    frame["y"][7] = np.inf
    frame["valid"][11] = 0
    frame["x"][20] = 0
    frame["y"][30] = 0
    spoiled = [7, 11, 20, 30]  # frame 3 has seven antennas left
    with np.errstate(all="ignore"):
        outputs = jig.check(lambda: AngleDelayMap(RADAR, **GRID), {"frame": frame})[0]
    peak = outputs["peak"]
    np.testing.assert_array_equal(np.flatnonzero(peak["valid"] == 0), spoiled)
    for name, array in peak.items():
        assert np.isfinite(array).all() or name == "antenna_power", name
    np.testing.assert_array_equal(np.argwhere(np.isinf(peak["antenna_power"])), [[3, 2]])
    found = jig.run(MaprtDetector(RADAR, SCENE, **GRID), {"peak": peak})[0]["detection"]
    assert not found["present"][spoiled].any()
    calibrator = KappaCalibrator(RADAR, SCENE, batch=4)
    kappa = jig.run(calibrator, {"peak": peak})[0]["kappa"]
    assert np.isfinite(kappa["kappa"]).all()
    assert calibrator.frames == 56
    clean = {name: np.delete(array, spoiled, axis=0) for name, array in peak.items()}
    np.testing.assert_array_equal(
        jig.run(KappaCalibrator(RADAR, SCENE, batch=4), {"peak": clean})[0]["kappa"]["kappa"], kappa["kappa"]
    )


def test_the_map_uses_the_kappa_that_came_last(streams: dict[str, Fields]) -> None:
    kappas = {name: array[:2] for name, array in streams["kappa"].items()}
    frame = {name: array[:2] for name, array in streams["frame"].items()}
    peak = jig.run(AngleDelayMap(RADAR, **GRID), {"frame": frame, "kappa": kappas})[0]["peak"]
    direct = jig.run(AngleDelayMap(RADAR, kappa=kappas["kappa"][-1], **GRID), {"frame": frame})[0]["peak"]
    # The block scales the kappa that it is made with once more.
    np.testing.assert_allclose(peak["statistic"], direct["statistic"], rtol=1e-12)


def test_adam_in_the_stream_is_adam(streams: dict[str, Fields]) -> None:
    for second_moment in ("modulus", "components"):
        block = KappaCalibrator(RADAR, SCENE, "adam-max", batch=10, second_moment=second_moment)
        kappa = jig.run(block, {"peak": streams["peak"]})[0]["kappa"]
        adam, here = Adam(second_moment=second_moment), np.ones(8, complex)
        for k in range(6):
            gradient = np.zeros(8, complex)
            u = streams["peak"]["snapshot"][10 * k : 10 * k + 10, 0].astype(complex)
            loss = np.zeros(1)
            max_gradient(u, here, loss, gradient)
            here = adam.step(here, gradient / 10)
            np.testing.assert_allclose(kappa["kappa"][k], here, rtol=1e-12)
            assert kappa["loss"][k] == pytest.approx(loss[0] / 10)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"method": "magic"}, "method: expected one of tracker"),
        ({"batch": 0}, "batch"),
        ({"kappa": np.ones(7)}, "kappa: expected shape"),
        ({"kappa": np.zeros(8)}, "norm"),
        ({"confidence": -1.0}, "confidence"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"phase_deviation": math.nan}, "phase_deviation"),
        ({"second_moment": "third"}, "second_moment"),
    ],
)
def test_calibrator_refuses_nonsense(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        KappaCalibrator(RADAR, SCENE, **options)


def test_map_refuses_nonsense() -> None:
    for options, word in (({"n_theta": 0}, "n_theta"), ({"n_tau": 2.5}, "n_tau"), ({"kappa": np.ones(3)}, "kappa")):
        with pytest.raises(ValueError, match=word):
            AngleDelayMap(RADAR, **options)


def test_a_memory_forgets() -> None:
    """With a short memory the calibrator follows a jump of all phases; with an infinite one it averages over it."""
    radar = OfdmRadar(antennas=16, subcarriers=64)
    losses = {}
    for memory in (math.inf, 150.0):
        steps = (PhaseStep(1500, tuple(range(0, 16, 2)), 60.0),)
        source, channel = OfdmSource(radar, seed=5), ImpairedChannel(radar, SCENE, seed=5, steps=steps)
        image, calibrator = AngleDelayMap(radar, 40, 40), KappaCalibrator(radar, SCENE, "online")
        calibrator.memory = memory
        fg = Flowgraph("memory")
        fg.connect(source, channel, image, calibrator)
        fg.feedback(calibrator.kappa, image.kappa, lag=2)
        fg.run(3000)
        truth = channel.kappa * np.exp(1j * math.radians(60) * (np.arange(16) % 2 == 0))
        losses[memory] = kappa_error(calibrator.estimate, truth, radar).loss_db
    assert losses[150.0] < 0.3
    assert losses[math.inf] > 2 * losses[150.0]


def test_round_numbers() -> None:
    assert [n for n in range(1, 130) if is_round(n)] == [*range(1, 100), 100, 110, 120]
    assert is_round(400)
    assert is_round(8000)
    assert not is_round(408)
    assert not is_round(0)


@pytest.mark.parametrize("snr", [-20.0, 15.0, 40.0, 60.0])
def test_a_noise_that_is_told_wrong_by_20_db_is_flagged(snr: float, caplog: pytest.LogCaptureFixture) -> None:
    """Either way, at any SNR, however the frames are divided into messages; one that is right, or off by 6 dB, is not."""
    scene = Scene(snr_db=snr)
    symbols = jig.run(OfdmSource(RADAR, seed=5), items=200)[0]["symbols"]
    frame = jig.run(ImpairedChannel(RADAR, scene, seed=5), {"symbols": symbols})[0]["frame"]
    peak = jig.run(AngleDelayMap(RADAR), {"frame": frame})[0]["peak"]

    def told(noise: float) -> MaprtDetector:
        block = MaprtDetector(RADAR, scene)
        block.noise_power = noise
        return block

    for noise in (0.25, 1.0, 4.0):
        assert jig.run(told(noise), {"peak": peak}, look=lambda block: int(block.state_values["wrong"]))[1] == 0
    assert not caplog.records
    for noise in (0.01, 100.0):
        caplog.clear()
        flagged = jig.run(told(noise), {"peak": peak}, look=lambda block: int(block.state_values["wrong"]))[1]
        witnesses = 200 if noise > 1 or snr < 30 else 70  # without an echo: those between two delays of the grid say nothing
        assert witnesses - 40 < flagged <= 200
        assert len(caplog.records) == 1
        assert "take noise='estimated'" in caplog.text
    jig.check(lambda: told(100.0), {"peak": peak})


def test_an_echo_between_two_delays_is_no_noise() -> None:
    """On a coarse grid a strong one leaves more than ten times N0; nothing is flagged for that."""
    scene = Scene(snr_db=60, target_probability=0.95)
    symbols = jig.run(OfdmSource(RADAR, seed=5), items=200)[0]["symbols"]
    frame = jig.run(ImpairedChannel(RADAR, scene, seed=5), {"symbols": symbols})[0]["frame"]
    peak = jig.run(AngleDelayMap(RADAR, n_theta=20, n_tau=12), {"frame": frame})[0]["peak"]
    assert np.median(peak["noise_power"]) > 10
    detector = MaprtDetector(RADAR, scene)
    detector.noise_power = 0.25
    jig.run(detector, {"peak": peak})
    assert detector.noise_wrong == 0
