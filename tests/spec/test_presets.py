"""Presets: which of them suit a machine."""

from __future__ import annotations

from attnbench.spec import presets
from attnbench.spec.axes import DEVICES


def test_every_preset_that_is_sized_for_a_cpu_fits_everywhere() -> None:
    assert presets.fitting(has_cuda=False) == ["quick", "standard", "claims"]
    assert presets.fitting(has_cuda=True) == list(presets.PRESETS)
    assert {preset.device for preset in presets.PRESETS.values()} == set(DEVICES)
