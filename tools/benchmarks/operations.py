"""How many multiply-adds and bytes a frame needs by each method, and with them the time that no program can beat.

N antennas, S subcarriers, I angles, J delays, D functions of the delay basis, A functions of the angle basis. A product, a
sum and a fused product and sum count as one each, of real numbers; docs/performance.md derives the counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.radar import OfdmRadar, Scene


@dataclass(frozen=True)
class Sizes:
    """The sizes that the counts depend on."""

    antennas: int
    subcarriers: int
    angles: int
    delays: int
    delay_rank: int
    angle_rank: int
    blocks: int = 0  # of the filter that the delay basis is reached by
    kept: int = 0  # values that it keeps of a row


@dataclass(frozen=True)
class Stage:
    """A step of a method: multiply-adds, and bytes that have to come from or go to memory, per frame."""

    name: str
    operations: float
    bytes: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What a core can do: multiply-adds and bytes per second."""

    operations: float
    bytes: float

    def seconds(self, stages: list[Stage]) -> float:
        """The longer of computing and moving, for all stages together: the two go on at the same time."""
        operations, moved = sum(s.operations for s in stages), sum(s.bytes for s in stages)
        return max(operations / self.operations, moved / self.bytes)


def sizes(radar: OfdmRadar, scene: Scene, angles: int, delays: int) -> Sizes:
    """With the ranks of the bases of this radar and scene.

    Over a sector the steering vectors of a uniform linear array are sequences of the element number n whose frequencies
    (d / lambda) sin(theta) lie in a band, as delay vectors are of the subcarrier number; so the angle basis is the delay
    basis of N "subcarriers" with as wide a band: here the widest, that of a sector around the boresight.
    """
    band = 2 * radar.element_spacing * math.sin(scene.sector_width_max / 2)
    array = OfdmRadar(antennas=2, subcarriers=radar.antennas, subcarrier_spacing=1.0)
    basis = delay_basis(radar, *scene.delay_window(radar))
    blocks, kept = (0, 0) if basis.decimation is None else (len(basis.decimation.taps), len(basis.decimation.matrix))
    return Sizes(
        antennas=radar.antennas,
        subcarriers=radar.subcarriers,
        angles=angles,
        delays=delays,
        delay_rank=basis.rank,
        angle_rank=delay_basis(array, 0.0, band).rank,
        blocks=blocks,
        kept=kept,
    )


def dense(size: Sizes) -> list[Stage]:
    """Eq. (11) by two dense products, delay first."""
    n, s, i, j = size.antennas, size.subcarriers, size.angles, size.delays
    return [
        Stage("symbols off", 4 * n * s, 8 * n * s),
        Stage("delay correlation", 4 * n * s * j),
        Stage("beams", 4 * i * n * j),
        Stage("power", 2 * i * j),
    ]


def compression(size: Sizes) -> list[Stage]:
    """A full frame to its delay basis, by a filter where there is one, even and odd functions apart."""
    n, s, d = size.antennas, size.subcarriers, size.delay_rank
    turn = Stage("symbols and ramp off", 4 * n * s, 8 * n * s)
    if size.blocks:
        return [
            turn,
            Stage("filter", 2 * n * s * size.blocks),
            Stage("fold what it keeps", 2 * n * size.kept),
            Stage("project that on the delay basis", n * size.kept * d),
        ]
    return [
        turn,
        Stage("fold the subcarriers", 2 * n * s),
        Stage("project on the delay basis", n * s * d),
    ]


def expansion(size: Sizes) -> list[Stage]:
    """A compressed frame to its map, by the angle basis and the symmetry of the delay grid."""
    n, i, j, d, a = size.antennas, size.angles, size.delays, size.delay_rank, size.angle_rank
    return [
        Stage("kappa and centre off, fold the antennas", 6 * n * d),
        Stage("project on the angle basis", a * n * d),
        Stage("rows of the sector", 2 * i * a * d),
        Stage("expand over the delays", i * d * j + 2 * i * j),
        Stage("power", 2 * i * j),
    ]


def stored(size: Sizes) -> list[Stage]:
    """Writing the map."""
    return [Stage("store the map", 0, 4 * size.angles * size.delays)]


def detector(size: Sizes) -> list[Stage]:
    """A full frame to its map, looked at and not kept."""
    return [*compression(size), *expansion(size)]


METHODS: dict[str, Callable[[Sizes], list[Stage]]] = {
    "map stored": lambda size: [*detector(size), *stored(size)],
    "detector": detector,
    "detector, compressed": expansion,
    "compressor": compression,
    "literal map": lambda size: [*dense(size), *stored(size)],
}
