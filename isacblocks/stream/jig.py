"""A jig for blocks: run one without a flowgraph, whole, item by item, and stopped and restored midway, and compare.

outputs, state = run(KappaCalibrator(radar), {"peak": {...arrays...}})
check(lambda: KappaCalibrator(radar), {"peak": {...}})
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.stream import codec
from isacblocks.stream.block import Block, Source
from isacblocks.stream.spec import Items

Fields = Mapping[str, NDArray[Any]]
Outputs = dict[str, dict[str, NDArray[Any]]]


def _connect(block: Block, inputs: Mapping[str, Fields] | None) -> None:
    """Every output, and the inputs that get something."""
    for name, port in block.ports.items():
        port.connected = name in block.outputs() or name in (inputs or {})


def _messages(block: Block, inputs: Mapping[str, Fields], portion: int) -> Iterator[dict[str, Items | None]]:
    """The inputs in messages of `portion` items; every input must have the same number of items."""
    counts = {len(next(iter(fields.values()))) for fields in inputs.values()}
    if len(counts) != 1:
        raise ValueError(f"the inputs must have the same number of items, got {sorted(counts)}")
    total = counts.pop()
    for message, first in enumerate(range(0, total, portion)):
        arguments: dict[str, Items | None] = dict.fromkeys(block.inputs())
        for port, fields in inputs.items():
            part = {}
            for name, array in fields.items():
                part[name] = array[first : first + portion].copy()
                part[name].flags.writeable = False  # as a link hands it over
            items = block.ports[port].items(**part)
            items.first, items.message = first, message
            arguments[port] = items
        yield arguments


def _collect(outputs: dict[str, list[Items]], result: Any) -> None:
    for items in result if isinstance(result, tuple) else () if result is None else (result,):
        outputs.setdefault(items.port, []).append(items)


def _join(outputs: dict[str, list[Items]]) -> Outputs:
    return {
        port: {name: np.concatenate([i.fields[name] for i in parts]) for name in parts[0].fields}
        for port, parts in outputs.items()
    }


def run(
    block: Block,
    inputs: Mapping[str, Fields] | None = None,
    *,
    items: int = 0,
    portion: int | None = None,
    restore_at: int | None = None,
    remake: Callable[[], Block] | None = None,
    look: Callable[[Block], Any] = Block.save,
) -> tuple[Outputs, Any]:
    """All outputs, joined per port and field, and what `look` sees of the block at the end, by default its state.

    inputs: arrays by port and field, items on the leading axis; items: how many a source makes; portion: items per message,
    None for one message; restore_at: number of the message before which the block is saved, thrown away, made anew by
    `remake` and restored, its state having gone through bytes.
    """
    _connect(block, inputs)
    block.start()
    outputs: dict[str, list[Items]] = {}
    steps: Iterator[Any]
    if isinstance(block, Source):
        step = portion or items
        steps = ((first, min(step, items - first)) for first in range(0, items, step))
    else:
        assert inputs is not None
        steps = _messages(block, inputs, portion or len(next(iter(next(iter(inputs.values())).values()))))
    for number, step_input in enumerate(steps):
        if number == restore_at:
            assert remake is not None
            saved = codec.encode(block.save())
            block.finish()  # as the runtime does when it is stopped
            block = remake()
            _connect(block, inputs)
            block.start()
            block.restore(codec.decode(saved))
        if isinstance(block, Source):
            _collect(outputs, block.produce(*step_input))
        else:
            _collect(outputs, block.process(**step_input))
    block.finish()
    return _join(outputs), look(block)


def check(
    make: Callable[[], Block],
    inputs: Mapping[str, Fields] | None = None,
    *,
    items: int = 0,
    middle: int = 7,
    look: Callable[[Block], Any] = Block.save,
) -> tuple[Outputs, Any]:
    """Assert that a block gives the same bits whole, item by item, in portions of `middle`, and restored midway.

    Also that start() twice is start() once. look: what of the block is compared beside its outputs, by default its state.
    Returns the outputs of the whole run, and what `look` saw.
    """
    whole = run(make(), inputs, items=items, look=look)
    started = make()
    _connect(started, inputs)
    started.start()
    variants = {
        "started twice": run(started, inputs, items=items, look=look),
        "item by item": run(make(), inputs, items=items, portion=1, look=look),
        f"in portions of {middle}": run(make(), inputs, items=items, portion=middle, look=look),
        "stopped and restored": run(make(), inputs, items=items, portion=middle, restore_at=1, remake=make, look=look),
    }
    for name, variant in variants.items():
        _compare(whole[0], variant[0], f"{name}: outputs")
        _compare({"state": whole[1]}, {"state": variant[1]}, f"{name}: state")
    return whole


def _compare(left: Any, right: Any, where: str) -> None:
    if isinstance(left, Mapping):
        assert left.keys() == right.keys(), f"{where}: {sorted(left)} and {sorted(right)}"
        for key in left:
            _compare(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), f"{where}: {len(left)} and {len(right)} entries"
        for k, (a, b) in enumerate(zip(left, right, strict=True)):
            _compare(a, b, f"{where}[{k}]")
    else:
        np.testing.assert_array_equal(left, right, err_msg=where)
