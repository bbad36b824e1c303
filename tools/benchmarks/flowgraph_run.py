"""The main flowgraph as a whole, in threads, in wall time: how near it comes to its slowest block alone."""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from isacblocks import OfdmRadar, Scene
from isacblocks.stream import Source

# The cases in which the flowgraph's blocks are measured alone, as it is and with full frames
BLOCKS = {
    "impaired_channel": "block ImpairedChannel, compressed",
    "angle_delay_map": "block AngleDelayMap, compressed",
    "maprt_detector": "block MaprtDetector",
    "kappa_calibrator": "block KappaCalibrator",
}
FULL = BLOCKS | {"impaired_channel": "block ImpairedChannel", "delay_compressor": "block DelayCompressor"}
_SCRIPT = Path(__file__).resolve().parents[2] / "flowgraphs" / "online_calibration.py"


def _script() -> ModuleType:
    """The script flowgraphs/online_calibration.py as a module."""
    spec = importlib.util.spec_from_file_location("online_calibration", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one_run(frames: int, seed: int, *more: str) -> dict[str, Any]:
    """Frames per second, what every block spent, and how near the whole is to its slowest block.

    more: options of the script. seconds: wall time from the first block's begin; cpu_seconds: of all threads of this
    process. For every block: what its status says, per frame. of_slowest: the slowest block's working time over the wall
    time, 1 where nothing else counts.
    """
    script = _script()
    options: argparse.Namespace = script.parse(["--frames", str(frames), "--seed", str(seed), "--no-view", *more])
    options.steps, options.memory = [], float("inf")
    fg, _ = script.build(options, OfdmRadar(), Scene())
    batch = max(fg.suited_batch(block) for block in fg.blocks.values() if isinstance(block, Source))
    before = time.process_time()
    status = fg.run(frames, placement="threads")
    spent = time.process_time() - before
    blocks: dict[str, dict[str, float]] = {}
    for name, block in status.blocks.items():
        told = msgspec.to_builtins(block)
        spent_in = [key for key in told if key.endswith("_seconds") and key != "wall_seconds"]
        blocks[name] = {key: 1e6 * told[key] / frames for key in spent_in}
    slowest = max(blocks, key=lambda name: blocks[name]["work_seconds"])
    wall = 1e6 * status.seconds / frames
    return {
        "frames": frames,
        "batch": options.batch or batch,
        "us_per_frame": wall,
        "frames_per_second": 1e6 / wall,
        "cpu_us_per_frame": 1e6 * spent / frames,
        "cores_busy": 1e6 * spent / frames / wall,
        "cores": os.cpu_count(),
        "slowest": slowest,
        "of_slowest": blocks[slowest]["work_seconds"] / wall,
        "blocks_us_per_frame": blocks,
    }


def measure_flowgraph(frames: int, rounds: int, *more: str) -> dict[str, Any]:
    """The round with the median time per frame, and the times of all; more: options of the script."""
    one_run(max(frames // 10, 32), 0, *more)
    runs = sorted((one_run(frames, seed, *more) for seed in range(rounds)), key=lambda run: float(run["us_per_frame"]))
    return {**runs[len(runs) // 2], "samples": [run["us_per_frame"] for run in runs]}
