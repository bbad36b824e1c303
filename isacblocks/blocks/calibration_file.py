"""Calibration files: kappa with what it was made for, from and when; JSON, documented in docs/formats.md."""

from __future__ import annotations

import datetime
import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks._version import __version__
from isacblocks.kernels.impairments import retract
from isacblocks.radar import OfdmRadar
from isacblocks.stream.decoder import UNREADABLE
from isacblocks.stream.files import write_atomically

FORMAT = "isacblocks calibration"
VERSION = 1
MAX_AGE_DAYS = 30.0  # beyond that a calibration is taken with a warning
_LARGEST = 16 << 20  # bytes
GAUGE = "common phase and linear phase as at the start of the run, up to the slope estimated since"


class CalibrationError(ValueError):
    """A calibration file that cannot be used; the message names it and says why."""


class Calibration(msgspec.Struct, kw_only=True):
    """An estimate of kappa and where it comes from. kappa: (real, imaginary) per antenna, ||kappa||^2 = N."""

    format: str = FORMAT
    version: int = VERSION
    kappa: list[tuple[float, float]]
    sigma_rad: list[float] | None = None  # standard deviation of each antenna's phase
    gain_sigma: list[float] | None = None  # of each antenna's gain, mean gain 1
    health: list[int] | None = None  # per antenna, 0: good
    slope_rad: float = 0.0  # per element, estimated since the start of the run
    slope_sigma_rad: float | None = None
    gauge: str = GAUGE
    frames: int = 0  # used
    targets: float = 0.0  # of these, the expected number with a target
    method: str = ""
    snr_db: float | None = None  # assumed
    acceptance: float | None = None  # nats by which a start over the whole circle passed its trial
    temperature_c: float | None = None  # of the hardware, where somebody has measured it
    radar: dict[str, Any]
    created: str = ""
    software: str = f"isacblocks {__version__}"
    provenance: str = ""

    @property
    def vector(self) -> NDArray[np.complex128]:
        """kappa as complex128 (N,)."""
        return np.array([complex(re, im) for re, im in self.kappa])


def calibration_of(radar: OfdmRadar, kappa: NDArray[Any], **known: Any) -> Calibration:
    """A calibration of `kappa` (N,) for `radar`, made now; `known`: the other fields of :class:`Calibration`."""
    if kappa.shape != (radar.antennas,):
        raise CalibrationError(f"kappa: expected shape ({radar.antennas},), got {kappa.shape}")
    pairs = [(float(value.real), float(value.imag)) for value in retract(kappa.astype(np.complex128))]
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return Calibration(kappa=pairs, radar=asdict(radar), created=now, **known)


def save_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write the file, atomically. Raises CalibrationError where that is impossible."""
    try:
        write_atomically(Path(path), msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be written: {error.strerror}") from error


def load_calibration(path: str | Path, radar: OfdmRadar, max_age_days: float = MAX_AGE_DAYS) -> Calibration:
    """Read a file and see that it fits the array. Raises CalibrationError saying what does not fit, or what is broken.

    One that is older than `max_age_days` is taken, with a warning.
    """
    found, made_for = read_calibration(path)
    _fits(path, made_for, radar)
    days = age_days(found)
    if days is not None and days > max_age_days:
        logging.getLogger("isacblocks.calibration").warning(
            "%s: was made %.0f days ago, more than %g; phases may have drifted since, which costs array gain until they are "
            "learned again; calibrate anew and save it",
            path,
            days,
            max_age_days,
        )
    return found


def age_days(calibration: Calibration) -> float | None:
    """Days since it was made; None where it does not say when."""
    try:
        made = datetime.datetime.fromisoformat(calibration.created)
    except ValueError:
        return None
    if made.tzinfo is None:
        made = made.replace(tzinfo=datetime.timezone.utc)
    return (datetime.datetime.now(datetime.timezone.utc) - made).total_seconds() / 86400


def read_calibration(path: str | Path) -> tuple[Calibration, OfdmRadar]:
    """Read a file whatever array it is for, and that array. Raises CalibrationError where it is broken."""
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise CalibrationError(f"{path}: larger than any calibration file ({_LARGEST >> 20} MiB)")
        data = file.read_bytes()
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        found = msgspec.json.decode(data, type=Calibration)
        made_for = msgspec.convert(found.radar, OfdmRadar)
    except UNREADABLE as error:
        raise CalibrationError(f"{path}: not a calibration file: {error}") from error
    if found.format != FORMAT or found.version != VERSION:
        what = f"{found.format!r} version {found.version}"
        raise CalibrationError(f"{path}: expected {FORMAT!r} version {VERSION}, got {what}")
    values = found.vector
    if values.shape != (made_for.antennas,) or not np.isfinite(values).all() or not np.abs(values).any():
        raise CalibrationError(f"{path}: expected {made_for.antennas} finite numbers kappa, not all zero, got {len(values)}")
    for name in ("sigma_rad", "gain_sigma", "health"):
        per_antenna = getattr(found, name)
        if per_antenna is not None and len(per_antenna) != made_for.antennas:
            raise CalibrationError(f"{path}: expected {made_for.antennas} numbers {name}, got {len(per_antenna)}")
    return found, made_for


def _fits(path: str | Path, made_for: OfdmRadar, radar: OfdmRadar) -> None:
    """The same array at the same carrier: kappa is a property of these, not of bandwidth or prefix."""
    pairs = {
        "antennas": (made_for.antennas, radar.antennas, ""),
        "carrier_frequency": (made_for.carrier_frequency, radar.carrier_frequency, " Hz"),
        "element_spacing": (made_for.element_spacing, radar.element_spacing, " wavelengths"),
        "element_positions": (made_for.element_positions, radar.element_positions, ""),
    }
    for name, (theirs, ours, unit) in pairs.items():
        numbers = isinstance(theirs, float) and isinstance(ours, float)
        same = math.isclose(theirs, ours, rel_tol=1e-9) if numbers else theirs == ours  # type: ignore[arg-type]
        if not same:
            raise CalibrationError(f"{path}: was made for {name} {theirs}{unit}, this array has {ours}{unit}; recalibrate")
