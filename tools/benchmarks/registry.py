"""All cases by group; a group that cannot be measured here is left out with its reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from numba.core.errors import NumbaError

from benchmarks import block_cases, limits, made, numpy_dense, ours, torch_dense, training_cases
from benchmarks.agreement import Answer, Oracle
from benchmarks.child import Child
from benchmarks.measure import PROCESS, WALL, Case, UnavailableError, case
from benchmarks.workload import Workload, draw

# Further modules with a function cases(): by name, functions that do the work once and say how many frames that were;
# with a function close() where something of theirs has to be ended
EXTRA = {"simulation": PROCESS, "streams": WALL}  # and the clock that counts for them


@dataclass(frozen=True)
class Size:
    """How much is measured: frames of the workload, frames beyond the cache, batch of a training step, seconds a sample."""

    frames: int = 64
    memory_frames: int = 1024
    batch: int = 1024
    least: float = 0.01


QUICK = Size(frames=16, memory_frames=64, batch=32, least=0.0)


@dataclass
class Bench:
    """What will be measured: cases, why others are missing, what the answers agreed to, and what to close at the end."""

    cases: list[Case] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)
    map_errors: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    closing: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """End child processes."""
        for function in self.closing:
            function()


def _limits(bench: Bench, size: Size, _work: Workload) -> list[Case]:
    return limits.cases(size.memory_frames)


def _numpy(bench: Bench, size: Size, work: Workload) -> list[Case]:
    chunk = numpy_dense.best_chunk(work)
    bench.notes["numpy dense"] = f"{chunk} frames at a time"
    fixed, few = work.fixed(), draw(min(size.frames, 8))
    detectors = {
        "numpy dense": (numpy_dense.DenseDetector(work, chunk), work, f"every frame's own sector, {chunk} frames at a time"),
        "numpy dense, one sector": (numpy_dense.DenseDetector(fixed, chunk), fixed, "all frames over one sector"),
        "numpy literal": (
            numpy_dense.LiteralDetector(few, 1),
            few,
            "in the order of eq. (11), exponentials for every frame",
        ),
    }
    return [_checked(bench, name, text, detector.answer, on, size.least) for name, (detector, on, text) in detectors.items()]


def _wide(bench: Bench, size: Size, _work: Workload) -> list[Case]:
    child = Child(size.frames, size.least)
    bench.closing.append(child.close)
    bench.notes["other OpenBLAS core"] = child.core
    return child.cases()


def _torch(bench: Bench, size: Size, work: Workload) -> list[Case]:
    found = torch_dense.cases(work, size.batch, size.least)
    bench.agreement["torch dense, gradient"] = Oracle(work).check(
        "torch dense, gradient", torch_dense.TorchDetector(work).answer()
    )
    return found


def _literal(bench: Bench, size: Size, work: Workload) -> list[Case]:
    stored, search = ours.literal_map(work), ours.literal_detector(work)
    try:
        stored()
        answer = search()
    except (TypeError, NumbaError) as error:
        raise UnavailableError(f"the literal kernels take other arguments now: {str(error).splitlines()[0]}") from None
    bench.agreement["literal detector"] = Oracle(work).check("literal detector", answer)
    text = "kernels/angle_delay.py: eq. (11) dense, delay first, map stored"
    return [
        case("literal map", text, ours.counted(work, stored), least=size.least),
        case("literal detector", "kernels/peak.py: the same searched, then the gradient", ours.counted(work, search)),
    ]


def _ours(bench: Bench, size: Size, work: Workload) -> list[Case]:
    oracle = Oracle(work)
    for name, run in (("detector", ours.detector(work)), ("detector, compressed", ours.compressed_detector(work))):
        bench.agreement[name] = oracle.check(name, run())
    for name, maps in (("map stored", ours.stored_maps), ("map stored, compressed", ours.compressed_maps)):
        bench.map_errors[name] = oracle.check_maps(name, maps(work))
    anywhere = ours.any_array(work)
    bench.agreement["detector, any array"] = oracle.check("detector, any array", ours.detector(anywhere)())
    fixed = work.fixed()
    bench.agreement["detector, one sector"] = Oracle(fixed).check("detector, one sector", ours.detector(fixed)())
    return ours.cases(work, size.least)


def _blocks(_bench: Bench, size: Size, work: Workload) -> list[Case]:
    return block_cases.cases(work, size.least)


def _made(_bench: Bench, size: Size, work: Workload) -> list[Case]:
    return made.cases(work, size.least)


def _training(_bench: Bench, size: Size, work: Workload) -> list[Case]:
    return training_cases.cases(work, size.batch, size.least)


def _checked(bench: Bench, name: str, text: str, answer: Callable[[], Answer], work: Workload, least: float) -> Case:
    """A case whose answer has been compared with the oracle's first."""
    bench.agreement[name] = Oracle(work).check(name, answer())
    return case(name, text, ours.counted(work, answer), least=least)


def _extra(module: str) -> Callable[[Bench, Size, Workload], list[Case]]:
    def build(bench: Bench, size: Size, _work: Workload) -> list[Case]:
        if importlib.util.find_spec(f"benchmarks.{module}") is None:
            raise UnavailableError(f"there is no tools/benchmarks/{module}.py")
        loaded = importlib.import_module(f"benchmarks.{module}")
        if hasattr(loaded, "close"):
            bench.closing.append(loaded.close)
        made = loaded.cases()
        text = f"tools/benchmarks/{module}.py"
        return [case(f"{module}: {name}", text, run, clock=EXTRA[module], least=size.least) for name, run in made.items()]

    return build


GROUPS: dict[str, Callable[[Bench, Size, Workload], list[Case]]] = {
    "limits": _limits,
    "numpy": _numpy,
    "wide": _wide,
    "torch": _torch,
    "literal": _literal,
    "kernels": _ours,
    "blocks": _blocks,
    "made": _made,
    "training": _training,
    **{module: _extra(module) for module in EXTRA},
}


def assemble(names: Iterable[str], size: Size, say: Callable[[str], None] = lambda _: None) -> Bench:
    """These cases, named by themselves or by their groups, answers compared.

    Raises DisagreementError where two programs do not agree, KeyError for the name of neither a case nor a group.
    """
    wanted = set(names)
    single = wanted - set(GROUPS)
    bench = _assemble([group for group in GROUPS if single or group in wanted], size, say)
    if unknown := single - {one.name for one in bench.cases}:
        bench.close()
        raise KeyError(", ".join(sorted(unknown)))
    bench.cases = [one for one in bench.cases if {one.name, one.group} & wanted]
    return bench


def _assemble(groups: Iterable[str], size: Size, say: Callable[[str], None]) -> Bench:
    """All cases of these groups."""
    bench, work = Bench(), draw(size.frames)
    try:
        for group in groups:
            say(f"preparing: {group}")
            try:
                bench.cases += [replace(one, group=group) for one in GROUPS[group](bench, size, work)]
            except UnavailableError as error:
                bench.skipped[group] = str(error)
    except BaseException:
        bench.close()
        raise
    return bench
