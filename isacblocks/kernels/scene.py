"""Targets and prior sectors by the laws of Table I: frame k of a seed has always the same ones (random.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.random import STREAM_SCENE, check_seed, item_uniforms
from isacblocks.radar import OfdmRadar, Scene


@dataclass(frozen=True)
class Truth:
    """One draw of Table I per frame; all arrays have shape (F,).

    The prior sector (theta_min, theta_max) is known to the receiver, the rest is not. gamma is 0 where no target is
    present (t = 0).
    """

    present: NDArray[np.uint8]
    gamma: NDArray[np.complex128]
    theta: Float  # rad
    tau: Float  # s
    theta_min: Float
    theta_max: Float


@jit_exact
def scene_frames(
    seed: int,
    first: int,
    law: Float,
    present: NDArray[np.uint8],
    gamma: NDArray[np.complex128],
    theta: Float,
    tau: Float,
    sector: Float,
) -> None:
    """The arrays of :class:`Truth`, (F,), of items first .. first + F - 1; `sector` (2, F) = (theta_min, theta_max).

    `law` = (P(t=1), centre_max, width_min, width_max, tau_min, tau_max, sigma_gamma^2), see :func:`scene_law`.
    """
    u = np.empty((7, theta.shape[0]))
    item_uniforms(seed, STREAM_SCENE, first, u)
    for f in range(theta.shape[0]):
        centre = (2.0 * u[0, f] - 1.0) * law[1]
        width = law[2] + (law[3] - law[2]) * u[1, f]
        theta[f] = centre + width * (u[2, f] - 0.5)
        tau[f] = law[4] + (law[5] - law[4]) * u[3, f]
        sector[0, f] = centre - width / 2.0
        sector[1, f] = centre + width / 2.0
    for f in range(theta.shape[0]):
        present[f] = 1 if u[6, f] < law[0] else 0
        gamma[f] = 0.0
        if present[f]:  # gamma ~ CN(0, sigma^2): |gamma|^2 is exponential, the phase uniform
            radius = math.sqrt(-law[6] * math.log(1.0 - u[4, f]))
            gamma[f] = complex(radius * math.cos(2.0 * math.pi * u[5, f]), radius * math.sin(2.0 * math.pi * u[5, f]))


@lru_cache(maxsize=32)
def scene_law(radar: OfdmRadar, scene: Scene) -> Float:
    """The parameters of :func:`scene_frames`, (7,)."""
    low, high = scene.delay_window(radar)
    angles = (scene.sector_centre_max, scene.sector_width_min, scene.sector_width_max)
    return frozen(np.array([scene.target_probability, *angles, low, high, scene.gain_variance(radar)]))


def draw_scene(seed: int, first: int, count: int, radar: OfdmRadar, scene: Scene) -> Truth:
    """The targets and sectors of items first .. first + count - 1 by the laws of Table I."""
    present, gamma = np.empty(count, np.uint8), np.empty(count, np.complex128)
    theta, tau, sector = np.empty(count), np.empty(count), np.empty((2, count))
    law = scene_law(radar, scene)
    scene_frames(np.uint64(check_seed(seed)), np.uint64(first), law, present, gamma, theta, tau, sector)
    return Truth(present, gamma, theta, tau, sector[0], sector[1])
