"""The records that flow between the blocks: symbol, frame, compressed, truth, change, peak, detection, kappa; with units.

Dimensions: N antennas, S subcarriers, D functions of a delay basis, K peaks a frame may hold (one slot unless a block says
otherwise).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.radar import OfdmRadar
from isacblocks.stream.spec import Field, Items, Record

SYMBOL = Record("symbol", (Field("x", "complex64", ("S",), doc="transmit symbols, mean energy 1"),))

# The prior sector of a frame, which every record after it carries on
_SECTOR = (
    Field("theta_min", "float64", unit="rad"),
    Field("theta_max", "float64", unit="rad"),
    Field("tau_min", "float64", unit="s"),
    Field("tau_max", "float64", unit="s"),
    Field("time", "float64", unit="s", doc="since the first frame of the stream"),
    Field("valid", "uint8", doc="0 where the samples cannot be used"),
)
SECTOR = tuple(field.name for field in _SECTOR)

# What the samples of every antenna look like, for its health
_SAMPLES = (
    Field("antenna_power", "float32", ("N",), doc="mean |Y_ns|^2 over the subcarriers; infinite: not used"),
    Field(
        "antenna_shared", "float32", ("N",), doc="how many samples share the largest |Re| or |Im|: many where it is clipped"
    ),
)
SAMPLES = tuple(field.name for field in _SAMPLES)

FRAME = Record(
    "frame",
    (
        Field("y", "complex64", ("N", "S"), doc="received frame Y of eq. (8), noise power N0 = 1 unless stated"),
        Field("x", "complex64", ("S",), doc="the symbols that were sent"),
        *_SECTOR,
    ),
)

COMPRESSED = Record(
    "compressed",
    (
        Field("g", "complex64", ("N", "D"), doc="the frame in the delay basis, kernels/compression.py"),
        Field("energy", "float64", doc="||Y||_F^2 of the whole frame"),
        Field("symbol_energy", "float64", doc="||x||^2"),
        *_SAMPLES,
        *_SECTOR,
    ),
)

TRUTH = Record(
    "truth",
    (
        Field("present", "uint8", doc="t"),
        Field("gamma", "complex128", doc="channel gain, 0 where no target is present"),
        Field("theta", "float64", unit="rad"),
        Field("tau", "float64", unit="s"),
        Field("kappa", "complex64", ("N",), doc="the impairments of this frame"),
    ),
    doc="what only a simulation knows; no receiver block takes it",
)

AS_BEFORE, GAIN_CHANGED, PHASE_UNKNOWN = 0, 1, 2  # the codes of a change

CHANGE = Record(
    "change",
    (
        Field("changed", "uint8", ("N",), doc="since the frame before: 1 another gain, 2 another phase, which nobody knows"),
        Field("gain", "float32", ("N",), unit="dB", doc="by which an antenna's gain was changed, as far as it was told"),
    ),
    doc="what was done to the receiver before each frame, so that what was learned of it does not hold any more",
)

PEAK = Record(
    "peak",
    (
        Field("peaks", "uint8", doc="how many of the K slots are filled"),
        Field("statistic", "float64", ("K",), doc="|a^H Y (b . x)^*|^2, eq. (9)"),
        Field("correlation", "complex128", ("K",), doc="s = kappa^H u"),
        Field("theta", "float64", ("K",), unit="rad"),
        Field("tau", "float64", ("K",), unit="s"),
        Field("snapshot", "complex64", ("K", "N"), doc="u: all that calibration needs of the frame"),
        Field("energy", "float64", doc="||Y||_F^2"),
        Field("symbol_energy", "float64", doc="||x||^2"),
        Field("noise_power", "float64", doc="N0 estimated from what the first peak leaves of the frame"),
        *_SAMPLES,
        *_SECTOR,
    ),
)

DETECTION = Record(
    "detection",
    (
        *PEAK.fields,
        Field("present", "uint8", ("K",)),
        Field("level", "float64", ("K",), doc="T = |s|^2 / (N ||x||^2 N0)"),
        Field("threshold", "float64", doc="on T, for the false-alarm probability that was set"),
        Field("probability", "float64", ("K",), doc="P(t = 1 | frame)"),
        Field("gain", "complex128", ("K",), doc="gamma_hat, eq. (21)"),
        Field("range", "float64", ("K",), unit="m"),
        Field("position", "float64", ("K", "XY"), unit="m", doc="x along the boresight, y along the array"),
    ),
)

KAPPA = Record(
    "kappa",
    (
        Field("kappa", "complex128", ("N",), doc="the estimate, ||kappa||^2 = N"),
        Field("sigma", "float64", ("N",), unit="rad", doc="standard deviation of each antenna's phase, in the gauge"),
        Field("gain_sigma", "float64", ("N",), doc="of each antenna's gain, mean gain 1"),
        Field("health", "uint8", ("N",), doc="0: good"),
        Field("slope", "float64", unit="rad", doc="phase slope per element applied since the start"),
        Field("slope_sigma", "float64", unit="rad"),
        Field("frames", "uint64", doc="frames used so far"),
        Field("targets", "float64", doc="of these, the expected number with a target"),
        Field("loss", "float64", doc="the loss that the method minimises, mean over the last update; nan where it has none"),
        Field("acceptance", "float64", doc="of a start over the whole circle: nats by which its trial was passed; or nan"),
        Field("snr", "float64", unit="dB", doc="that was told, or estimated from the stream"),
        Field("target_probability", "float64", doc="P(t = 1), told or estimated"),
        Field("noise_power", "float64", doc="N0, told or estimated"),
        Field("gauge", "uint8", doc="1: common phase and linear phase as at the start, up to the slope estimated since"),
    ),
)

GAUGE_START = 1


def radar_sizes(radar: OfdmRadar, peaks: int = 1) -> dict[str, int]:
    """The sizes of the dimensions that the records name."""
    return {"N": radar.antennas, "S": radar.subcarriers, "K": peaks, "XY": 2}


def fields_of(record: Record, items: Items) -> dict[str, NDArray[Any]]:
    """The fields of `record` among those that came, to be sent on."""
    return {field.name: items.fields[field.name] for field in record.fields}


def where(usable: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    """values (F, ...) of the usable frames (F,), zeros for the others; the array itself where all are usable."""
    if np.count_nonzero(usable) == usable.size:
        return values
    return np.where(usable.reshape(-1, *[1] * (values.ndim - 1)), values, values.dtype.type(0))
