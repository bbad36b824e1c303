"""The knobs of the live view: a widget for every setting and action of the flowgraph, in step with all other viewers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bokeh.models import Button, ColumnDataSource, InlineStyleSheet, Select, Slider, Spinner, Toggle

from isacblocks.view.desk import DeskError
from isacblocks.view.feed import Feed
from isacblocks.view.plots.style import Style

_MEMORIES = ("inf", "200", "500", "1000", "2000", "5000", "10000")
_PATIENCE = 5.0  # seconds until a button shows again what the flowgraph says, whatever was asked
_RATES = ("inf", "100", "250", "500", "1000", "2000", "5000")


@dataclass
class _Knob:
    """A widget that shows a setting. say, hear: from the setting's value to the widget's and back."""

    widget: Any
    key: str  # "block.setting"
    say: Callable[[float], Any]
    hear: Callable[[Any], float]
    shown: Any = None


class Controls:
    """The widgets, by name, in ``widgets``; ``say`` is told what was done last."""

    def __init__(self, feed: Feed, style: Style) -> None:
        self.feed = feed
        self.say: Callable[[str], None] = lambda _told: None
        sheet = f":host {{ color: {style.ink}; font-size: 13px; }}"
        sheet += f" .bk-input {{ background: {style.paper}; color: {style.ink}; }}"
        if style.dark:  # Bokeh's widgets are made for light pages
            sheet += f" .bk-btn {{ background: {style.paper}; color: {style.ink}; border-color: {style.ink}; }}"
            sheet += " .bk-btn.bk-active { background: #56B4E9; color: #12161c; }"
            sheet += (
                " select.bk-input { background-image: none !important; appearance: auto !important; color-scheme: dark; }"
            )
            sheet += " .bk-spin-btn::before { filter: invert(1); }"
        self._common: dict[str, Any] = {"stylesheets": [InlineStyleSheet(css=sheet)]}
        self._knobs: list[_Knob] = []
        self.widgets: list[Any] = []
        self._recorded = False  # what the flowgraph last said
        # What it was asked for and has not said yet, and until when that counts: to record, to pause
        self._asked: tuple[bool, float] | None = None
        self._paused: tuple[bool, float] | None = None
        self.keys = ColumnDataSource({"key": [], "number": []}, name="keys")
        self.keys.on_change("data", self._pressed)
        self.pause = self._toggle("pause", "Pause", self._pausing)
        self._add_settings()
        self._add_actions()

    def _add_settings(self) -> None:
        self._select("rate", "speed [frames/s]", _RATES)
        self._slider("snr_db", "SNR [dB]", -5.0, 30.0, 0.5)
        self._slider("drift", "drift [deg/sqrt(1000 frames)]", 0.0, 30.0, 0.5)
        self._slider("p_fa", "P_fa, ten to the", -6.0, -0.5, 0.1, math.log10, lambda v: 10.0**v)
        self._select("memory", "memory [frames]", _MEMORIES)

    def _add_actions(self) -> None:
        if "kick" in self.feed.actions:
            last = self.feed.radar.antennas - 1
            self.antenna = Spinner(
                title="antenna", value=7, low=0, high=last, step=1, width=80, name="antenna", **self._common
            )
            self.degrees = Spinner(
                title="by [deg]", value=90, low=-180, high=180, step=15, width=80, name="degrees", **self._common
            )
            self.widgets += [self.antenna, self.degrees]
            self._button("kick", "Kick its phase", self._kick)
            self._button("mute", "Mute it", lambda: self._mute(True))
            self._button("unmute", "Unmute it", lambda: self._mute(False))
        if "save" in self.feed.actions:
            self._button("save", "Save calibration", self._save)
        if "record" in self.feed.actions:
            self.record = self._toggle("record", "Record frames", self._recording)

    # Making them

    def _toggle(self, name: str, label: str, changed: Callable[[bool], None]) -> Any:
        made = Toggle(label=label, active=False, name=name, **self._common)
        made.on_change("active", lambda _attr, _old, new: changed(new))
        self.widgets.append(made)
        return made

    def _button(self, name: str, label: str, pressed: Callable[[], None]) -> None:
        made = Button(label=label, name=name, **self._common)
        made.on_click(lambda _event: pressed())
        self.widgets.append(made)

    def _slider(
        self,
        setting: str,
        title: str,
        low: float,
        high: float,
        step: float,
        say: Callable[[float], float] = float,
        hear: Callable[[float], float] = float,
    ) -> None:
        found = self.feed.find(setting)
        if found is None:
            return
        start = min(max(say(found["value"]), low), high)
        made = Slider(start=low, end=high, step=step, value=start, title=title, width=215, name=setting, **self._common)
        self._follow(_Knob(made, f"{found['block']}.{setting}", say, hear, start), "value_throttled")

    def _select(self, setting: str, title: str, choices: tuple[str, ...]) -> None:
        found = self.feed.find(setting)
        if found is None:
            return
        present = f"{found['value']:g}"
        options = list(choices) if present in choices else [*choices, present]
        made = Select(title=title, value=present, options=options, width=120, name=setting, **self._common)
        self._follow(_Knob(made, f"{found['block']}.{setting}", lambda v: f"{v:g}", float, present), "value")

    def _follow(self, knob: _Knob, attribute: str) -> None:
        def changed(_attr: str, _old: Any, new: Any) -> None:
            if new == knob.shown:
                return
            knob.shown = new
            block, setting = knob.key.rsplit(".", 1)
            value = knob.hear(new)
            self._try(
                f"{setting} = {value:g}", lambda: self.feed.request(ask="set", block=block, setting=setting, value=value)
            )

        knob.widget.on_change(attribute, changed)
        self._knobs.append(knob)
        self.widgets.append(knob.widget)

    # What they do

    def _try(self, said: str, work: Callable[[], Any]) -> Any:
        try:
            result = work()
            self.say(said)
            return result
        except DeskError as error:
            self.say(f"{said}: {error}")
            return None

    def _do(self, said: str, action: str, **arguments: Any) -> Any:
        return self._try(said, lambda: self.feed.request(ask="do", action=action, arguments=arguments)["result"])

    def _pausing(self, active: bool) -> None:
        if active != (self.feed.paused if self._paused is None else self._paused[0]):
            self._paused = active, time.monotonic() + _PATIENCE
            self._do("paused" if active else "goes on", "pause" if active else "resume")

    def _kick(self) -> None:
        antenna, degrees = int(self.antenna.value), float(self.degrees.value)
        self._do(f"antenna {antenna} kicked by {degrees:g} deg", "kick", antenna=antenna, degrees=degrees)

    def _mute(self, silent: bool) -> None:
        antenna = int(self.antenna.value)
        self._do(f"antenna {antenna} {'muted' if silent else 'heard again'}", "mute", antenna=antenna, silent=silent)

    def _save(self) -> None:
        path = self._do("calibration not saved", "save")
        if path is not None:
            self.say(f"calibration saved: {path}")

    def _recording(self, active: bool) -> None:
        """The button was pressed, or shows what the flowgraph said."""
        if active == (self._recorded if self._asked is None else self._asked[0]):
            return
        self._asked = active, time.monotonic() + _PATIENCE
        path = self._do("recording" if active else "recording ended", "record", active=active)
        if path is not None:
            self.say(f"{'recording to' if active else 'recorded:'} {path}")
        else:
            self._asked = None

    def _pressed(self, _attr: str, _old: Any, new: dict[str, list[Any]]) -> None:
        key = str(new["key"][0]) if new.get("key") else ""
        if key == "space":
            self.pause.active = not self.pause.active
        elif key == "s" and "save" in self.feed.actions:
            self._save()
        elif key == "k" and "kick" in self.feed.actions:
            self._kick()
        elif key == "r" and "record" in self.feed.actions:
            self.record.active = not self.record.active

    def _show_recording(self) -> None:
        """What another viewer began or ended, and how much is recorded and lost."""
        block = self.feed.status.blocks.get("view_reel")
        told = block.readings if block is not None else {}
        active = self._recorded = told.get("recording", 0.0) > 0
        if self._asked is not None and (active == self._asked[0] or time.monotonic() > self._asked[1]):
            self._asked = None
        if self._asked is None and self.record.active != active:
            self.record.active = active
        counts = f"{told.get('recorded', 0):,.0f} frames, {told.get('missed', 0):,.0f} lost"
        self.record.label = f"Stop recording ({counts})" if self.record.active and active else "Record frames"

    def update(self) -> None:
        """Take over what others have changed."""
        if self._paused is not None and (self.feed.paused == self._paused[0] or time.monotonic() > self._paused[1]):
            self._paused = None
        if self._paused is None and self.pause.active != self.feed.paused:
            self.pause.active = self.feed.paused
        self.pause.label = "Go on" if self.pause.active else "Pause"
        if "record" in self.feed.actions:
            self._show_recording()
        for knob in self._knobs:
            setting = self.feed.settings.get(knob.key)
            if setting is None:
                continue
            value = knob.say(setting["value"])
            if isinstance(knob.widget, Slider):
                value = round(min(max(value, knob.widget.start), knob.widget.end), 9)
                if abs(value - knob.shown) < 1e-9:
                    continue
            elif value == knob.shown:
                continue
            elif value not in knob.widget.options:
                knob.widget.options = [*knob.widget.options, value]
            knob.shown = value
            knob.widget.value = value
