"""tools/chaos.py and tools/mutate.py: what they report, and that what they are told to do is there to be done."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import chaos
import mutate
import pytest
from faults import registry
from faults.case import Case, Outcome, percentile


def _case(name: str, outcome: Outcome | Exception) -> Case:
    def run(count: int) -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        outcome.figures["count"] = float(count)
        return outcome

    return Case(name, "it holds", run, small=2, full=7)


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> dict[str, Case]:
    """Instead of the real ones."""
    broken = Outcome()
    broken.expect(False, "one item was lost")
    broken.expect(True, "never said")
    made = (_case("good", Outcome()), _case("broken", broken), _case("raising", ZeroDivisionError("by zero")))
    found = {case.name: case for case in made}
    monkeypatch.setattr(chaos, "cases", lambda: found)
    return found


def test_a_breach_is_told_and_is_the_exit_status(
    cases: dict[str, Case], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "chaos.json"
    assert chaos.main(["--json", str(path)]) == 1
    said = capsys.readouterr().out
    assert "BREACH broken: one item was lost" in said
    assert "never said" not in said
    assert "1 of 3 cases held" in said
    found = {row["case"]: row for row in json.loads(path.read_text())}
    assert found["good"]["breaches"] == []
    assert found["good"]["figures"] == {"count": 2.0}
    assert found["raising"]["breaches"] == ["the case itself failed: ZeroDivisionError: by zero"]


def test_full_and_count_say_how_often(cases: dict[str, Case], tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"
    assert chaos.main(["--only", "good", "--full", "--json", str(path)]) == 0
    assert json.loads(path.read_text())[0]["count"] == 7
    assert chaos.main(["--only", "good", "--count", "3", "--json", str(path)]) == 0
    assert json.loads(path.read_text())[0]["count"] == 3


def test_an_unknown_case_is_a_usage_error(cases: dict[str, Case], capsys: pytest.CaptureFixture[str]) -> None:
    assert chaos.main(["--only", "other"]) == 2
    assert "expected some of good, broken, raising" in capsys.readouterr().err


def test_the_cases_have_names_of_their_own() -> None:
    assert all(case.full >= case.small >= 1 for case in registry.cases().values())


def test_percentile() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(k) for k in range(1, 101)], 0.99) == 99.0
    assert percentile([1.0], 0.99) == 1.0


@pytest.mark.parametrize("mutation", list(mutate.mutations()), ids=lambda m: m.protection)
def test_what_is_to_be_taken_out_is_there_once(mutation: mutate.Mutation) -> None:
    assert mutate.mutated(mutation) != (mutate.ROOT / mutation.file).read_text()
    file, _, name = mutation.test.partition("::")
    assert f"def {name.split('[')[0]}(" in (mutate.ROOT / file).read_text()


def test_a_protection_that_nobody_misses_is_told(tmp_path: Path) -> None:
    (tmp_path / "law.py").write_text("LIMIT = 3\nWORD = 'a'\n")
    (tmp_path / "test_law.py").write_text(
        "import law\n\n\ndef test_limit():\n    assert law.LIMIT == 3\n\n\ndef test_nothing():\n    assert True\n"
    )
    good = mutate.Mutation("the limit", "law.py", "LIMIT = 3", "LIMIT = 4", "test_law.py::test_limit")
    idle = mutate.Mutation("the limit", "law.py", "LIMIT = 3", "LIMIT = 4", "test_law.py::test_nothing")
    assert mutate.noticed(good, tmp_path) == "noticed"
    assert mutate.noticed(idle, tmp_path) == "NOT NOTICED"
    with pytest.raises(ValueError, match="found 0 times"):
        mutate.mutated(mutate.Mutation("x", "law.py", "LIMIT = 5", "", "test_law.py::test_limit"), tmp_path)


def test_what_a_missing_protection_leaves_behind_is_ended(tmp_path: Path) -> None:
    (tmp_path / "law.py").write_text("STAYS = False\n")
    (tmp_path / "test_law.py").write_text(
        "import subprocess, law\n\n\ndef test_leaves_nobody():\n    if law.STAYS:\n"
        "        child = subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=subprocess.DEVNULL)\n"
        "        open('left', 'w').write(str(child.pid))\n    assert not law.STAYS\n"
    )
    stays = mutate.Mutation("an end", "law.py", "False", "True", "test_law.py::test_leaves_nobody")
    assert mutate.noticed(stays, tmp_path) == "noticed"
    left = int((tmp_path / "left").read_text())
    for _ in range(300):  # one that nobody has waited for has no command line any more
        with contextlib.suppress(OSError):
            if Path(f"/proc/{left}/cmdline").read_bytes():
                time.sleep(0.1)
                continue
        return
    pytest.fail("it is still there")
