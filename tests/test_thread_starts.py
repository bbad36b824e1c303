"""What threads do at the same time when a flowgraph starts must not depend on which of them comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

_TOGETHER = """
import sys, threading
from isacblocks.stream.codec import decode, encode
from isacblocks.stream.offer import read_descriptor
from isacblocks.stream.spec import Field, Record, resolve
import numpy as np

sys.setswitchinterval(1e-6)
descriptor = resolve(Record("r", (Field("x", "float32", ("N",)),)), {"N": 3}, "test").descriptor
value = encode({"array": np.ones(3)})
barrier = threading.Barrier(12)

def work():
    barrier.wait()
    assert read_descriptor(descriptor).record == "r"
    assert decode(value)["array"].sum() == 3

threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.parametrize("attempt", range(8))
def test_threads_that_read_their_first_descriptor_together(attempt: int) -> None:
    done = subprocess.run([sys.executable, "-c", _TOGETHER], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
