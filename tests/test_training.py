"""Algorithm 1 as printed: against a literal double-precision loop, for any number of threads, and after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import model

from isacblocks import OfdmRadar, Scene, kappa_error
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.study import training
from isacblocks.study.batch import CHUNK
from isacblocks.study.case import LOSSES, NOISE_POWER, Case, Training
from isacblocks.study.kept import Kept
from isacblocks.study.training import Descent, marks_of, train
from isacblocks.study.workers import Workers, parts_of

SMALL = Case(seed=5, radar=OfdmRadar(antennas=4, subcarriers=16), points=12)
SETUP = model.Setup(4, 16)
ITERATIONS, BATCH = 3, 6


Frames = list[tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64]]]  # Y, x, angles


def literal_full_frames(first: int, count: int, power: float) -> Frames:
    """The case's whole frames in watts, their symbols and angle grids."""
    truth = draw_scene(SMALL.seed, first, count, SMALL.radar, SMALL.scene)
    x = draw_symbols(SMALL.seed, first, count, SMALL.radar)
    place = truth.gamma, SMALL.kappa, truth.theta, truth.tau, SMALL.radar
    y = simulate_frames(x, *place, seed=SMALL.seed, first=first).astype(np.complex128) * np.sqrt(power)
    grids = np.linspace(truth.theta_min, truth.theta_max, SMALL.points, axis=1)
    return [(y[f], x[f].astype(np.complex128), grids[f]) for f in range(count)]


def literal_frames(first: int, count: int, power: float) -> Frames:
    """Whole frames Y in watts (all symbols 1) that compress to the case's items, and their angle grids."""
    basis = delay_basis(SMALL.radar, *SMALL.scene.delay_window(SMALL.radar))
    truth = draw_scene(SMALL.seed, first, count, SMALL.radar, SMALL.scene)
    drawn = simulate_compressed(truth, SMALL.kappa, basis, seed=SMALL.seed, first=first)
    outside = np.linalg.svd(basis.vectors)[0][:, -1]  # orthogonal to the basis
    out = []
    for f in range(count):
        g = drawn.g[f].astype(np.complex128)
        y = g @ basis.vectors.T
        y[0] += np.sqrt(drawn.energy[f] - np.sum(np.abs(g) ** 2)) * outside
        theta = np.linspace(truth.theta_min[f], truth.theta_max[f], SMALL.points)
        out.append((y * basis.ramp.conj() * np.sqrt(power), np.ones(16, complex), theta))
    return out


def literal_algorithm(loss: str, second_moment: str, power: float, full: bool = False) -> NDArray[np.complex128]:
    """Algorithm 1 with the reference's losses, gradients by central differences, and Adam as its paper says."""
    n = SMALL.radar.antennas
    tau = np.linspace(*SMALL.scene.delay_window(SMALL.radar), SMALL.points)
    ratio = 1 / SMALL.scene.gain_variance(SMALL.radar)
    kappa, mean, real, imag = np.ones(n, complex), np.zeros(n, complex), np.zeros(n), np.zeros(n)
    for i in range(ITERATIONS):
        frames = (literal_full_frames if full else literal_frames)(i * BATCH, BATCH, power)

        def mean_loss(k: NDArray[np.complex128], frames: Frames) -> float:
            if loss == "max":
                return float(np.mean([model.max_loss(y, x, k, theta, tau, SETUP) for y, x, theta in frames]))
            return float(np.mean([model.reconstruction_loss(y, x, k, theta, tau, ratio, SETUP) for y, x, theta in frames]))

        step, g = 1e-5, np.zeros(n, complex)
        for m in range(n):
            for unit in (1, 1j):
                e = np.zeros(n, complex)
                e[m] = step * unit
                g[m] += unit * (mean_loss(kappa + e, frames) - mean_loss(kappa - e, frames)) / (2 * step)
        mean = 0.9 * mean + 0.1 * g
        squares = (g.real**2, g.imag**2) if second_moment == "components" else (np.abs(g) ** 2,) * 2
        real, imag = 0.999 * real + 0.001 * squares[0], 0.999 * imag + 0.001 * squares[1]
        m_hat = mean / (1 - 0.9 ** (i + 1))
        v_real, v_imag = real / (1 - 0.999 ** (i + 1)), imag / (1 - 0.999 ** (i + 1))
        kappa = kappa - 0.01 * (m_hat.real / (np.sqrt(v_real) + 1e-8) + 1j * m_hat.imag / (np.sqrt(v_imag) + 1e-8))
        kappa *= np.sqrt(n) / np.linalg.norm(kappa)
    return kappa


@pytest.mark.parametrize("unit", ["unit", "watts"])
@pytest.mark.parametrize("second_moment", ["modulus", "components"])
@pytest.mark.parametrize("loss", ["max", "reconstruction"])
def test_it_is_algorithm_1(loss: str, second_moment: str, unit: str) -> None:
    found = train(Training(SMALL, loss, second_moment, unit, ITERATIONS, BATCH))
    expected = literal_algorithm(loss, second_moment, NOISE_POWER[unit])
    moved = np.linalg.norm(expected - 1)
    assert moved > 1e-4
    assert np.linalg.norm(found.kappa - expected) < 1e-4 * moved


@pytest.mark.parametrize("loss", ["max", "reconstruction"])
def test_it_is_algorithm_1_with_whole_frames_too(loss: str) -> None:
    found = train(Training(SMALL, loss, "modulus", "unit", ITERATIONS, BATCH, simulation="full"))
    expected = literal_algorithm(loss, "modulus", 1.0, full=True)
    assert np.linalg.norm(found.kappa - expected) < 1e-4 * np.linalg.norm(expected - 1)


@pytest.mark.parametrize("simulation", ["compressed", "full"])
def test_the_same_bits_for_chunks_of_any_size(simulation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the cache together has nothing to do with what is added together."""
    task = Training(SMALL, "reconstruction", iterations=3, batch=150, simulation=simulation)
    bits = set()
    for chunk in (1, 7, 64, 1000):
        monkeypatch.setitem(CHUNK, simulation, chunk)
        found = train(task)
        bits.add((found.kappa.tobytes(), found.losses.tobytes()))
    assert len(bits) == 1


def test_a_step_at_a_time_is_the_whole() -> None:
    task = Training(SMALL, "max", iterations=3, batch=20)
    descent = Descent(task)
    for _ in range(3):
        descent.step()
    assert descent.state["kappa"].tobytes() == train(task).kappa.tobytes()
    descent.step()  # beyond the last one that is kept
    assert descent.state["done"] == 4


def test_the_same_bits_for_any_number_of_threads() -> None:
    task = Training(SMALL, "reconstruction", iterations=4, batch=300)
    bits = set()
    for count in (1, 2, 5):
        workers = Workers(count)
        found = train(task, workers=workers)
        workers.close()
        bits.add((found.kappa.tobytes(), found.kappas.tobytes(), found.losses.tobytes()))
    assert len(bits) == 1


class _KilledError(Exception):
    pass


def test_a_training_that_was_cut_off_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SAVED_EVERY", 0.0)
    task = Training(SMALL, "max", iterations=40, batch=20)
    whole = train(task)
    seen = 0

    def cut(frames: int, *, kept: bool = False) -> None:
        nonlocal seen
        seen += frames
        if seen >= 500:
            raise _KilledError

    with pytest.raises(_KilledError):
        train(task, kept=Kept(tmp_path), report=cut)
    told: list[tuple[int, bool]] = []
    again = train(task, kept=Kept(tmp_path), report=lambda frames, *, kept=False: told.append((frames, kept)))
    assert told[0] == (480, True)  # the iteration that was cut off had not been saved
    assert sum(frames for frames, _ in told) == task.frames
    assert again.kappa.tobytes() == whole.kappa.tobytes()
    assert again.kappas.tobytes() == whole.kappas.tobytes()
    assert again.losses.tobytes() == whole.losses.tobytes()
    assert not list(tmp_path.glob("*.part"))


def test_results_of_other_settings_and_damaged_ones_are_not_taken(tmp_path: Path) -> None:
    kept, task = Kept(tmp_path), Training(SMALL, "max", iterations=2, batch=8)
    first = train(task, kept=kept)
    other = Training(SMALL, "max", iterations=2, batch=8, learning_rate=0.02)
    assert kept.load("table1-5-max-modulus-unit", other) is None
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    again = train(task, kept=kept)
    assert again.kappa.tobytes() == first.kappa.tobytes()
    assert path.read_bytes() != bytes(data)


def test_the_history_ends_with_the_result() -> None:
    task = Training(SMALL, "reconstruction", iterations=30, batch=8)
    found = train(task)
    assert found.iterations[0] == 1
    assert found.iterations[-1] == 30
    assert found.kappas[-1].tobytes() == found.kappa.tobytes()
    assert np.linalg.norm(found.kappas, axis=1) ** 2 == pytest.approx(4)
    short = train(Training(SMALL, "reconstruction", iterations=int(found.iterations[5]), batch=8))
    assert short.kappa.tobytes() == found.kappas[5].tobytes()


def test_parts_and_marks() -> None:
    assert parts_of(3, 10, 4) == [(3, 4), (7, 4), (11, 2)]
    marks = marks_of(10_000)
    assert (marks[0], marks[-1]) == (1, 10_000)
    assert (np.diff(marks) > 0).all()
    assert marks_of(1).tolist() == [1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loss": "mean"}, "loss: expected one of max, reconstruction, got 'mean'"),
        ({"second_moment": "both"}, "second_moment: expected one of modulus, components"),
        ({"simulation": "none"}, "simulation: expected one of compressed, full, got 'none'"),
        ({"unit": "dBm"}, "unit: expected one of unit, watts"),
        ({"batch": 0}, "batch: expected an integer of at least 1, got 0"),
        ({"iterations": 1.5}, "iterations: expected an integer"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a positive number"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], says: str) -> None:
    options = {"loss": "max"} | change
    with pytest.raises(ValueError, match=says):
        Training(SMALL, **options)  # type: ignore[arg-type]


def test_bad_workers_and_scenes_are_named() -> None:
    with pytest.raises(ValueError, match="workers: expected an integer of at least 1, got 0"):
        Workers(0)
    with pytest.raises(ValueError, match="range_max"):
        train(Training(Case(scene=Scene(range_max=500.0)), "max", iterations=1, batch=1))


def test_loss_14_with_adam_in_unit_noise_forgets_the_gains() -> None:
    """docs/maths.md, section 6: the gradient at the truth is radial, its steps have one length for all antennas."""
    case = Case("published", 2, OfdmRadar(antennas=16, subcarriers=32), Scene(snr_db=25.0), points=24)
    true = np.abs(case.kappa)
    assert true.std() > 0.5
    learned = {loss: train(Training(case, loss, iterations=600, batch=64)).kappa for loss in LOSSES}
    assert np.abs(learned["max"]).std() < 0.1
    equal = kappa_error(np.exp(1j * np.angle(case.kappa)), case.kappa, case.radar).loss_db
    assert kappa_error(learned["max"], case.kappa, case.radar).loss_db == pytest.approx(equal, rel=0.2)
    assert kappa_error(learned["reconstruction"], case.kappa, case.radar).loss_db < 0.05
    assert np.corrcoef(np.abs(learned["reconstruction"]), true)[0, 1] > 0.99
