"""isacblocks calibration show | diff | export | apply: calibration files, looked at and used from the command line."""

from __future__ import annotations

import argparse
import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isacblocks.cli.script import UsageError, usage, writable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from isacblocks.blocks.calibration_file import Calibration
    from isacblocks.radar import OfdmRadar

# Fields of a calibration that an annotation repeats
_TOLD = (
    *("gain_sigma", "slope_rad", "slope_sigma_rad", "gauge", "frames", "targets", "method", "snr_db", "acceptance"),
    *("temperature_c", "created", "provenance"),
)
# What the words of an antenna's health say; docs/formats.md has it with all numbers
_MEANING = {
    "good": "none of the others",
    "silent": "no samples, or no echo in them",
    "saturated": "samples clipped",
    "restarted": "phase not known to 8.6 degrees: being learned anew after a jump, or never learned so far",
    "misplaced": "has the phases of another antenna's place: cables exchanged",
    "refused": "samples left out: not numbers, too large, or 30 times as strong as the others",
}
_SILENT = 0.1  # of the mean gain: an antenna below it is left out rather than made loud


def add_parser(commands: Any) -> None:
    """The command and its own commands."""
    parser = commands.add_parser("calibration", help="show, compare, export or apply calibration files")
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    words = "; ".join(f"{word}: {meaning}" for word, meaning in _MEANING.items())
    show = parts.add_parser(
        "show", help="what is in a file", description=f"What is in a file. Health of an antenna: {words}."
    )
    diff = parts.add_parser("diff", help="how far two files of one array are apart, common phase and slope removed")
    export = parts.add_parser("export", help="a row per antenna as CSV, or SigMF")
    apply = parts.add_parser("apply", help="take the array's gains and phases out of complex samples in an .npy")
    for one in (show, diff, export, apply):
        one.add_argument("file", metavar="FILE", help="a calibration file")
    diff.add_argument("other", metavar="OTHER", help="the other one")
    export.add_argument("out", metavar="OUT", help="where to write: OUT.csv, OUT.sigmf-meta, or a recording")
    export.add_argument(
        "--sigmf",
        action="store_true",
        help="as SigMF with the extension spatial, as for an OUT .sigmf-*: metadata without samples, or, where OUT is "
        "a recording of this array, as its annotation and phase offsets",
    )
    apply.add_argument("samples", metavar="IN.npy", help="complex samples, one axis of antennas")
    apply.add_argument("out", metavar="OUT.npy", help="where to write")
    apply.add_argument("--axis", type=int, help="that axis (default: the only one that is as long as the array)")


def work(options: argparse.Namespace) -> int:
    """The command; returns the exit status."""
    {"show": _show, "diff": _diff, "export": _export, "apply": _apply}[options.part](options)
    return 0


def _read(path: str) -> tuple[Calibration, OfdmRadar]:
    """A calibration file. Raises UsageError for what is none."""
    from isacblocks.blocks.calibration_file import read_calibration

    with usage():
        return read_calibration(path)


def rows(calibration: Calibration) -> list[dict[str, Any]]:
    """A row per antenna: kappa, gain in dB and phase in degrees, their standard deviations, health by name."""
    from isacblocks.kernels.health import HEALTH

    found = []
    for n, value in enumerate(calibration.vector.tolist()):
        sigma, gain_sigma, health = calibration.sigma_rad, calibration.gain_sigma, calibration.health
        code = None if health is None else health[n]
        found.append(
            {
                "antenna": n,
                "real": value.real,
                "imaginary": value.imag,
                "gain_db": 20 * math.log10(abs(value)) if value else -math.inf,
                "phase_deg": math.degrees(math.atan2(value.imag, value.real)),
                "sigma_deg": None if sigma is None else math.degrees(sigma[n]),
                "gain_sigma": None if gain_sigma is None else gain_sigma[n],
                "health": None if code is None else HEALTH[code] if code < len(HEALTH) else str(code),
            }
        )
    return found


def _show(options: argparse.Namespace) -> None:
    from isacblocks.blocks.calibration_file import age_days

    found, radar = _read(options.file)
    days, made = age_days(found), rows(found)
    ill = [f"{row['antenna']} {row['health']}" for row in made if row["health"] not in (None, "good")]
    sigmas = sorted(row["sigma_deg"] for row in made if row["sigma_deg"] is not None)
    facts = {
        "array": f"{radar.antennas} antennas, {radar.carrier_frequency / 1e9:g} GHz, "
        f"spacing {radar.element_spacing:g} wavelengths",
        "made": f"{found.created or 'nobody says when'}" + ("" if days is None else f", {days:.1f} days ago"),
        "by": f"{found.software}, {found.method or 'method not told'}; {found.provenance or 'provenance not told'}",
        "frames": f"{found.frames}, of these {found.targets:.0f} with a target",
        "phase sigma": "not told"
        if not sigmas
        else f"median {sigmas[len(sigmas) // 2]:.2f} deg, largest {sigmas[-1]:.2f} deg",
        "acceptance": "not told" if found.acceptance is None else f"{found.acceptance:.1f} nats",
        "temperature": "not told" if found.temperature_c is None else f"{found.temperature_c:.1f} C",
        "gauge": found.gauge,
        "health": ", ".join(ill) or ("not told; only the tracker judges antennas" if found.health is None else "all good"),
    }
    for name, said in facts.items():
        print(f"{name:12s} {said}")
    for word, meaning in _MEANING.items():
        if any(row["health"] == word != "good" for row in made):
            print(f"{'':12s} {word}: {meaning}")


def _diff(options: argparse.Namespace) -> None:
    import numpy as np

    from isacblocks.blocks.calibration_file import load_calibration
    from isacblocks.kernels.errors import gauge_error, kappa_error

    first, radar = _read(options.file)
    with usage():
        second = load_calibration(options.other, radar, max_age_days=math.inf)
    error = kappa_error(second.vector, first.vector, radar)
    gain, phase = gauge_error(second.vector, first.vector, radar)
    worst = int(np.argmax(np.abs(phase)))
    rms, largest = math.degrees(math.sqrt(np.mean(phase**2))), math.degrees(phase[worst])
    print(f"loss of array gain {max(error.loss_db, 0.0):.4f} dB, boresight {error.slope_deg:+.4f} deg")
    print(f"phases: rms {rms:.3f} deg, largest {largest:+.2f} at antenna {worst}")
    print(f"gains: rms {np.sqrt(np.mean(gain**2)):.4f} of the mean")


def _spare(out: str, *read: str) -> None:
    """See that `out` can be written, and is none of the files that are read. Raises UsageError."""
    for one in read:
        if Path(out).resolve() == Path(one).resolve():
            raise UsageError(f"{out}: would be written over itself; name another file to write to")
    with usage():
        writable(out)


def _export(options: argparse.Namespace) -> None:
    from isacblocks.frontends.sigmf_format import SUFFIXES
    from isacblocks.stream.files import write_atomically

    _spare(options.out, options.file)
    if options.sigmf or Path(options.out).suffix in SUFFIXES:
        _export_sigmf(options)
        return
    if Path(options.out).suffix != ".csv":  # it might be something else that is dear to somebody
        raise UsageError(f"OUT: expected OUT.csv, or OUT.sigmf-meta or --sigmf, got {options.out}")
    made = rows(_read(options.file)[0])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(made[0]))
    writer.writeheader()
    writer.writerows(made)
    write_atomically(Path(options.out), text.getvalue().encode())
    print(options.out)


def _export_sigmf(options: argparse.Namespace) -> None:
    import numpy as np

    from isacblocks.frontends.sigmf_calibration import annotate_calibration, write_calibration
    from isacblocks.frontends.sigmf_format import SUFFIXES, open_sigmf

    found, radar = _read(options.file)
    out = Path(options.out)
    base = out.with_suffix("") if out.suffix in SUFFIXES else out
    recordings = [base.with_suffix(suffix) for suffix in (".sigmf-collection", ".sigmf-data")]
    recording = next((path for path in recordings if path.exists()), None)
    told = {name: value for name in _TOLD if (value := getattr(found, name)) not in (None, "")}
    told["health"] = [row["health"] for row in rows(found)] if found.health is not None else None
    told = {name: value for name, value in told.items() if value is not None}
    sigma = None if found.sigma_rad is None else np.array(found.sigma_rad)
    if recording is None:
        print(write_calibration(base, radar, found.vector, sigma, **told))
        return
    name = recording if recording.suffix == ".sigmf-collection" else recording.with_suffix(".sigmf-meta")
    at = [capture["core:frequency"] for capture in open_sigmf(name).captures if "core:frequency" in capture]
    if any(not math.isclose(one, radar.carrier_frequency, rel_tol=1e-6) for one in at):
        made = f"{radar.carrier_frequency:g} Hz, the recording was at {at[0]:g} Hz"
        raise UsageError(f"{options.file}: was made for {made}; kappa belongs to a carrier, calibrate at that one")
    annotate_calibration(name, found.vector, sigma, **told)
    print(f"annotated: {name}")


def corrected(samples: NDArray[Any], kappa: NDArray[np.complex128], axis: int) -> NDArray[Any]:
    """samples / kappa along `axis`, in the samples' precision; antennas that are nearly silent become zero."""
    import numpy as np

    heard = np.abs(kappa) >= _SILENT * np.abs(kappa).mean()
    factor = np.where(heard, 1 / np.where(heard, kappa, 1), 0).astype(samples.dtype)
    shape = [1] * samples.ndim
    shape[axis] = kappa.size
    return np.asarray(samples * factor.reshape(shape))


def _apply(options: argparse.Namespace) -> None:
    import numpy as np

    from isacblocks.stream.files import write_atomically
    from isacblocks.stream.npy import read_npy

    _spare(options.out, options.file, options.samples)
    if Path(options.out).suffix != ".npy":
        raise UsageError(f"OUT: expected OUT.npy, got {options.out}")
    kappa = _read(options.file)[0].vector
    with usage():
        samples = read_npy(options.samples)
    if samples.dtype not in (np.complex64, np.complex128):
        raise UsageError(f"{options.samples}: expected complex64 or complex128, got {samples.dtype}")
    fitting = [axis for axis, length in enumerate(samples.shape) if length == kappa.size]
    axis = options.axis if options.axis is not None else fitting[0] if len(fitting) == 1 else None
    if axis is None or not -samples.ndim <= axis < samples.ndim or samples.shape[axis] != kappa.size:
        what = f"expected an axis of {kappa.size} antennas, got {samples.shape}"
        which = f"; say which with --axis: {', '.join(map(str, fitting))}" if fitting else ""
        raise UsageError(f"{options.samples}: {what}{which}")
    out = io.BytesIO()
    np.save(out, corrected(samples, kappa, axis))
    write_atomically(Path(options.out), out.getvalue())
    print(options.out)
