"""The same work in PyTorch, dense, on one thread: the map with its maximum, and a step of Algorithm 1 with simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.agreement import Answer
from benchmarks.measure import PROCESS, Case, UnavailableError, case
from benchmarks.workload import Workload


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UnavailableError("torch is not installed; pip install 'isacblocks[bench]'") from None
    torch.set_num_threads(1)
    return torch


class TorchDetector:
    """Dense maps of a workload's frames, `chunk` at a time, and the gradient of eq. (14) by automatic differentiation."""

    def __init__(self, work: Workload, chunk: int = 8) -> None:
        self.torch = torch = _torch()
        self.work, self.chunk = work, chunk
        radar = work.radar
        phase = 2 * math.pi * radar.subcarrier_spacing * np.outer(np.arange(radar.subcarriers), work.tau[0])
        self.delay = torch.from_numpy(np.exp(1j * phase).astype(np.complex64))
        self.n = torch.arange(radar.antennas, dtype=torch.float32)
        self.pitch = 2 * math.pi * radar.element_spacing
        self.y, self.x = torch.from_numpy(np.array(work.y)), torch.from_numpy(np.array(work.x))
        self.theta = torch.from_numpy(work.theta.astype(np.float32))

    def power(self, y: Any, x: Any, theta: Any, kappa: Any) -> Any:
        """Eq. (11): (F, I, J)."""
        torch = self.torch
        p = (y * x.conj()[:, None, :]) @ self.delay
        phase = self.pitch * torch.sin(theta)[:, :, None] * self.n
        s = (torch.complex(torch.cos(phase), torch.sin(phase)) * kappa.conj()) @ p
        return s.real.square() + s.imag.square()

    def answer(self) -> Answer:
        """Places and gradient: torch's gradient of a real loss is dJ/dRe + j dJ/dIm, as ours."""
        torch = self.torch
        kappa = torch.from_numpy(self.work.kappa.astype(np.complex64)).requires_grad_()
        places = []
        for first in range(0, self.work.frames, self.chunk):
            part = slice(first, first + self.chunk)
            power = self.power(self.y[part], self.x[part], self.theta[part], kappa).flatten(1)
            top, place = power.max(1)
            (-top.sum()).backward()
            places.append(place.numpy())
        index = np.stack(np.divmod(np.concatenate(places), self.work.tau.shape[1]), axis=1)
        return Answer(index, kappa.grad.resolve_conj().numpy().astype(np.complex128) / self.work.frames)

    def maximum(self) -> float:
        """The maxima and their places alone."""
        with self.torch.no_grad():
            kappa = self.torch.from_numpy(self.work.kappa.astype(np.complex64))
            for first in range(0, self.work.frames, self.chunk):
                part = slice(first, first + self.chunk)
                self.power(self.y[part], self.x[part], self.theta[part], kappa).flatten(1).max(1)
        return self.work.frames


def training_step(work: Workload, batch: int, chunk: int = 8) -> Callable[[], float]:
    """One step of Algorithm 1: simulate eq. (8), dense maps, loss (14), its gradient, Adam, ||kappa||^2 = N.

    The batch is worked on `chunk` frames at a time; gradients add up. The whole batch at once is how such a program is
    written, a few frames at a time keeps everything in the cache.
    """
    torch = _torch()
    detector = TorchDetector(work, chunk)
    radar, scene = work.radar, work.scene
    s = torch.arange(radar.subcarriers)
    truth = torch.from_numpy(work.kappa.astype(np.complex64))
    kappa = torch.ones(radar.antennas, dtype=torch.complex64, requires_grad=True)
    adam = torch.optim.Adam([kappa], lr=1e-2)
    low, high = scene.delay_window(radar)
    deviation = math.sqrt(scene.gain_variance(radar))
    grid = torch.linspace(-0.5, 0.5, work.theta.shape[1])
    quarter = torch.polar(torch.ones(4), torch.arange(4) * (math.pi / 2) + math.pi / 4)

    def simulate(count: int) -> tuple[Any, Any, Any]:
        centre = (2 * torch.rand(count) - 1) * scene.sector_centre_max
        width = scene.sector_width_min + (scene.sector_width_max - scene.sector_width_min) * torch.rand(count)
        theta = centre + width * (torch.rand(count) - 0.5)
        tau = low + (high - low) * torch.rand(count)
        gamma = deviation * torch.randn(count, dtype=torch.complex64) * (torch.rand(count) < scene.target_probability)
        x = quarter[torch.randint(0, 4, (count, radar.subcarriers))]
        phase = detector.pitch * torch.sin(theta)[:, None] * detector.n
        array = gamma[:, None] * truth * torch.complex(torch.cos(phase), -torch.sin(phase))
        phase = 2 * math.pi * radar.subcarrier_spacing * tau[:, None] * s
        wave = x * torch.complex(torch.cos(phase), -torch.sin(phase))
        y = torch.randn(count, radar.antennas, radar.subcarriers, dtype=torch.complex64)
        return y.addcmul_(array[:, :, None], wave[:, None, :]), x, centre[:, None] + width[:, None] * grid

    def step() -> float:
        adam.zero_grad()
        for first in range(0, batch, chunk):
            with torch.no_grad():
                y, x, theta = simulate(min(chunk, batch - first))
            power = detector.power(y, x, theta, kappa)
            (-power.flatten(1).amax(1).sum() / batch).backward()
        kappa.grad = kappa.grad.resolve_conj()
        adam.step()
        with torch.no_grad():
            kappa.mul_(math.sqrt(radar.antennas) / torch.linalg.vector_norm(kappa))
        return batch

    return step


def cases(work: Workload, batch: int, least: float = 0.01) -> list[Case]:
    """Maximum, maximum with gradient, training step."""
    detector = TorchDetector(work)

    def gradient() -> float:
        detector.answer()
        return work.frames

    whole, parts = training_step(work, batch, batch), training_step(work, batch)
    return [
        case("torch dense", "PyTorch, map and its maximum", detector.maximum, clock=PROCESS, least=least),
        case("torch dense, gradient", "the same with autograd's gradient of eq. (14)", gradient, clock=PROCESS, least=least),
        case(
            "torch training step",
            f"simulation, dense maps, autograd, Adam, the batch of {batch} at once",
            whole,
            clock=PROCESS,
            least=least,
        ),
        case("torch training step, parts", "the same, 8 frames at a time", parts, clock=PROCESS, least=least),
    ]
