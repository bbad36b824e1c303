"""A calibration in SigMF: as an annotation of a recording, or as metadata without samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks._version import __version__
from isacblocks.frontends.sigmf_format import SigmfError, library, open_sigmf
from isacblocks.frontends.sigmf_sink import EXTENSIONS, element_points, write_meta
from isacblocks.radar import OfdmRadar
from isacblocks.stream.files import write_atomically


def calibration_words(kappa: NDArray[Any], sigma: NDArray[Any] | None, known: dict[str, Any]) -> dict[str, Any]:
    """The annotation of a calibration, without its place among samples.

    kappa: complex (N,); sigma: standard deviations of the phases, rad, (N,); known: further plain values, kept
    under isacblocks:NAME. Phases are in degrees relative to antenna 0, gains in dB.
    """
    phases = np.degrees(np.angle(kappa * np.conj(kappa[0])))
    phases[0] = 0.0  # the reference, and not rounding
    words: dict[str, Any] = {
        "core:label": "calibration",
        "core:generator": f"isacblocks {__version__}",
        "isacblocks:phase_deg": [float(p) for p in phases],
        "isacblocks:gain_db": [float(g) for g in 20 * np.log10(np.maximum(np.abs(kappa), 1e-12))],
    }
    if sigma is not None:
        words["isacblocks:sigma_deg"] = [float(s) for s in np.degrees(sigma)]
    return words | {f"isacblocks:{name}": value for name, value in known.items()}


def write_calibration(
    path: str | Path, radar: OfdmRadar, kappa: NDArray[Any], sigma: NDArray[Any] | None = None, **known: Any
) -> Path:
    """Write NAME.sigmf-meta, validated by the library, and return its path; arguments as of :func:`calibration_words`.

    Raises SigmfError where the library is missing or refuses it, or where the file exists.
    """
    sigmf = library()
    name = Path(path)
    target = (name.with_suffix("") if name.suffix.startswith(".sigmf") else name).with_suffix(".sigmf-meta")
    if target.exists():
        raise SigmfError(f"{target}: exists already; choose another name")
    words = calibration_words(kappa, sigma, known)
    capture = {
        "core:sample_start": 0,
        "core:frequency": radar.carrier_frequency,
        "spatial:element_geometry": element_points(radar),
        "isacblocks:phase_offsets": words["isacblocks:phase_deg"],
    }
    told = {
        "core:datatype": "cf32_le",
        "core:num_channels": radar.antennas,
        "core:metadata_only": True,
        "core:recorder": f"isacblocks {__version__}",
        "core:extensions": EXTENSIONS,
        "spatial:num_elements": radar.antennas,
        "spatial:channel_index": 0,
    }
    meta = {"global": told, "captures": [capture], "annotations": [{"core:sample_start": 0, **words}]}
    made = sigmf.SigMFFile(metadata=meta)
    try:
        made.validate()
    except Exception as error:  # jsonschema's, of which there are several
        raise SigmfError(f"{target}: {str(error).splitlines()[0]}") from error
    write_atomically(target, made.dumps(pretty=True).encode() + b"\n")
    return target


def annotate_calibration(path: str | Path, kappa: NDArray[Any], sigma: NDArray[Any] | None = None, **known: Any) -> None:
    """Write a calibration into the metadata of a recording, as an annotation of all of its samples and as phase offsets.

    Arguments as of :func:`calibration_words`. What a recording said before of phase offsets and gains is replaced.
    Raises SigmfError.
    """
    recording = open_sigmf(path)
    antennas = int(recording.meta.get("spatial:num_elements", recording.channels))
    if np.shape(kappa) != (antennas,) or not np.isfinite(kappa).all():
        raise SigmfError(f"{path}: expected kappa of {antennas} antennas, got shape {np.shape(kappa)}")
    words = calibration_words(kappa, sigma, known)
    per_antenna = [f"isacblocks:{name}" for name in ("phase_deg", "gain_db", "sigma_deg")]
    first = 0
    for part in recording.parts:
        here = slice(first, first + part.channels)
        meta = json.loads(json.dumps(part.meta))
        mine = words | {name: words[name][here] for name in per_antenna if name in words}
        phases = mine["isacblocks:phase_deg"]
        told = phases + [0.0] * (part.channels - len(phases))
        if not meta["captures"]:
            meta["captures"].append({"core:sample_start": 0})
        for capture in meta["captures"]:
            capture.update({"spatial:phase_offset": told[0]} if part.channels == 1 else {"isacblocks:phase_offsets": told})
        place = {"core:sample_start": int(meta["global"].get("core:offset", 0)), "core:sample_count": part.samples}
        kept = [one for one in meta.get("annotations", []) if one.get("core:label") != "calibration"]
        meta["annotations"] = [*kept, place | mine]
        write_meta(part.path.with_suffix(".sigmf-meta"), part.path, meta)
        first += part.channels
    if recording.path.suffix == ".sigmf-collection":
        _rehash(recording.path)


def _rehash(path: Path) -> None:
    """The metadata has changed, so its checksums in the collection change too."""
    from sigmf import hashing

    meta = json.loads(path.read_bytes())
    for stream in meta["collection"]["core:streams"]:
        stream["hash"] = hashing.calculate_sha512(filename=path.with_name(stream["name"] + ".sigmf-meta"))
    path.write_text(json.dumps(meta, indent=2) + "\n")
