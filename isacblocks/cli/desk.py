"""isacblocks top | set | do: look at a running flowgraph, turn its settings, have something done."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from isacblocks.cli.script import UsageError

if TYPE_CHECKING:
    from isacblocks.view.client import DeskClient

COMMANDS = ("top", "set", "do")
_COLUMNS = (
    "items/s: what came in (of sources: went out) since the last look, at first since the start; busy: share of the time "
    "since the start that a block spent on its own work; overhead: processor time that the runtime costs beside, as a share "
    "of that work's; bad: messages and requests that could not be taken; in flight, or waiting: items that were sent and "
    "whose receiver is not done with them; lost: items that never come, with the reasons."
)
_PATIENCE = 5.0  # seconds in which a flowgraph may come
_AT = "endpoint of its desk, ipc://... (default: the one that is running)"


def add_parsers(commands: Any) -> None:
    """The commands and their options."""
    seen = "what a running flowgraph has learned, and every block's and edge's counters"
    top = commands.add_parser("top", help=f"{seen}, renewed", description=f"{seen[0].upper()}{seen[1:]}. {_COLUMNS}")
    top.add_argument("at", nargs="?", metavar="ENDPOINT", help=_AT)
    top.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between two looks (default: 1)")
    top.add_argument("--once", action="store_true", help="look once")
    top.add_argument("--json", action="store_true", help="a line of JSON per look (docs/formats.md)")
    turn = commands.add_parser("set", help="change settings of a running flowgraph, or list them")
    turn.add_argument("change", nargs="*", metavar="BLOCK.SETTING=VALUE", help="without any, all settings are listed")
    turn.add_argument("--at", metavar="ENDPOINT", help=_AT)
    deeds = "pause, resume, stop, kick, mute, save, record"
    act = commands.add_parser("do", help=f"have a running flowgraph do something: {deeds}")
    act.add_argument("action", nargs="?", help="its name; without it, all are listed")
    act.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="say antenna=7 degrees=90")
    act.add_argument("--at", metavar="ENDPOINT", help=_AT)


def _client(at: str | None) -> DeskClient:
    from isacblocks.view.client import DeskClient

    return DeskClient(_only_desk() if at is None else at)


def _only_desk() -> str:
    """The endpoint of the one desk that is running, or will be in a moment: who has just started it is not sent away."""
    from isacblocks.view.client import running_desks

    found, limit, told = running_desks(), time.monotonic() + _PATIENCE, False
    while not found and time.monotonic() < limit:
        if not told:
            print(f"no flowgraph with a desk is running yet; waiting {_PATIENCE:g} s for one", file=sys.stderr, flush=True)
        told = True
        time.sleep(0.1)
        found = running_desks()
    if not found:
        raise UsageError(
            "no flowgraph of yours with a desk is running; start one with --view or --desk, or name its endpoint"
        )
    if len(found) > 1:
        raise UsageError(f"several are running; name the endpoint of one: {', '.join(map(_introduced, found))}")
    return found[0]


def _introduced(endpoint: str) -> str:
    """A desk's endpoint with the name of its flowgraph, and how it stands."""
    from isacblocks.view.client import DeskClient, status_of
    from isacblocks.view.desk import DeskError
    from isacblocks.view.terminal import phase_of

    try:
        with DeskClient(endpoint, patience=500) as client:
            answer = client.ask(ask="status")
    except DeskError:
        return f"{endpoint} (does not answer)"
    return f"{endpoint} ({answer['name']}, {phase_of(status_of(answer), answer['paused'])})"


def _value(text: str) -> Any:
    """A word as the number, truth or text that it is."""
    if text in ("true", "false"):
        return text == "true"
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        return float(text)
    return text


def _pair(text: str, example: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{text!r}: expected NAME=VALUE without spaces, say {example}")
    return name, _value(value)


def work(options: argparse.Namespace) -> int:
    """The command; returns the exit status."""
    from isacblocks.view.desk import RequestError

    if options.command == "top" and not options.interval > 0:
        raise UsageError(f"--interval: expected a positive number of seconds, got {options.interval:g}")
    try:
        with _client(options.at) as client:
            if options.command == "top":
                return _top(client, options)
            return _set(client, options.change) if options.command == "set" else _do(client, options)
    except RequestError as error:
        raise UsageError(str(error)) from error


def _do(client: DeskClient, options: argparse.Namespace) -> int:
    if options.action is None:
        print(*client.ask(ask="status")["actions"], sep="\n")
        return 0
    result = client.do(options.action, **dict(_pair(text, "antenna=7") for text in options.arguments))
    if result is not None:
        print(result)
    return 0


def _set(client: DeskClient, changes: list[str]) -> int:
    known = {f"{one['block']}.{one['setting']}": one for one in client.ask(ask="status")["settings"]}
    for text in changes:
        name, value = _pair(text, "maprt_detector.p_fa=0.001")
        block, dot, setting = name.rpartition(".")
        if not dot:
            same = [one for one in known if one.endswith(f".{name}")]
            raise UsageError(f"{name}: expected BLOCK.SETTING=VALUE" + (f", say {same[0]}={value}" if same else ""))
        kind = known.get(name, {}).get("kind")
        client.set(block, setting, float(value) if kind == "float" and not isinstance(value, str) else value)
    if not changes:
        for name, one in known.items():
            unit = "" if one["unit"] == "1" else f"  [{one['unit']}]"
            print(f"{name} = {one['value']}{unit}  {one['doc']}")
    return 0


def _top(client: DeskClient, options: argparse.Namespace) -> int:
    from isacblocks.view.terminal import takes_a_table

    if not (options.once or options.json) and takes_a_table():
        return _live_table(client, options.interval)
    return _lines(client, options)


def _live_table(client: DeskClient, interval: float) -> int:
    """A table that stays in its place, until the flowgraph's program ends."""
    from isacblocks.view.dashboard import Dashboard
    from isacblocks.view.feed import Feed

    feed = Feed(client)
    feed.refresh()
    with Dashboard(feed) as dashboard:
        while not feed.gone:
            dashboard.draw()
            time.sleep(interval)
    return 0


def _lines(client: DeskClient, options: argparse.Namespace) -> int:
    """The same in lines, or in JSON, one look after the other."""
    import msgspec

    from isacblocks.view.client import AwayError, status_of
    from isacblocks.view.feed import Feed
    from isacblocks.view.table import Table
    from isacblocks.view.words import rows

    table, feed, looks = Table(), Feed(client), 0
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            answer = client.ask(ask="status")
        except AwayError:
            if not looks:
                raise
            print("the flowgraph has ended", file=sys.stderr)
            return 0
        if options.once and status_of(answer).phase == "starting" and time.monotonic() < until:
            time.sleep(0.1)  # nothing is to be seen yet
            continue
        looks += 1
        if options.json:
            line = {"name": answer["name"], "paused": answer["paused"], **answer["status"]}
            print(msgspec.json.encode(line).decode(), flush=True)  # null where a reading is no number
        else:
            feed.look()
            print(*table.lines(answer["name"], status_of(answer), answer["paused"]), "", sep="\n")
            print(*(f"{row.label:10s}{row.words}" for row in rows(feed)), sep="\n", flush=True)
        if options.once:
            return 0
        time.sleep(options.interval)
