"""The crew: every turn is taken, no more at a time than there are places, and nothing waits for a block that waits."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from isacblocks.stream.crew import Crew, Turn

PATIENT = 60.0  # seconds after which a test is given up


class Gang:
    """Blocks of a crew, each with a thread of its own that it brings in."""

    def __init__(self, places: int) -> None:
        self.crew = Crew(places)
        self.threads: list[threading.Thread] = []

    def add(self, run: Callable[[], float | None]) -> Turn:
        turn = Turn(self.crew)
        turn.run = run
        self.threads.append(threading.Thread(target=self.crew.serve, args=(turn,), daemon=True))
        return turn

    def work(self) -> None:
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(PATIENT)
        assert not any(thread.is_alive() for thread in self.threads)


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))


class Relay:
    """Hands a baton round a ring of turns; a lost ring would stop it for ever, as nobody has a time of its own."""

    def __init__(self, gang: Gang, blocks: int, rounds: int) -> None:
        self.batons = [0] * blocks
        self.left = rounds
        self.turns = [gang.add(lambda k=k: self.run(k)) for k in range(blocks)]  # type: ignore[misc]

    def run(self, k: int) -> float | None:
        if self.left <= 0:
            for turn in self.turns:
                turn.ring()
            return None
        if self.batons[k]:
            self.batons[k] = 0
            self.left -= 1
            following = (k + 1) % len(self.turns)
            self.batons[following] = 1
            self.turns[following].ring()
        return PATIENT


@pytest.mark.parametrize("places", [1, 2, 4])
def test_no_ring_is_lost(places: int) -> None:
    gang = Gang(places)
    relays = [Relay(gang, blocks, 3000) for blocks in (2, 3, 5)]
    for relay in relays:
        relay.batons[0] = 1
    gang.work()
    assert all(relay.left <= 0 for relay in relays)


def test_a_ring_while_it_runs_is_another_turn() -> None:
    gang, seen = Gang(1), list[int]()

    def run() -> float | None:
        seen.append(len(seen))
        if len(seen) == 1:
            turn.ring()
        return PATIENT if len(seen) == 1 else None

    turn = gang.add(run)
    gang.work()
    assert seen == [0, 1]


def test_a_turn_comes_again_when_its_time_has_come() -> None:
    gang, times = Gang(2), list[float]()

    def run() -> float | None:
        times.append(time.monotonic())
        return 0.02 if len(times) < 5 else None

    gang.add(run)
    gang.add(lambda: None)
    gang.work()
    assert len(times) == 5
    assert all(later - earlier >= 0.02 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(("places", "seconds"), [(1, 2e-3), (2, 2e-3), (3, 2e-3), (3, 1e-5)])
def test_no_more_work_at_a_time_than_there_are_places_and_short_turns_one_by_one(places: int, seconds: float) -> None:
    gang, lock = Gang(places), threading.Lock()
    now = most = 0

    def worker(turns: int) -> Callable[[], float | None]:
        left = [turns]

        def run() -> float | None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now if gang.crew._at[2] == 0 else 0)  # those that wait for the processor need no place
            spin(seconds)
            with lock:
                now -= 1
            left[0] -= 1
            return 0.0 if left[0] else None

        return run

    gang.crew._patience = PATIENT
    for _ in range(5):
        gang.add(worker(60))
    gang.work()
    assert most <= (places if seconds > 1e-3 else 1)


def test_what_is_ready_does_not_wait_for_one_that_waits() -> None:
    """Both places are taken by blocks that wait for something that only the third one brings."""
    gang, come = Gang(2), threading.Event()

    def waiter() -> float | None:
        assert come.wait(PATIENT)
        return None

    def bringer() -> float | None:
        come.set()
        return None

    gang.add(waiter)
    gang.add(waiter)
    gang.add(bringer)
    gang.work()
    assert come.is_set()


def test_one_that_mostly_waits_needs_no_place() -> None:
    """While it sleeps, time and again, the others' turns are taken: far more than one for each patience."""
    gang, counts = Gang(1), [0, 0]

    def sleeper() -> float | None:
        time.sleep(0.02)
        counts[0] += 1
        return 0.0 if counts[0] < 60 else None

    def worker() -> float | None:
        counts[1] += 1
        return 0.0 if counts[0] < 60 else None

    gang.add(sleeper)
    gang.add(worker)
    gang.work()
    assert counts[1] > 1000


def test_somebody_looks_at_the_time_whoever_leaves() -> None:
    """Blocks end one after the other, at times of their own; each thread that leaves may be the one that looked at them."""
    gang = Gang(2)
    gang.crew._longest = PATIENT  # nobody looks without a reason

    def sleepy(turns: int) -> Callable[[], float | None]:
        left = [turns]

        def run() -> float | None:
            left[0] -= 1
            return 0.002 if left[0] else None

        return run

    for turns in (1, 2, 3, 5, 8, 13, 40, 41):
        gang.add(sleepy(turns))
    gang.work()


def test_who_leaves_wakes_another_to_look_at_the_time() -> None:
    """The thread that looked at the time goes, its block being over; all others sleep until they are called."""
    crew = Crew(2)
    mine = Turn(crew)
    own, others = threading.Lock(), [threading.Lock(), threading.Lock()]
    for bed in (own, *others):
        bed.acquire()
    crew._watcher, crew._beds = own, list(others)
    assert crew._next(mine, own) is None
    assert [bed.locked() for bed in others] == [False, True]
    assert crew._beds == others[1:]
