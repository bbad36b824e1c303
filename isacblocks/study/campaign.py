"""A Monte-Carlo campaign: a grid over the parameters of a simulated run, written down in a TOML file.

Every key is an axis and takes a value, a list of values or a range; the cells of the campaign are all combinations, in the
order of AXES, the last one running fastest. See docs/formats.md.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from isacblocks._toml import nearest, read_toml, shown, value_at

AXES = ("snr_db", "antennas", "subcarriers", "drift", "impairments", "method", "frames", "seed")
_MOST = 1_000_000  # cells
_LARGEST = 2**63 - 1  # of TOML's integers
_EXPECTED = {
    "snr_db": "numbers of decibels from -60 to 120",
    "antennas": "integers of at least 2",
    "subcarriers": "integers of at least 2",
    "drift": "numbers of at least 0, degrees per sqrt(1000 frames)",
    "impairments": "names of laws",
    "method": "names of methods",
    "frames": "integers of at least 1",
    "seed": "integers from 0 to 2^63 - 1",
    "marks": "integers of at least 1",
    "p_fa": "a number from 1e-12 to 0.4",
    "full_circle": "true or false",
    "refine": "true or false",
    "told": "true or false",
    "steps": "tables {frame = integer from 0, antennas = list of integers from 0, degrees = number}",
}
_SHARED = ("marks", "p_fa", "steps", "full_circle", "refine", "told")  # by all cells
_LISTS = (*AXES, "marks")
_RANGES = {"snr_db": float, "drift": float} | dict.fromkeys(("antennas", "subcarriers", "frames", "seed", "marks"), int)

Count = Annotated[int, Meta(ge=1, le=_LARGEST)]
Index = Annotated[int, Meta(ge=0, le=_LARGEST)]
Size = Annotated[int, Meta(ge=2, le=_LARGEST)]


class CampaignError(ValueError):
    """What the file says is not a campaign; the message names the key, what was expected and what came."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At frame `frame` the phase of the named antennas jumps by `degrees`."""

    frame: Index
    antennas: tuple[Index, ...]
    degrees: float


class Cell(msgspec.Struct, frozen=True):
    """One configuration and seed. number: its place in the grid, from 0."""

    number: int
    snr_db: float
    antennas: int
    subcarriers: int
    drift: float
    impairments: str
    method: str
    frames: int
    seed: int
    marks: tuple[int, ...]
    p_fa: float
    steps: tuple[Step, ...]
    full_circle: bool = False
    refine: bool = False
    told: bool = False


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The values of every axis, and what all cells share; Table I by default.

    marks: numbers of frames after which kappa's error is noted, by default where the runs end; steps: phase jumps;
    full_circle, refine, told: see :func:`~isacblocks.study.simulation.simulate`.
    """

    snr_db: tuple[Annotated[float, Meta(ge=-60, le=120)], ...] = (15.0,)
    antennas: tuple[Size, ...] = (64,)
    subcarriers: tuple[Size, ...] = (256,)
    drift: tuple[Annotated[float, Meta(ge=0)], ...] = (0.0,)
    impairments: tuple[str, ...] = ("table1",)
    method: tuple[str, ...] = ("tracker",)
    frames: tuple[Count, ...] = (2000,)
    seed: tuple[Index, ...] = (1,)
    marks: tuple[Count, ...] = ()
    p_fa: Annotated[float, Meta(ge=1e-12, le=0.4)] = 1e-2
    steps: tuple[Step, ...] = ()
    full_circle: bool = False
    refine: bool = False
    told: bool = False

    @property
    def size(self) -> int:
        """How many cells there are."""
        return math.prod(len(getattr(self, axis)) for axis in AXES)

    @property
    def digest(self) -> str:
        """Equal for campaigns with the same cells in the same order, however their files write them."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    def cells(self) -> Iterator[Cell]:
        """All cells in the grid's order."""
        for number, values in enumerate(itertools.product(*(getattr(self, axis) for axis in AXES))):
            shared = {name: getattr(self, name) for name in _SHARED}
            yield Cell(number=number, **shared, **dict(zip(AXES, values, strict=True)))


def load_campaign(path: str | Path) -> Campaign:
    """The campaign in a TOML file. Raises CampaignError for what is not one, OSError where it cannot be read."""
    raw = read_toml(path, CampaignError)
    try:
        return campaign_of(raw)
    except CampaignError as error:
        raise CampaignError(f"{path}: {error}") from None


def campaign_of(raw: Mapping[str, Any]) -> Campaign:
    """The campaign that decoded TOML describes. Raises CampaignError."""
    names = Campaign.__struct_fields__
    if "blocks" in raw:
        raise CampaignError("expected a campaign, got a flowgraph; run it by isacblocks run")
    for key in raw:
        if key not in names:
            raise CampaignError(f"{key}: unknown key; {nearest(key, names)}")
    values = {key: _values(key, value) if key in _LISTS else value for key, value in raw.items()}
    try:
        campaign = msgspec.convert(values, Campaign)
    except msgspec.ValidationError as error:
        raise _in_words(str(error), values) from None
    if not campaign.marks:
        campaign = msgspec.structs.replace(campaign, marks=campaign.frames)
    campaign = msgspec.structs.replace(campaign, marks=tuple(sorted(set(campaign.marks))))
    _check(campaign)
    return campaign


def _values(key: str, value: Any) -> list[Any]:
    """What was written for an axis as a list; a range {from, to, step} includes its end."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or key not in _RANGES:
        return [value]
    if not {"from", "to"} <= value.keys() <= {"from", "to", "step"}:
        raise CampaignError(f"{key}: expected a range {{from, to, step}}, step being 1 unless given, got {shown(value)}")
    kinds = (int, float) if _RANGES[key] is float else (int,)
    first, last, step = value["from"], value["to"], value.get("step", 1)
    if not all(isinstance(v, kinds) and not isinstance(v, bool) and abs(v) <= _LARGEST for v in (first, last, step)):
        raise CampaignError(f"{key}: expected a range of {_EXPECTED[key]}, got {shown(value)}")
    if step <= 0 or last < first:
        raise CampaignError(f"{key}: expected a range that ends after it begins and a step above 0, got {value!r}")
    count = math.floor((last - first) / step * (1 + 1e-12)) + 1 if float in kinds else (last - first) // step + 1
    if count > _MOST:
        raise CampaignError(f"{key}: expected at most {_MOST} values, got {count}")
    values = [first + k * step for k in range(count)]
    return [float(f"{value:.12g}") for value in values] if float in kinds else values  # 0.3 rather than 3 x 0.1


def _in_words(message: str, values: Mapping[str, Any]) -> CampaignError:
    """What msgspec says, "... - at `$.key[0]`", with the key, what was expected and the value that came."""
    found = re.search(r"`\$\.?(.*)`$", message)
    path = found[1] if found else ""
    key = re.split(r"[.\[]", path)[0]
    unknown = re.search(r"unknown field `(.*?)`", message)
    detail = f" (unknown: {unknown[1]})" if unknown else ""
    came = shown(value_at(values, path))
    return CampaignError(f"{path}: expected {_EXPECTED.get(key, 'another value')}, got {came}{detail}")


def _check(campaign: Campaign) -> None:
    """What a type cannot say."""
    from isacblocks.kernels.impairments import LAWS
    from isacblocks.study.simulation import ALL_METHODS

    for axis in AXES:
        values = getattr(campaign, axis)
        if not values:
            raise CampaignError(f"{axis}: expected at least one value, got an empty list")
        twice = [value for k, value in enumerate(values) if value in values[:k]] if len(set(values)) < len(values) else []
        if twice:
            raise CampaignError(f"{axis}: expected every value once, got {twice[0]!r} twice")
        if not all(math.isfinite(value) for value in values if isinstance(value, float)):
            raise CampaignError(f"{axis}: expected finite {_EXPECTED[axis]}, got {list(values)!r}")
    for axis, known in (("impairments", LAWS), ("method", ALL_METHODS)):
        for value in getattr(campaign, axis):
            if value not in known:
                raise CampaignError(f"{axis}: expected {_EXPECTED[axis]}, got {value!r}; {nearest(value, known)}")
    if campaign.size > _MOST:
        raise CampaignError(f"the grid: expected at most {_MOST} cells, got {campaign.size}; make several campaigns of it")
    if campaign.marks[-1] > max(campaign.frames):
        raise CampaignError(f"marks: expected none beyond frames, at most {max(campaign.frames)}, got {campaign.marks[-1]}")
    for step in campaign.steps:
        if not math.isfinite(step.degrees) or any(n >= min(campaign.antennas) for n in step.antennas):
            expected = f"finite degrees and antennas from 0 to {min(campaign.antennas) - 1}"
            raise CampaignError(f"steps: expected {expected}, got {msgspec.to_builtins(step)!r}")
