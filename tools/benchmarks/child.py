"""Cases that need an environment of their own, measured in a child process that does its share of every round.

OpenBLAS chooses its kernels when it is loaded, so another choice (OPENBLAS_CORETYPE) is another process. The child answers
a name on its standard input with a line of JSON: units done and seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

if __name__ == "__main__":  # started by path: the package is beside
    sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
    from benchmarks.pinned import pin

    pin()

from benchmarks.limits import matrix_product
from benchmarks.machine import openblas_core, wide
from benchmarks.measure import Case, Sample, UnavailableError, case
from benchmarks.numpy_dense import DenseDetector, best_chunk
from benchmarks.workload import draw


def core_type() -> str:
    """The OpenBLAS core for this machine's widest registers; UnavailableError where it is what OpenBLAS chooses anyway."""
    if not wide():
        raise UnavailableError("OpenBLAS's own choice is the best one without AVX-512")
    if openblas_core() in ("SkylakeX", "Cooperlake", "Sapphirerapids"):
        raise UnavailableError(f"OpenBLAS has chosen {openblas_core()} by itself")
    return "SKYLAKEX"


class Child:
    """The child, with its cases for this process's rounds."""

    def __init__(self, frames: int, least: float) -> None:
        core = core_type()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(frames), str(least)],
            env={**os.environ, "OPENBLAS_CORETYPE": core},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.core = str(self._receive()["core"])
        self.chunk = int(str(self._receive()["chunk"]))

    def _receive(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child process ended with status {self._process.wait()}")
        answer: dict[str, object] = json.loads(line)
        return answer

    def _sampler(self, name: str) -> Callable[[], Sample]:
        def sample() -> Sample:
            assert self._process.stdin is not None
            print(name, file=self._process.stdin, flush=True)
            answer = self._receive()
            return float(str(answer["units"])), float(str(answer["seconds"]))

        return sample

    def cases(self) -> list[Case]:
        """sgemm and the yardstick with the other core type."""
        other = f"OPENBLAS_CORETYPE={self.core}"
        return [
            Case("sgemm, wide", f"the same with {other}", self._sampler("sgemm"), "thread", "flop"),
            Case(
                "numpy dense, wide",
                f"the numpy baseline with {other}, {self.chunk} frames at a time",
                self._sampler("numpy dense"),
                "thread",
            ),
        ]

    def close(self) -> None:
        """End the child."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(10)


def serve(frames: int, least: float, source: IO[str], target: IO[str]) -> None:
    """Answer until the input ends."""
    work = draw(frames)
    chunk = best_chunk(work)
    detector = DenseDetector(work, chunk)

    def dense() -> float:
        detector.answer()
        return work.frames

    known = {
        "sgemm": case("sgemm", "", matrix_product(), least=least),
        "numpy dense": case("numpy dense", "", dense, least=least),
    }
    print(json.dumps({"core": openblas_core()}), file=target, flush=True)
    print(json.dumps({"chunk": chunk}), file=target, flush=True)
    for line in source:
        units, seconds = known[line.strip()].sample()
        print(json.dumps({"units": units, "seconds": seconds}), file=target, flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]), sys.stdin, sys.stdout)
