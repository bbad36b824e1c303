"""Ports, settings, state, readings: what a block declares and what is checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from stream_blocks import Collect, Counter, EveryThird, Leaky, Mixer, Pairs, Scale, Trouble

from isacblocks.stream import Block, CheckpointError, PlacementError, Setting, State, WiringError, jig
from isacblocks.stream.block import create


def test_a_block_says_what_it_is() -> None:
    assert list(Mixer.inputs()) == ["number", "back"]
    assert list(Mixer.outputs()) == ["mixed"]
    assert list(Mixer.states()) == ["held", "heard"]
    assert list(Scale.settings()) == ["factor"]
    assert list(Scale.readings()) == ["last", "used"]
    assert repr(Mixer().mixed) == "Mixer.mixed"
    assert Mixer(5).mixed.layout.fields[0].shape == (5,)


def test_ports_check_what_is_sent() -> None:
    block = Pairs()
    good = np.ones((2, 3))
    assert len(block.pair.items(value=good, extra=[0, 1])) == 2
    assert block.pair.items(value=good.astype(np.float32), extra=[False, True]).value.dtype == np.float64
    for fields, word in (
        ({"value": good}, "missing fields: extra"),
        ({"value": good, "extra": [0, 1], "more": 1}, "unknown fields: more"),
        ({"value": good, "extra": [0]}, r"extra: expected shape \(2,\)"),
        ({"value": good[:, :2], "extra": [0, 1]}, r"value: expected shape \(2, 3\)"),
        ({"value": good + 1j, "extra": [0, 1]}, "value: expected float64, got complex128"),
        ({"value": good, "extra": [0, 256]}, "extra: expected uint8, got int64"),
        ({"value": good, "extra": [0, -1]}, "extra: expected uint8"),
        ({"value": good, "extra": [0.5, 1]}, "extra: expected uint8, got float64"),
    ):
        with pytest.raises(WiringError, match=word):
            block.pair.items(**fields)


def test_what_is_sent_is_given_away() -> None:
    small, large = np.ones((2, 3)), np.ones((9000, 3))
    sent = Scale().scaled.items(value=small)
    small[:] = 7
    np.testing.assert_array_equal(sent.value, 1)
    sent = Scale().scaled.items(value=large)
    assert sent.value is large
    with pytest.raises(ValueError, match="read-only"):
        large[:] = 7
    whole = np.ones((9000, 6))
    sent = Scale().scaled.items(value=whole[:, :3])  # copied: `whole` can still be written to
    whole[:] = 7
    np.testing.assert_array_equal(sent.value, 1)
    only = np.ones(27000).reshape(9000, 3)  # not copied: nothing else refers to its memory
    sent = Scale().scaled.items(value=only)
    assert sent.value is only
    with pytest.raises(ValueError, match="read-only"):
        only[:] = 7
    third = np.ones(27000).reshape(9000, 3)
    other = third.T  # refers to the same owner
    sent = Scale().scaled.items(value=third)
    other[:] = 7
    np.testing.assert_array_equal(sent.value, 1)


def test_a_small_part_does_not_keep_the_whole() -> None:
    whole = np.ones((9000, 3))
    whole.flags.writeable = False
    assert Scale().scaled.items(value=whole[:2]).value.base is None
    assert Scale().scaled.items(value=whole).value is whole


def test_settings_are_checked_and_typed() -> None:
    block = Scale()
    assert block.factor == 2.0
    block.factor = 3
    assert isinstance(block.factor, float)
    for bad in ("x", True, None, math.nan, 101.0, -1e9):
        with pytest.raises(ValueError, match=r"Scale\.factor: expected"):
            block.factor = bad  # type: ignore[assignment]
    assert block.factor == 3.0
    assert Scale().factor == 2.0  # of that one block only


def test_choices_and_integers() -> None:
    class Chooser(Block):
        colour = Setting(str, initial="red", choices=("red", "green"))
        count = Setting(int, initial=1, minimum=1)
        flag = Setting(bool, initial=False)

    block = Chooser()
    block.colour, block.count, block.flag = "green", np.int64(4), True
    assert (block.colour, block.count, block.flag) == ("green", 4, True)
    for name, bad in (("colour", "blue"), ("count", 0), ("count", 2.5), ("count", True), ("flag", 1)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            setattr(block, name, bad)


def test_state_is_set_by_start_and_kept_in_its_type() -> None:
    class Stateful(Block):
        vector = State("complex64", "N", 2, initial=1)
        number = State("float64", initial=0.5)
        count = State("int64")
        rows = State(list)

        def dimensions(self) -> dict[str, int]:
            return {"N": 3}

    block = Stateful()
    with pytest.raises(AttributeError, match="start"):
        _ = block.vector
    block.start()
    np.testing.assert_array_equal(block.vector, np.ones((3, 2), np.complex64))
    assert (block.number, block.count, block.rows) == (0.5, 0, [])
    block.count += 3
    block.rows.append(1)
    given = np.zeros((3, 2))
    block.vector = given
    given[:] = 9
    np.testing.assert_array_equal(block.vector, 0)  # a copy
    for name, bad in (("vector", np.zeros(3)), ("vector", "x"), ("number", np.ones(2)), ("rows", {})):
        with pytest.raises((CheckpointError, ValueError), match=f"{name}: expected"):
            setattr(block, name, bad)
    saved = block.save()
    block.start()
    assert block.count == 0
    assert block.rows == []
    block.restore(saved)
    assert block.count == 3
    with pytest.raises(CheckpointError, match="another version"):
        block.restore({"vector": given})


def test_a_block_can_be_made_again_from_its_description() -> None:
    block = Collect(5, pause=0.25)
    block.name = "sink"
    twin = create(block.describe())
    assert isinstance(twin, Collect)
    assert (twin.name, twin.size, twin.pause) == ("sink", 5, 0.25)
    scale = Scale(size=4)
    scale.factor = -7.0
    again = create(scale.describe())
    assert isinstance(again, Scale)
    assert (again.size, again.factor) == (4, -7.0)


def test_what_cannot_be_made_elsewhere_says_why() -> None:
    class Local(Scale):
        pass

    with pytest.raises(PlacementError, match="inside a function"):
        Local().describe()
    with pytest.raises(PlacementError, match="arguments cannot be sent"):
        Collect(size=lambda: 3).describe()  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [Scale, Mixer, Pairs, lambda: Trouble("none")], ids=["scale", "mixer", "pairs", "none"])
def test_in_the_jig(make: Any) -> None:
    rng = np.random.default_rng(1)
    outputs, _ = jig.check(make, {"number": {"value": rng.standard_normal((20, 3))}})
    assert all(len(field) == 20 for port in outputs.values() for field in port.values())


def test_sources_and_sinks_in_the_jig() -> None:
    outputs, _ = jig.check(lambda: Counter(2), items=30)
    np.testing.assert_array_equal(outputs["number"]["value"][:, 0], np.arange(30))
    _, state = jig.check(Collect, {"number": {"value": np.arange(30.0).reshape(10, 3)}})
    assert state["values"] == [float(3 * k) for k in range(10)]


def test_the_jig_notices_a_block_that_depends_on_the_portions() -> None:
    data = {"number": {"value": np.ones((20, 3))}}
    for make in (Leaky, EveryThird):
        with pytest.raises(AssertionError):
            jig.check(make, data)


def test_the_jig_notices_state_that_is_not_declared() -> None:
    class Forgetful(Scale):
        def start(self) -> None:
            super().start()
            self.count = 0

        def process(self, number: Any) -> Any:
            self.count += len(number)
            return self.scaled.items(value=number.value * self.count)

    def make() -> Block:
        return Forgetful()

    with pytest.raises(AssertionError, match=r"item by item|restored"):
        jig.check(make, {"number": {"value": np.ones((20, 3))}})
