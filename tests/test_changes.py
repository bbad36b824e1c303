"""Retunes, new starts and gains in the stream: what the receiver says with which frame, and what the calibrator forgets."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.numerics import FRAMES, MESSAGE, RADAR, Fields, Receiver, stream

from isacblocks.blocks import AngleDelayMap, KappaCalibrator
from isacblocks.blocks.records import GAIN_CHANGED, PHASE_UNKNOWN
from isacblocks.frontends import OfdmReceiver, SigmfSource
from isacblocks.frontends.changes import Watch, nothing_told
from isacblocks.frontends.gnuradio.assembly import Assembly
from isacblocks.frontends.gnuradio.wire import Tag
from isacblocks.radar import OfdmRadar
from isacblocks.stream import jig

N = RADAR.antennas


def nothing(count: int) -> Fields:
    return {"changed": np.zeros((count, N), np.uint8), "gain": np.zeros((count, N), np.float32)}


def retuned(seed: int = 1) -> tuple[Fields, Fields, Any]:
    """Frames of one hardware, then of another: what a retune makes of the phases; with its changes and the latter kappa."""
    before, after = stream(seed, FRAMES), stream(seed + 50, FRAMES)
    frames = {name: np.concatenate([before[0][name], after[0][name]]) for name in before[0]}
    changes = nothing(2 * FRAMES)
    changes["changed"][FRAMES] = PHASE_UNKNOWN
    return frames, changes, after[1]


def followed(receiver: Receiver, frames: Fields, changes: Fields | None) -> Receiver:
    for first in range(0, len(frames["x"]), MESSAGE):
        now = slice(first, min(first + MESSAGE, len(frames["x"])))
        told = None if changes is None else {name: array[now].copy() for name, array in changes.items()}
        receiver.take({name: array[now].copy() for name, array in frames.items()}, told)
    return receiver


def test_a_retune_is_a_new_start(caplog: pytest.LogCaptureFixture) -> None:
    """As good as a calibrator that begins there; without the word it is still wrong where the other is right."""
    frames, changes, truth = retuned()
    soon = FRAMES + 96
    told = followed(Receiver(), {name: array[:soon] for name, array in frames.items()}, changes)
    deaf = followed(Receiver(), {name: array[:soon] for name, array in frames.items()}, None)
    fresh = followed(Receiver(), {name: array[FRAMES:soon] for name, array in frames.items()}, None)
    assert told.loss_db(truth) < 1.5 * fresh.loss_db(truth) + 0.02
    assert deaf.loss_db(truth) > 2 * told.loss_db(truth)
    assert told.calibrator.findings()["starts_anew"] == 1
    assert "starts_anew" not in deaf.calibrator.findings()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"the receiver was changed before frame {FRAMES}: all phases learned anew (change 1 so far); fewer "
        "echoes are detected until that is done, some hundred frames; nothing is to be done"
    ]


@pytest.mark.parametrize(("decibels", "degrees"), [(6.0, 20.0), (0.0, 170.0)])
def test_one_antenna_forgets_and_the_others_know_what_they_knew(decibels: float, degrees: float) -> None:
    """By a gain that was told, or by a phase that nobody knows: the antenna is right 16 frames later, without a jump."""
    losses = np.zeros(2)
    for seed in (1, 2, 3):
        frames, kappa = stream(seed, 2 * FRAMES)
        soon = FRAMES + 16
        factor = 10 ** (decibels / 20) * np.exp(1j * np.radians(degrees))
        y, truth = frames["y"][:soon].copy(), kappa.copy()
        y[FRAMES:, 5] *= factor
        truth[5] *= factor
        frames = {name: array[:soon] for name, array in frames.items()} | {"y": y}
        changes = nothing(soon)
        changes["changed"][FRAMES, 5] = GAIN_CHANGED if decibels else PHASE_UNKNOWN
        changes["gain"][FRAMES, 5] = decibels
        told, deaf = followed(Receiver(), frames, changes), followed(Receiver(), frames, None)
        losses += told.loss_db(truth), deaf.loss_db(truth)
        others = np.delete(np.arange(N), 5)
        before, now = (
            followed(Receiver(), {name: a[:to] for name, a in frames.items()}, changes) for to in (FRAMES, FRAMES + 1)
        )
        turned = now.kappas[-1][-1] * before.kappas[-1][-1].conj()  # what was sent at the change
        np.testing.assert_allclose(np.angle(turned[others]), 0.0, atol=1e-12)
        assert now.health[-1][-1][5] != 0
        assert not now.health[-1][-1][others].any()
        assert told.calibrator.findings()["antennas_forgotten"] == 1
    assert losses[0] < 0.6 * losses[1]


def test_what_is_forgotten_does_not_depend_on_messages() -> None:
    """Every method; changes within an update, at its border, twice in a message, and at a frame that cannot be used."""
    frames, _ = stream(1, FRAMES)
    count = 140
    frames = {name: array[:count].copy() for name, array in frames.items()}
    frames["valid"][77] = 0
    peak = jig.run(AngleDelayMap(RADAR), {"frame": frames})[0]["peak"]
    changes = nothing(count)
    changes["changed"][[21, 40, 77], [3, 4, 5]] = GAIN_CHANGED
    changes["gain"][[21, 40, 77], [3, 4, 5]] = (3.0, np.nan, 1e9)
    changes["changed"][[90, 93]] = PHASE_UNKNOWN
    for method in ("tracker", "online", "adam-max"):
        make = partial(KappaCalibrator, RADAR, method=method, batch=8)
        made, _ = jig.check(make, {"peak": peak, "changes": changes})
        found = made["kappa"]
        assert np.isfinite(found["kappa"]).all()
        np.testing.assert_allclose(np.square(np.abs(found["kappa"])).sum(axis=1), N)
        assert np.count_nonzero(np.abs(found["kappa"] - 1).max(axis=1) < 1e-12) == 2  # both new starts, at once


def test_online_starts_anew_too() -> None:
    frames, changes, truth = retuned(2)
    told, deaf = followed(Receiver("online"), frames, changes), followed(Receiver("online"), frames, None)
    assert told.loss_db(truth) < 0.02
    assert deaf.loss_db(truth) > 20 * told.loss_db(truth)


def test_online_learns_a_forgotten_antenna_as_quickly_as_at_its_start() -> None:
    """Not as slowly as the mean over all that came before would have it."""
    frames, truth = stream(3, 2 * FRAMES)
    y, truth = frames["y"].copy(), truth.copy()
    y[FRAMES:, 5] *= -1
    truth[5] *= -1
    changes = nothing(2 * FRAMES)
    changes["changed"][FRAMES, 5] = PHASE_UNKNOWN
    soon = slice(0, FRAMES + 160)
    frames = {name: array[soon] for name, array in (frames | {"y": y}).items()}
    told, deaf = (followed(Receiver("online"), frames, word) for word in (changes, None))
    assert told.loss_db(truth) < 0.03
    assert deaf.loss_db(truth) > 10 * told.loss_db(truth)


def test_a_start_from_nothing_starts_from_nothing_again() -> None:
    frames, changes, truth = retuned(4)
    rng = np.random.default_rng(1)
    turn = np.exp(2j * np.pi * rng.random(N)).astype(np.complex64)  # phases anywhere on the circle
    y = frames["y"].copy()
    y[FRAMES:] *= turn[:, None]
    cut = {name: array[: FRAMES + 320] for name, array in (frames | {"y": y}).items()}
    told = followed(Receiver(full_circle=True), cut, changes)
    assert told.loss_db(truth * turn) < 0.1
    assert told.calibrator.findings()["acceptance"] > 0


def test_the_watch_says_what_was_done() -> None:
    state = nothing_told(2)
    watch, quiet = Watch(state), np.full(2, np.nan)
    watch.see(0, 100, False, np.nan, quiet)
    watch.see(100, 100, False, 1e9, np.array([10.0, 20.0]))  # told for the first time: nothing was changed by that
    watch.see(200, 100, True, np.nan, quiet)  # a gap, and nothing is told any more
    assert not watch.take(300).codes.any()
    watch.see(300, 100, False, 1e9, np.array([10.0, 26.0]))
    watch.see(400, 100, False, 1e9, np.array([7.0, 20.0]))
    assert not watch.take(300).codes.any()  # not yet
    found = watch.take(401)
    assert found.codes.tolist() == [GAIN_CHANGED, GAIN_CHANGED]
    assert found.gain.tolist() == [-3.0, 0.0]
    watch.see(500, 100, False, 2e9, np.array([7.0, 20.0]))
    assert watch.take(600).codes.tolist() == [PHASE_UNKNOWN] * 2
    watch.see(50, 100, True, 2e9, np.array([7.0, 20.0]))  # the sender counts from the beginning again
    assert watch.take(51).codes.tolist() == [PHASE_UNKNOWN] * 2
    assert not watch.take(10**9).codes.any()


SMALL = OfdmRadar(antennas=2, subcarriers=16, cyclic_prefix=0.25)
PERIOD, GROUP = 20, 50


def changes_of(fields: Fields) -> Fields:
    """What a receiver with a shared trigger says, symbol by symbol."""
    x = np.exp(2j * np.pi * np.random.default_rng(1).integers(0, 4, (1, 16)) / 4)
    block = OfdmReceiver(SMALL, x, GROUP, timing=0)
    outputs, _ = jig.check(lambda: block, {"iq": fields}, middle=3)
    assert len(outputs["frame"]["y"]) == len(outputs["changes"]["changed"])
    return outputs["changes"] | {name: outputs["frame"][name] for name in ("valid", "time")}


def test_tags_of_gnu_radio_are_told_with_the_first_frame_they_concern() -> None:
    """A gain inside the fifth item, a retune at the border of the ninth, the sender's new start after the twelfth."""
    assembly, rng = Assembly(GROUP, 2), np.random.default_rng(2)
    rows = rng.standard_normal((20 * GROUP, 2, 2)).view(np.complex128)[..., 0].astype(np.complex64)
    tags = [Tag(0, "rx_freq", 1e9), Tag(0, "gain", (3.0, 3.0)), Tag(220, "gain", (3.0, 9.0)), Tag(400, "rx_freq", 2e9)]
    assembly.feed(rows[: 12 * GROUP], 0, tags)
    assembly.feed(rows[12 * GROUP :], 0, [Tag(0, "rx_freq", 2e9)])
    out = np.empty((20 * GROUP, 2), np.complex64)
    told = assembly.take(20, out)
    iq = np.ascontiguousarray(out.reshape(20, GROUP, 2).swapaxes(1, 2))
    found = changes_of({"iq": iq, **told})
    places = np.flatnonzero(found["changed"].any(axis=1)).tolist()
    # The gain is told of the item behind the one that the tag is in, which is of two settings: samples 250 on, frame 12
    assert places == [12, 20, 30]
    assert found["changed"][places].tolist() == [[0, GAIN_CHANGED], [PHASE_UNKNOWN] * 2, [PHASE_UNKNOWN] * 2]
    assert found["gain"][12].tolist() == [0.0, 6.0]
    assert (found["valid"][10:13] == 0).all()
    assert found["valid"][[9, 13]].all()


def test_captures_of_a_recording_are_told_too(tmp_path: Path) -> None:
    """A capture with another frequency, and one with other gains, read back from a file as it was written."""
    sigmf = pytest.importorskip("sigmf", reason="the library sigmf is not installed (extra sigmf)")
    samples = np.random.default_rng(3).standard_normal((1000, 4)).astype(np.float32).view(np.complex64)
    samples.tofile(tmp_path / "made.sigmf-data")
    info = {"core:datatype": "cf32_le", "core:num_channels": 2, "core:version": "1.0.0"}
    info["core:sample_rate"] = SMALL.subcarriers * SMALL.subcarrier_spacing
    info["core:extensions"] = [{"name": "isacblocks", "version": "1.0.0", "optional": True}]
    meta = sigmf.SigMFFile(data_file=str(tmp_path / "made.sigmf-data"), global_info=info)
    for start, frequency, gains in ((0, 1e9, [0.0, 0.0]), (400, 2e9, [0.0, 0.0]), (700, 2e9, [-3.0, 0.0])):
        meta.add_capture(start, metadata={"core:frequency": frequency, "isacblocks:gains": gains})
    meta.tofile(str(tmp_path / "made.sigmf-meta"))
    iq = jig.run(SigmfSource(tmp_path / "made.sigmf-meta", GROUP), items=20)[0]["samples"]
    found = changes_of(iq)
    places = np.flatnonzero(found["changed"].any(axis=1)).tolist()
    assert places == [20, 35]
    assert found["changed"][places].tolist() == [[PHASE_UNKNOWN] * 2, [GAIN_CHANGED, 0]]
    assert found["gain"][35].tolist() == [-3.0, 0.0]
    np.testing.assert_allclose(found["time"], SMALL.frame_duration * np.arange(50))
