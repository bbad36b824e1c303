"""The blocks: kernels and streams meet here, one block a file. Loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isacblocks._lazy import lazy

if TYPE_CHECKING:
    from isacblocks.blocks.angle_delay_map import AngleDelayMap
    from isacblocks.blocks.delay_compressor import DelayCompressor
    from isacblocks.blocks.impaired_channel import ImpairedChannel, PhaseStep
    from isacblocks.blocks.kappa_calibrator import KappaCalibrator
    from isacblocks.blocks.maprt_detector import MaprtDetector
    from isacblocks.blocks.ofdm_source import OfdmSource
    from isacblocks.blocks.probe import Log, Probe
    from isacblocks.blocks.recorder import Recorder
    from isacblocks.blocks.replay import Replay
    from isacblocks.blocks.tcp_receiver import TcpReceiver
    from isacblocks.blocks.tcp_sender import TcpSender

_HOMES = {
    "AngleDelayMap": "angle_delay_map",
    "DelayCompressor": "delay_compressor",
    "ImpairedChannel": "impaired_channel",
    "KappaCalibrator": "kappa_calibrator",
    "Log": "probe",
    "MaprtDetector": "maprt_detector",
    "OfdmSource": "ofdm_source",
    "PhaseStep": "impaired_channel",
    "Probe": "probe",
    "Recorder": "recorder",
    "Replay": "replay",
    "TcpReceiver": "tcp_receiver",
    "TcpSender": "tcp_sender",
}

__all__ = [
    "AngleDelayMap",
    "DelayCompressor",
    "ImpairedChannel",
    "KappaCalibrator",
    "Log",
    "MaprtDetector",
    "OfdmSource",
    "PhaseStep",
    "Probe",
    "Recorder",
    "Replay",
    "TcpReceiver",
    "TcpSender",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
