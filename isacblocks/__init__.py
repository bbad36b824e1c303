"""isacblocks: streaming blocks that calibrate an antenna array while it senses.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from isacblocks._lazy import lazy
from isacblocks._version import __version__

TYPE_CHECKING = False  # as type checkers know it; typing itself takes longer to load than all the rest here
if TYPE_CHECKING:
    from isacblocks.kernels.adam import Adam
    from isacblocks.kernels.detection import detection_threshold, false_alarm_probability
    from isacblocks.kernels.errors import KappaError, kappa_error
    from isacblocks.kernels.losses import max_loss, reconstruction_loss
    from isacblocks.kernels.peak import Peaks
    from isacblocks.kernels.search import angle_delay_map, find_peak
    from isacblocks.kernels.simulation import simulate_frames
    from isacblocks.kernels.steering import delay_vectors, steering_vectors
    from isacblocks.radar import OfdmRadar, Scene

_HOMES = {
    "Adam": "kernels.adam",
    "KappaError": "kernels.errors",
    "OfdmRadar": "radar",
    "Peaks": "kernels.peak",
    "Scene": "radar",
    "angle_delay_map": "kernels.search",
    "delay_vectors": "kernels.steering",
    "detection_threshold": "kernels.detection",
    "false_alarm_probability": "kernels.detection",
    "find_peak": "kernels.search",
    "kappa_error": "kernels.errors",
    "max_loss": "kernels.losses",
    "reconstruction_loss": "kernels.losses",
    "simulate_frames": "kernels.simulation",
    "steering_vectors": "kernels.steering",
}

__all__ = [
    "Adam",
    "KappaError",
    "OfdmRadar",
    "Peaks",
    "Scene",
    "__version__",
    "angle_delay_map",
    "delay_vectors",
    "detection_threshold",
    "false_alarm_probability",
    "find_peak",
    "kappa_error",
    "max_loss",
    "reconstruction_loss",
    "simulate_frames",
    "steering_vectors",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
