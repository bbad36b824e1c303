"""The text of a new block and of its test: a running mean, a wave, a total, to be replaced by what the block is for."""

from __future__ import annotations

from string import Template

_HEAD = '''"""$title

$equation
"""

from __future__ import annotations
$imports

$records
class $name($base):
    """$title$arguments"""

'''

_RADAR = '''
    def __init__(self, radar: OfdmRadar) -> None:
        self.radar = radar
$basis
    def dimensions(self) -> Mapping[str, int]:
        """Sizes of the dimensions that the records name."""
        return $sizes
'''

_FILTER = '''    $port = In($taken)
    $out = Out($made)
    memory = Setting(float, initial=100.0, unit="items", minimum=1.0, doc="how many items the mean remembers")
    last = State("float64")  # the mean after the last item
    newest = Reading("$unit", doc="the mean, now")
$radar
    def process(self, $port: Items) -> Items:
        """One mean for every item."""
        values = $values
        means = np.empty(len($port))
        mean = self.last
        for k in range(len($port)):  # where a loop over numbers is too slow, compile it with numba
            mean += (values[k] - mean) / self.memory
            means[k] = mean
        self.last = self.newest = float(mean)
        return self.$out.items($out=means)
'''

_SINK = '''    $port = In($taken)
    limit = Setting(float, initial=math.inf, unit="$unit", doc="values above it are not counted")
    count = State("int64")
    total = State("float64")
    mean = Reading("$unit", doc="of all that was counted, so far")
$radar
    def process(self, $port: Items) -> None:
        """Count the items and add them up."""
        values = $values
        for value in values.tolist():
            if value <= self.limit:
                self.count += 1
                self.total += value
        self.mean = self.total / max(self.count, 1)
'''

_SOURCE = '''    $out = Out($made)
    amplitude = Setting(float, initial=1.0, doc="A")

    def __init__(self, period: float = 50.0) -> None:
        if not period > 0:
            raise ValueError(f"period: expected a positive number of items, got {period!r}")
        self.period = period

    def produce(self, first: int, count: int) -> Items:
        """Items first .. first + count - 1. They depend on their numbers alone, so there is no state to save."""
        number = np.arange(first, first + count)
        return self.$out.items($out=self.amplitude * np.sin(2 * np.pi * number / self.period))
'''

_TEST_HEAD = '''"""$name gives what its equation says, however its items are divided into messages."""

from __future__ import annotations

$imports

'''

_ITEMS = '''
def made_up(block: $name, count: int) -> dict[str, dict[str, NDArray[Any]]]:
    """`count` random items for the block's input, by port and field."""
    rng = np.random.default_rng(1)
    fields: dict[str, NDArray[Any]] = {}
    for field in block.$port.layout.fields:
        shape = (count, *field.shape)
        values: NDArray[Any] = rng.standard_normal(shape)
        if field.dtype.startswith("complex"):
            values = values + 1j * rng.standard_normal(shape)
        elif "int" in field.dtype:
            values = rng.integers(0, 2, shape)
        fields[field.name] = values.astype(field.dtype)
    return {"$port": fields}

'''

_TEST_FILTER = """
def test_the_equation_whole_item_by_item_and_restored() -> None:
    inputs = made_up(make(), 40)
    outputs, state = jig.check(make, inputs)
    fields = inputs["$port"]
    expected = 0.0
    for value, mean in zip($fields_values, outputs["$out"]["$out"], strict=True):
        expected += (value - expected) / 100.0
        assert mean == pytest.approx(expected, rel=1e-6)
    assert state["last"] == outputs["$out"]["$out"][-1]


def test_the_memory_can_be_changed_and_has_limits() -> None:
    block = make()
    block.memory = 1.0  # the mean is the last value
    inputs = made_up(block, 5)
    fields = inputs["$port"]
    outputs, _ = jig.run(block, inputs)
    np.testing.assert_allclose(outputs["$out"]["$out"], $fields_values, rtol=1e-6)
    with pytest.raises(ValueError, match="memory"):
        block.memory = 0.5
"""

_TEST_SINK = """
def test_the_total_whole_item_by_item_and_restored() -> None:
    inputs = made_up(make(), 40)
    _, state = jig.check(make, inputs)
    fields = inputs["$port"]
    assert state["count"] == 40
    assert state["total"] == pytest.approx(float(np.sum($fields_values)), rel=1e-6)


def test_what_is_above_the_limit_is_not_counted() -> None:
    block = make()
    inputs = made_up(block, 40)
    fields = inputs["$port"]
    values = $fields_values
    block.limit = float(np.median(values))
    _, state = jig.run(block, inputs)
    assert state["count"] == 20
    assert state["total"] == pytest.approx(float(np.sort(values)[:20].sum()), rel=1e-6)
"""

_TEST_SOURCE = """
def test_the_equation_whole_item_by_item_and_restored() -> None:
    outputs, _ = jig.check($name, items=60)
    values = outputs["$out"]["$out"]
    for k in range(60):
        assert values[k] == pytest.approx(math.sin(2 * math.pi * k / 50), abs=1e-12)


def test_the_amplitude_can_be_changed_and_the_period_has_limits() -> None:
    block = $name(period=4)
    block.amplitude = 3.0
    outputs, _ = jig.run(block, items=4)
    np.testing.assert_allclose(outputs["$out"]["$out"], [0, 3, 0, -3], atol=1e-12)
    with pytest.raises(ValueError, match="period"):
        $name(period=0)
"""

_MAKE = """
def make() -> $name:
    return $call

"""

BLOCKS = {kind: Template(_HEAD + body) for kind, body in (("filter", _FILTER), ("sink", _SINK), ("source", _SOURCE))}
RADAR = Template(_RADAR)
TESTS = {
    "filter": Template(_TEST_HEAD + _MAKE + _ITEMS + _TEST_FILTER),
    "sink": Template(_TEST_HEAD + _MAKE + _ITEMS + _TEST_SINK),
    "source": Template(_TEST_HEAD + _TEST_SOURCE),
}
