"""The flags of `attnbench run` for the axes of the kernel track, and their texts by axis. Each may be repeated, or hold commas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from attnbench.errors import BadInput

_PANEL = "A shape of your own, on the kernel track"
Texts = list[str] | None

Mode = Annotated[Texts, typer.Option("--mode", help="forward, training, prefill or decode; else the first two.", rich_help_panel=_PANEL)]
SeqLen = Annotated[Texts, typer.Option("--seq-len", help="Tokens of a sequence; several as 1000,2000.", rich_help_panel=_PANEL)]
NumHeads = Annotated[Texts, typer.Option("--num-heads", help="Heads, 4 if not said.", rich_help_panel=_PANEL)]
NumKvHeads = Annotated[Texts, typer.Option("--num-kv-heads", help="Key-value heads, as many as heads if not said.", rich_help_panel=_PANEL)]
HeadDim = Annotated[Texts, typer.Option("--head-dim", help="Width of a head, 64 if not said.", rich_help_panel=_PANEL)]
BatchSize = Annotated[Texts, typer.Option("--batch-size", help="Sequences at once, 1 if not said.", rich_help_panel=_PANEL)]
Dtype = Annotated[Texts, typer.Option("--dtype", help="float32, bfloat16, float16 or float64.", rich_help_panel=_PANEL)]
Causal = Annotated[
    bool | None, typer.Option("--causal/--no-causal", help="Whether a token sees only those before it.", rich_help_panel=_PANEL)
]
Padded = Annotated[Texts, typer.Option("--padded", help="Share of the tokens that is padding, such as 0.33.", rich_help_panel=_PANEL)]
Seed = Annotated[Texts, typer.Option("--seed", help="Which processes: another seed draws other inputs.", rich_help_panel=_PANEL)]
Processes = Annotated[Texts, typer.Option("--processes", help="How many processes: 3 for seeds 0, 1, 2.", rich_help_panel=_PANEL)]


def refuse_preset(context: typer.Context, axes: Mapping[str, object]) -> None:
    """Raise BadInput where a preset is named on the command line beside flags of axes, which take the place of a preset's cells."""
    source = context.get_parameter_source("preset")
    if axes and source is not None and source.name == "COMMANDLINE":  # by its name, for typer may have a click of its own
        flag = next(iter(axes)).replace("_", "-")
        raise BadInput(
            f"--{flag} asks for cells of a shape of your own, which no preset holds; leave out --preset, or the flags of single axes"
        )


def texts_of(causal: bool | None, **axes: Texts) -> dict[str, tuple[str, ...]]:
    """The texts of the flags that were given, by axis."""
    given = {axis: tuple(texts) for axis, texts in axes.items() if texts}
    return given if causal is None else {**given, "causal": (str(causal).lower(),)}
