"""The methods by their names.

``tracker`` (default)
    one pass at the Cramer-Rao bound and the slope from the prior sectors, for hardware that stays put, drifts, jumps or
    breaks, at rates and times that nobody knows: :mod:`isacblocks.blocks.methods.tracker`;
``online``
    the same for hardware that stays put, or drifts at a rate that is known, in one line of arithmetic:
    :mod:`isacblocks.blocks.methods.online`;
``em``
    as online, with the whole map in place of its maximum: :mod:`isacblocks.blocks.methods.expectation`;
``adam-max``, ``adam-reconstruction``
    the paper's: gradient descent on eq. (14) or (15), Algorithm 1: :mod:`isacblocks.blocks.methods.descent`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from isacblocks.blocks.methods.base import Method
from isacblocks.blocks.methods.descent import Descent
from isacblocks.blocks.methods.expectation import ExpectationMaximisation
from isacblocks.blocks.methods.full_circle import FullCircle
from isacblocks.blocks.methods.online import Online
from isacblocks.blocks.methods.slope import SlopeStep
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.blocks.methods.tracker import Tracker
from isacblocks.kernels.delay_basis import DelayBasis
from isacblocks.radar import OfdmRadar

METHODS = ("tracker", "online", "em", "adam-max", "adam-reconstruction")
_TABLE1_PHASES = math.pi / math.sqrt(12)  # standard deviation of U[-pi/2, pi/2]
_ANY_PHASES = math.pi / math.sqrt(3)  # of U[-pi, pi]


@dataclass(frozen=True)
class Choice:
    """A method by its name, with all that the methods can be asked for; see KappaCalibrator. Raises ValueError."""

    method: str
    radar: OfdmRadar
    basis: DelayBasis
    slope: bool
    phase_deviation: float | None
    learning_rate: float
    second_moment: str
    full_circle: bool

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        if not (math.isfinite(self.phases) and self.phases > 0):
            raise ValueError(f"phase_deviation: expected a positive number, got {self.phase_deviation!r}")

    @property
    def phases(self) -> float:
        """Prior standard deviation of the phases, rad."""
        if self.phase_deviation is not None:
            return self.phase_deviation
        return _ANY_PHASES if self.full_circle else _TABLE1_PHASES

    @property
    def needs_frames(self) -> bool:
        """Whether the method wants compressed frames beside their peaks."""
        return self.full_circle or self.method == "em"

    def make(self, around: Surroundings) -> Method:
        """The method, in these surroundings."""
        step = SlopeStep(self.radar, self.phases) if self.slope and self.radar.uniform_linear else None
        made: Method  # what Adam cannot do is refused whoever learns
        made = Descent(self.method.removeprefix("adam-"), around, self.learning_rate, self.second_moment)
        if self.method == "tracker":
            made = Tracker(around, step, self.phases)
        elif self.method == "online":
            made = Online(around, step)
        elif self.method == "em":
            made = ExpectationMaximisation(around, step, self.basis)
        return FullCircle(made, around, self.basis) if self.full_circle else made
