"""Scripts, flowgraphs, campaigns and waveforms by path, or by name where they come with isacblocks."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

from isacblocks.cli.script import UsageError


def flowgraph_directories() -> list[Path]:
    """Where scripts are looked for by name: beside the package in a checkout, else where they were installed."""
    checkout = Path(__file__).resolve().parents[2] / "flowgraphs"
    return [checkout, Path(sysconfig.get_path("data")) / "share" / "isacblocks" / "flowgraphs"]


def available(suffix: str = ".py") -> dict[str, Path]:
    """The scripts, or files with another suffix, that can be run by name."""
    found: dict[str, Path] = {}
    for directory in reversed(flowgraph_directories()):
        found.update({path.stem: path for path in sorted(directory.glob(f"*{suffix}"))})
    return found


def is_graph(path: Path) -> bool:
    """Whether a TOML file is a flowgraph's."""
    return "\n[blocks." in path.read_text()


def is_campaign(path: Path) -> bool:
    """Whether a TOML file says nothing but what a campaign says."""
    from isacblocks.study.campaign import Campaign

    return _has_only(path, Campaign.__struct_fields__)


def is_waveform(path: Path) -> bool:
    """Whether a TOML file says nothing but what a waveform says."""
    from isacblocks.frontends import Waveform

    return _has_only(path, Waveform.__struct_fields__)


def _has_only(path: Path, keys: Iterable[str]) -> bool:
    import msgspec

    return {*msgspec.toml.decode(path.read_bytes())} <= {*keys}


def find_flowgraph(name: str) -> Path:
    """A script, or a flowgraph's file, whose name ends in .toml. Raises UsageError where there is none."""
    path = Path(name)
    if path.suffix != ".toml":
        return find_script(name)
    known = {one.name: one for one in available(".toml").values() if is_graph(one)}
    if not path.is_file() and name not in known:
        raise UsageError(f"{name}: there is no such file; by name there are {', '.join(known) or 'none'}")
    return path if path.is_file() else known[name]


def find_script(name: str, suffix: str = ".py", what: str = "script", fits: Callable[[Path], bool] = lambda _: True) -> Path:
    """The path of a script, or of another such file, given by path or by name. Raises UsageError where there is none.

    fits: which of the files that come with isacblocks are meant.
    """
    known = {stem: path for stem, path in available(suffix).items() if fits(path)}
    if name.endswith(suffix) or "/" in name:
        path = Path(name)
        if path.suffix not in ("", suffix):  # Python would run data, or try to
            raise UsageError(f"{name}: expected a {what}, NAME{suffix}, got {path.suffix}")
        if not path.is_file():
            raise UsageError(f"{name}: there is no such file; by name there are {', '.join(known) or 'none'}")
        return path
    if name not in known:
        raise UsageError(f"{name}: expected the path of a {what}, NAME{suffix}, or one of {', '.join(known) or 'none'}")
    return known[name]


def find_waveform(name: str) -> Path:
    """The path of a waveform's file, given by path or by name. Raises UsageError where there is none: how to make one."""
    try:
        return find_script(name, ".toml", "waveform", is_waveform)
    except UsageError as error:
        ours = [str(path) for path in available(".toml").values() if is_waveform(path)]
        copy = f"; to make one, copy {ours[0]} and change it to what is sent and how it is received (docs/formats.md)"
        raise UsageError(f"{error}{copy if ours else ''}") from error
