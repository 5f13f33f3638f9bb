"""The flags of `attnbench run` that say how it runs, and on what."""

from __future__ import annotations

from typing import Annotated

import typer

PresetName = Annotated[
    str, typer.Option("--preset", envvar="ATTNBENCH_PRESET", help="quick, standard, reference, claims, pilot or full; see list presets.")
]
Data = Annotated[
    str | None, typer.Option("--data", help="embedded, generated or hub, for tasks that have it; else what they have at hand.")
]
Busy = Annotated[
    bool, typer.Option("--busy", help="Do not wait until other programs leave the processors alone; what they disturb is marked.")
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Trainings and checks side by side, one thread each; as many as cores if not given.")
]
Address = Annotated[str | None, typer.Option("--address", help="Of the Ray cluster: auto (the one of this machine), HOST:PORT, or local.")]
Retry = Annotated[
    str | None, typer.Option("--retry", metavar="errors", help="Measure the chosen cells whose newest record is an error, no others.")
]
