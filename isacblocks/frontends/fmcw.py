"""De-chirped FMCW radar recordings as frames: sample s of chirp k plays subcarrier s of frame k, with x = 1.

The beat signal of an echo of delay tau is gamma a(theta) exp(+-j 2 pi s mu T_s tau), mu the chirp's slope in Hz/s, T_s the
sampling interval: eq. (5) with Delta_f = mu T_s. Where the sign is plus the samples are conjugated, which turns the delay
the right way round and mirrors the angle. What does not move (leakage at delay 0, walls) is the same in every chirp and is
taken out by subtracting the mean chirp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import FRAME, radar_sizes
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Out, Source
from isacblocks.stream.npy import read_npy
from isacblocks.stream.spec import Items

_LARGEST = 4 << 30  # bytes of samples, which are read at once


def load_chirps(path: str | Path) -> NDArray[np.complex128]:
    """Raw samples of a .npy file, complex (chirps, antennas, samples), never unpickled.

    Files of unsigned 16-bit words (values above 32767) hold two's complement and are read as signed. Raises ValueError for a
    file of another kind, FileNotFoundError where there is none.
    """
    raw = read_npy(path)
    if raw.ndim != 3 or raw.dtype.kind != "c" or 0 in raw.shape:
        raise ValueError(f"{path}: expected complex samples (chirps, antennas, samples), got {raw.dtype} {raw.shape}")
    if raw.nbytes > _LARGEST:
        raise ValueError(f"{path}: {raw.nbytes / 2**30:.1f} GiB of samples, expected at most {_LARGEST >> 30}")
    if not np.isfinite(raw).all():
        raise ValueError(f"{path}: holds samples that are NaN or infinite")
    parts = np.stack([raw.real, raw.imag])
    if parts.min() >= 0 and 32767 < parts.max() <= 65535 and np.array_equal(parts, np.rint(parts)):
        parts = parts.astype(np.uint16).view(np.int16).astype(np.float64)
    return np.asarray(parts[0] + 1j * parts[1])


def noise_power(chirps: NDArray[np.complex128]) -> float:
    """N0 from the median power over range bins, which few targets do not move: the median of an exponential is its mean
    times log 2.
    """
    spectrum = np.abs(np.fft.fft(chirps, axis=2)) ** 2 / chirps.shape[2]
    return float(np.median(spectrum)) / math.log(2)


class FmcwFile(Source):
    """The chirps of a .npy recording as frames of noise power N0 = 1.

    path: of the file; radar: antennas and subcarriers must be those of the file (antennas, samples), subcarrier_spacing is
    mu T_s in hertz; start, stop, step: which chirps; still: which of them give the mean chirp and the noise power,
    as (start, stop, step), None for all; delay: the search window (low, high) in range bins; sector: in radians; conjugate:
    the beat frequency rises with the delay. Raises ValueError where file and radar do not fit.
    """

    frame = Out(FRAME)

    def __init__(
        self,
        path: str | Path,
        radar: OfdmRadar,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        still: tuple[int, int | None, int] | None = None,
        delay: tuple[float, float] = (1.0, 127.0),
        sector: tuple[float, float] = (-math.pi / 3, math.pi / 3),
        conjugate: bool = True,
    ) -> None:
        self.arguments = ((str(Path(path).absolute()), radar, start, stop, step, still, delay, sector, conjugate), {})
        self.radar = radar
        chirps = load_chirps(path)
        if chirps.shape[1:] != (radar.antennas, radar.subcarriers):
            raise ValueError(
                f"{path}: expected {radar.antennas} antennas and {radar.subcarriers} samples, got {chirps.shape[1:]}"
            )
        if not 0 <= delay[0] < delay[1] < radar.subcarriers:
            raise ValueError(f"delay: expected 0 <= low < high < {radar.subcarriers} range bins, got {delay}")
        reference = chirps[slice(*still)] if still is not None else chirps
        mean = reference.mean(axis=0)
        scale = 1 / math.sqrt(noise_power(reference - mean))
        moving = (chirps[start:stop:step] - mean) * scale
        self.chirps = (moving.conj() if conjugate else moving).astype(np.complex64)
        self.window = tuple(bins / radar.bandwidth for bins in delay)
        self.sector = sector

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K."""
        return radar_sizes(self.radar)

    def produce(self, first: int, count: int) -> Items | None:
        """The next chirps; None behind the last one."""
        y = self.chirps[first : first + count]
        if not len(y):
            return None
        each: Any = np.ones(len(y))
        return self.frame.items(
            y=y,
            x=np.ones((len(y), self.radar.subcarriers), np.complex64),
            theta_min=each * self.sector[0],
            theta_max=each * self.sector[1],
            tau_min=each * self.window[0],
            tau_max=each * self.window[1],
            time=np.arange(first, first + len(y), dtype=np.float64),
            valid=np.ones(len(y), np.uint8),
        )
