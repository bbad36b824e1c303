"""The same table wherever the cells run; nothing lost or doubled when processes die; an end within two seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import campaign_cells
import msgspec
import pytest
from conftest import ROOT
from test_campaign import in_file, small

from isacblocks.cli.script import compile_kernels
from isacblocks.study.cell import Outcome, attempt, cell_row, columns
from isacblocks.study.dask_engine import DaskEngine
from isacblocks.study.engines import Engine, EngineError, LocalEngine, conduct
from isacblocks.study.results import State
from isacblocks.study.tables import csv_bytes, parquet_bytes

SEEDS = 16
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
CAMPAIGN = small(seed={"from": 1, "to": SEEDS})


def tables(state: State) -> tuple[bytes, bytes]:
    layout, rows = columns(state.campaign), [row for _, row in state.rows()]
    return csv_bytes(layout, rows), parquet_bytes(layout, rows)


def lines(directory: Path) -> list[Outcome]:
    """What the state's file holds, line by line."""
    whole = (directory / "state.jsonl").read_bytes().splitlines(keepends=True)[1:]
    return [msgspec.json.decode(line, type=Outcome) for line in whole if line.endswith(b"\n")]


def each_once(directory: Path, cells: int = SEEDS) -> None:
    """Nothing lost, nothing doubled."""
    assert sorted(found.cell for found in lines(directory)) == list(range(cells))
    assert all(found.error is None for found in lines(directory))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def until(condition: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The table without any engine."""
    compile_kernels()  # here, so that the commands below begin at once
    with State(tmp_path_factory.mktemp("plain"), CAMPAIGN) as state:
        for cell in CAMPAIGN.cells():
            state.append(attempt(cell_row, cell))
        return tables(state)


# This machine


@pytest.mark.parametrize("workers", [1, 2])
def test_local_processes_make_the_same_table(tmp_path: Path, expected: tuple[bytes, bytes], workers: int) -> None:
    with State(tmp_path, CAMPAIGN) as state:
        conduct(state, LocalEngine(workers))
        assert tables(state) == expected
    each_once(tmp_path)
    assert len({found.worker for found in lines(tmp_path)}) == workers
    assert str(os.getpid()) not in {found.worker.split(":")[1] for found in lines(tmp_path)}


def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path, expected: tuple[bytes, bytes]) -> None:
    killed: list[int] = []

    def kill(outcome: Outcome) -> None:
        if len(state.outcomes) in (5, 9):
            killed.append(int(outcome.worker.split(":")[1]))
            os.kill(killed[-1], signal.SIGKILL)

    with State(tmp_path, CAMPAIGN) as state:
        conduct(state, LocalEngine(2), watch=kill)
        assert tables(state) == expected
    assert len(set(killed)) == 2
    each_once(tmp_path)


def test_a_cell_that_kills_its_process_harms_no_other(tmp_path: Path) -> None:
    with State(tmp_path, CAMPAIGN) as state:
        conduct(state, LocalEngine(2), campaign_cells.deadly)
        assert set(state.failed()) == {1}
        assert "its process died 3 times while it ran alone" in state.failed()[1]
        assert [number for number, _ in state.rows()] == [0, *range(2, SEEDS)]
        conduct(state, LocalEngine(2), campaign_cells.plain)
        assert set(state.failed()) == {1}, "what failed is not run again unless that is asked for"
        conduct(state, LocalEngine(2), campaign_cells.plain, retry=True)
        assert not state.failed()
    assert len(lines(tmp_path)) == SEEDS + 1


def test_a_cell_whose_process_was_killed_once_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    monkeypatch.setenv("ISACBLOCKS_TEST_BROKEN", str(flag))
    with State(tmp_path / "out", CAMPAIGN) as state:
        conduct(state, LocalEngine(2), campaign_cells.deadly_once)
    assert not flag.exists()
    each_once(tmp_path / "out")


def test_workers_that_cannot_even_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isacblocks.study.engines._die_with", os._exit)
    with State(tmp_path, CAMPAIGN) as state, pytest.raises(EngineError, match="die before they can run a cell"):
        conduct(state, LocalEngine(2))


def test_workers_compute_in_one_thread_and_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    cells = list(CAMPAIGN.cells())[:1]
    (found,) = LocalEngine(1).outcomes(campaign_cells.threads, cells)
    assert found.row == {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


# The command, killed and stopped


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command, as the leader of a group of its own; it does not outlive a test that failed."""
    started = []

    def call(file: Path, out: Path, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "isacblocks", "campaign", str(file), "--out", str(out), *options]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, env=ENVIRONMENT, cwd=ROOT, stderr=pipe, stdout=pipe, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def test_after_a_sigkill_the_same_command_ends_with_the_same_table(
    start: Start, tmp_path: Path, expected: tuple[bytes, bytes]
) -> None:
    file, out = in_file(tmp_path / "sweep.toml", seed=list(CAMPAIGN.seed)), tmp_path / "out"
    process = start(file, out, "--workers", "2")
    assert until(lambda: (out / "state.jsonl").exists() and len(lines(out)) >= 4, 240)
    process.kill()
    finish(process)
    workers = {int(found.worker.split(":")[1]) for found in lines(out)}
    assert len(lines(out)) < SEEDS, "killed too late for the test to mean anything"
    assert until(lambda: all(gone(pid) for pid in workers), 5), "workers outlived the program"
    assert not (out / "table.csv").exists()
    with open(out / "state.jsonl", "ab") as state:
        state.write(b'{"cell":11,"row":{"snr_')  # as if the kill had come in the middle of a line
    status, said, _ = finish(start(file, out))
    assert status == 0
    assert said.startswith(f"{SEEDS} rows: ")
    each_once(out)
    assert ((out / "table.csv").read_bytes(), (out / "table.parquet").read_bytes()) == expected


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "stopped"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_it_soon_and_cleanly(
    start: Start, tmp_path: Path, expected: tuple[bytes, bytes], number: signal.Signals, status: int, word: str
) -> None:
    """SIGINT goes to the whole group of processes, as a terminal sends it."""
    file, out = in_file(tmp_path / "sweep.toml", seed=list(CAMPAIGN.seed)), tmp_path / "out"
    process = start(file, out)
    assert until(lambda: (out / "state.jsonl").exists() and len(lines(out)) >= 2, 240)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    found, _, err = finish(process, 60)
    assert found == status
    assert err.splitlines()[-1] == f"isacblocks: {word}"
    done = len(lines(out))
    assert done < SEEDS, "it went on to its end"
    assert f"isacblocks: {done} of {SEEDS} cells are kept in {out}/state.jsonl; the same command goes on from there" in err
    assert "Traceback" not in err
    workers = {int(line.worker.split(":")[1]) for line in lines(out)}
    assert until(lambda: all(gone(pid) for pid in workers), 2)
    if number == signal.SIGINT:
        assert finish(start(file, out))[0] == 0
        assert (out / "table.csv").read_bytes() == expected[0]


# A Dask cluster


class Cluster:
    """A scheduler and two workers, each a process of its own; the second one runs two cells at a time."""

    def __init__(self, directory: Path) -> None:
        distributed = pytest.importorskip("distributed")
        self.directory = directory
        self.file = directory / "scheduler.json"
        self.processes = [self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")]
        assert until(self.file.exists, 30)
        self.workers = [self._start("dask_worker", *self._worker(k)) for k in range(2)]
        self.processes += self.workers
        self.address = str(msgspec.json.decode(self.file.read_bytes())["address"])
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)

    def _worker(self, number: int) -> list[str]:
        one = ["--nworkers", "1", "--nthreads", str(number + 1), "--no-nanny"]
        return [*one, "--local-directory", str(self.directory / f"worker{number}")]

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{what}", "--no-dashboard", "--scheduler-file", str(self.file)]
        with open(self.directory / f"{what}.log", "ab") as log:
            return subprocess.Popen([*command, *options], env=ENVIRONMENT, cwd=self.directory, stdout=log, stderr=log)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait(timeout=10)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_dask_cluster_makes_the_same_table_though_a_worker_is_killed(
    cluster: Cluster, tmp_path: Path, expected: tuple[bytes, bytes]
) -> None:
    pids = {process.pid for process in cluster.workers}
    killed: list[int] = []

    def kill(outcome: Outcome) -> None:
        pid = int(outcome.worker.split(":")[1])
        assert pid in pids
        if len(state.outcomes) >= 6 and not killed and len({o.worker for o in state.outcomes.values()}) == 2:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    with State(tmp_path / "out", CAMPAIGN) as state:
        engine: Engine = DaskEngine(cluster.address)
        conduct(state, engine, watch=kill)
        assert tables(state) == expected
    assert len(killed) == 1
    assert len(state.outcomes) == SEEDS
    each_once(tmp_path / "out")
    ran = [int(found.worker.split(":")[1]) for found in lines(tmp_path / "out")]
    assert set(ran) == pids, "both had a part in it"
    assert ran[-1] not in killed


def test_the_command_on_a_cluster_stops_soon_and_goes_on_here(
    start: Start, cluster: Cluster, tmp_path: Path, expected: tuple[bytes, bytes]
) -> None:
    file, out = in_file(tmp_path / "sweep.toml", seed=list(CAMPAIGN.seed)), tmp_path / "out"
    process = start(file, out, "--scheduler", cluster.address)
    assert until(lambda: (out / "state.jsonl").exists() and len(lines(out)) >= 3, 240)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    err = ""
    while not err.endswith("isacblocks: stopped\n"):
        line = process.stderr.readline()
        assert line, f"ended without a word: {err}"
        err += line
    assert finish(process, 60)[0] == 130
    assert "Traceback" not in err
    done = len(lines(out))
    assert 3 <= done < SEEDS
    assert f"{done} of {SEEDS} cells are kept" in err
    assert finish(start(file, out, "--workers", "2"))[0] == 0
    each_once(out)
    assert (out / "table.csv").read_bytes() == expected[0]


def test_a_scheduler_that_dies_and_one_that_is_not_there(start: Start, cluster: Cluster, tmp_path: Path) -> None:
    file, out = in_file(tmp_path / "sweep.toml", seed=list(CAMPAIGN.seed)), tmp_path / "out"
    process = start(file, out, "--scheduler", cluster.address)
    assert until(lambda: (out / "state.jsonl").exists() and len(lines(out)) >= 3, 240)
    cluster.processes[0].kill()
    status, _, err = finish(process, 60)
    assert status == 1
    assert f"isacblocks: error: {cluster.address}: the connection to the scheduler is lost" in err.splitlines()[-1]
    assert "Traceback" not in err
    with (
        State(tmp_path / "none", CAMPAIGN) as state,
        pytest.raises(EngineError, match="no Dask scheduler answers there"),
    ):
        conduct(state, DaskEngine("tcp://127.0.0.1:9", timeout=1))
