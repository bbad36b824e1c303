"""What a block costs: process() alone, in the jig, on messages as long as a flowgraph's, without the jig's own copies."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Case, Sample
from benchmarks.workload import Workload
from isacblocks.blocks import AngleDelayMap, DelayCompressor, ImpairedChannel, KappaCalibrator, MaprtDetector
from isacblocks.stream import Block, jig
from isacblocks.study.evaluation import Evaluation

# Frames in a message, what the flowgraph chooses: where full frames are sent, where they are not
FULL_MESSAGE, MESSAGE = 64, 256

Fields = Mapping[str, NDArray[Any]]


class _Timed:
    """process() of a block with a clock around it, these output ports of it connected."""

    def __init__(self, block: Block, outputs: Collection[str]) -> None:
        self.block, self.outputs = block, outputs
        self.process = block.process
        self.seconds = 0.0

    def __call__(self, **items: Any) -> Any:
        for name in self.block.outputs():  # the jig connects all of them
            self.block.ports[name].connected = name in self.outputs
        begin = time.thread_time()
        out = self.process(**items)
        self.seconds += time.thread_time() - begin
        return out


def process_sampler(
    make: Callable[[], Block], inputs: Mapping[str, Fields], outputs: Collection[str], portion: int, least: float
) -> Callable[[], Sample]:
    """A sample of a block's process() on these inputs in messages of `portion` items, these outputs connected."""
    items = len(next(iter(next(iter(inputs.values())).values())))

    def sample() -> Sample:
        done, spent = 0, 0.0
        while done == 0 or spent < least:
            block = make()
            timed = _Timed(block, outputs)
            block.__dict__["process"] = timed  # the instance's own, found before the class's
            jig.run(block, inputs, portion=portion)
            done += items
            spent += timed.seconds
        return done, spent

    return sample


def repeated(fields: Fields, times: int) -> dict[str, NDArray[Any]]:
    """Light items several times over, so that a message-wise block gets enough of them."""
    return {name: np.concatenate([array] * times) for name, array in fields.items()}


def _length(inputs: Mapping[str, Fields], outputs: Collection[str]) -> int:
    return FULL_MESSAGE if "frame" in {*inputs, *outputs} else MESSAGE


def cases(work: Workload, least: float = 0.01) -> list[Case]:
    """The channel and the receiver's blocks, each fed with what the one before it has made."""
    radar, scene, frames = work.radar, work.scene, work.fields()
    points = work.theta.shape[1], work.tau.shape[1]

    def compressor() -> Block:
        return DelayCompressor(radar, scene)

    def image() -> Block:
        return AngleDelayMap(radar, *points, kappa=work.kappa, scene=scene)

    def detector() -> Block:
        return MaprtDetector(radar, noise="estimated")

    def calibrator() -> Block:
        return KappaCalibrator(radar)

    def channel() -> Block:
        return ImpairedChannel(radar, scene)

    def judge() -> Block:
        return Evaluation(radar)

    packed = jig.run(compressor(), {"frame": frames})[0]["compressed"]
    peaks = repeated(jig.run(image(), {"frame": frames})[0]["peak"], 8)
    symbols = {"symbols": {"x": work.x}}
    truth = {name: getattr(work.truth, name) for name in ("gamma", "theta", "tau")}
    truth |= {"present": work.truth.gamma != 0, "kappa": np.tile(work.kappa.astype(np.complex64), (work.frames, 1))}
    judged = {"detection": jig.run(detector(), {"peak": peaks})[0]["detection"], "truth": repeated(truth, 8)}
    inputs: dict[str, tuple[str, Callable[[], Block], Mapping[str, Fields], Collection[str]]] = {
        "block ImpairedChannel": ("full frames made", channel, symbols, ("frame", "truth")),
        "block ImpairedChannel, compressed": ("frames drawn compressed", channel, symbols, ("compressed", "truth")),
        "block DelayCompressor": ("full frames", compressor, {"frame": frames}, ("compressed",)),
        "block AngleDelayMap": ("full frames", image, {"frame": frames}, ("peak",)),
        "block AngleDelayMap, compressed": ("compressed frames", image, {"compressed": packed}, ("peak",)),
        "block MaprtDetector": ("peaks, noise estimated", detector, {"peak": peaks}, ("detection",)),
        "block Evaluation": ("detections, without kappa", judge, judged, ()),
        "block KappaCalibrator": ("peaks, tracker", calibrator, {"peak": peaks}, ("kappa",)),
    }
    return [
        Case(name, f"process() per frame, {text}", process_sampler(make, given, out, _length(given, out), least), "thread")
        for name, (text, make, given, out) in inputs.items()
    ]
