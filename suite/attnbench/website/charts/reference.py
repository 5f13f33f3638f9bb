"""Reference values of charts, drawn as a dashed line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attnbench.website.charts.scales import Scale


@dataclass(frozen=True)
class Reference:
    """A value to compare others with, and the sentence that says what it is."""

    value: float
    text: str

    def drawn(self, on: Scale) -> bool:
        """Whether the value lies within the plot; a scale is not extended to show it."""
        return on.low <= on.place(self.value) <= on.high

    def told(self, on: Scale) -> str:
        """The note under the plot."""
        return f"Dashed line: {self.text[:1].lower()}{self.text[1:]}" if self.drawn(on) else self.text

    def shapes(self, on: Scale, axis: str) -> dict[str, Any]:
        """The part of plotly's layout that draws the line, at the value on the axis "x" or "y"; empty where it is not drawn."""
        if not self.drawn(on):
            return {}
        across = "x" if axis == "y" else "y"
        line = {"color": "var(--muted)", "width": 1, "dash": "dash"}
        at = {f"{axis}ref": axis, f"{axis}0": self.value, f"{axis}1": self.value}
        return {
            "shapes": [{"type": "line", "layer": "below", "line": line, **at, f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1}]
        }
