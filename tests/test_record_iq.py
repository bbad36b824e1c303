"""flowgraphs/record_iq.py from every front end that it knows; and how long such scripts are."""

from __future__ import annotations

import argparse
import ast
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import zmq
from conftest import ROOT
from programs import Done, python
from test_heimdall import frame, server
from test_soapy import plugins  # noqa: F401 - a fixture

from isacblocks.frontends.gnuradio import wire
from isacblocks.frontends.named import front_end
from isacblocks.frontends.sigmf_format import open_sigmf

pytest.importorskip("sigmf", reason="the library sigmf is not installed (extra sigmf)")
SCRIPT = ROOT / "flowgraphs" / "record_iq.py"


def record(*arguments: str, **environment: str) -> Done:
    return python(SCRIPT, *arguments, status=None, env=environment)


def test_from_soapy(tmp_path: Path, plugins: Path) -> None:  # noqa: F811
    arguments = ["soapy:driver=counting", str(tmp_path / "rec"), "--samples", "5000", "--channels", "3", "--gains", "20"]
    done = record(*arguments, "--rate", "2e6", "--collection", SOAPY_SDR_PLUGIN_PATH=str(plugins))
    assert done.returncode == 0, done.stderr
    recording = open_sigmf(tmp_path / "rec.sigmf-collection")
    assert (recording.channels, recording.length, recording.rate) == (3, 5120, 2e6)
    np.testing.assert_array_equal(recording.read(0, 5120)[2], np.arange(5120) + 2j)


def test_from_a_kraken(tmp_path: Path) -> None:
    with server([frame(k) for k in range(21)]) as port:
        done = record(f"kraken:127.0.0.1:{port}", str(tmp_path / "rec"), "--samples", "2000", "--channels", "3")
    assert done.returncode == 0, done.stderr
    recording = open_sigmf(tmp_path / "rec.sigmf-meta")
    np.testing.assert_array_equal(recording.read(0, 2048)[1], np.arange(2048) + 1j)
    assert recording.captures[0]["core:frequency"] == 433e6


def test_from_gnu_radio_s_socket(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/radio"
    rows = np.arange(2 * 1024).reshape(1024, 2).astype(np.complex64)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.sndtimeo = 120_000
    try:
        socket.bind(endpoint)
        sending = threading.Thread(target=socket.send, args=(wire.pack(0) + rows.tobytes(),))
        sending.start()  # it waits for a receiver
        done = record(f"gnuradio:{endpoint}", str(tmp_path / "rec"), "--samples", "1024")
        sending.join()
    finally:
        socket.close(0)
        context.term()
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(open_sigmf(tmp_path / "rec.sigmf-meta").read(0, 1024), rows.T)


def test_what_it_does_not_know_is_named() -> None:
    done = record("radio:x", "rec")
    assert done.returncode == 2
    assert "expected soapy:DEVICE, kraken:HOST:PORT, gnuradio:ENDPOINT" in done.stderr
    options = argparse.Namespace(source="kraken:10.0.0.7:http", channels=5)
    with pytest.raises(ValueError, match=r"a number for PORT, got 'kraken:10\.0\.0\.7:http'"):
        front_end(options, 1024)


PAGE = (ROOT / "docs" / "frontends.md").read_text()
SECTIONS = {part.splitlines()[0]: part for part in PAGE.split("\n## ")[1:]}


def _statement_lines(source: str) -> int:
    """Lines of a program without its docstrings, comments and blank lines, one for each simple statement."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return sum(bool(line.strip()) for line in ast.unparse(tree).splitlines())


@pytest.mark.parametrize("name", SECTIONS)
def test_every_front_end_has_a_picture_a_short_script_and_what_breaks_coherence(name: str) -> None:
    """At most forty statements' lines: no docstrings, blank lines or comments."""
    pictures = [block for block in re.findall(r"```\n(.*?)```", SECTIONS[name], flags=re.DOTALL) if "-->" in block]
    assert pictures
    assert "\nCoherence: " in SECTIONS[name]
    scripts = set(re.findall(r"isacblocks run (\w+)", SECTIONS[name]))
    assert scripts
    for script in scripts:
        assert _statement_lines((ROOT / "flowgraphs" / f"{script}.py").read_text()) <= 40, script
        callers = [
            path for path in (ROOT / "tests").glob("test_*.py") if script in path.read_text() and path.name != "test_docs.py"
        ]
        assert callers, f"no test runs {script}"
