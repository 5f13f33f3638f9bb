"""The command line: attnbench list | check | new | run | show | compare | claims | export | site | validate | schema |
import-pytest-benchmark | doctor."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attnbench.cli import _axis_options as axis
from attnbench.cli import _run_options as how
from attnbench.cli._guarded import err, guarded

app = typer.Typer(
    help="Benchmark suite and leaderboard for attention mechanisms.",
    epilog="--debug, anywhere, shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# A name in a record may look like markup, so what is markup says so.
out = Console(markup=False, emoji=False)

Results = Annotated[Path, typer.Option("--results", help="Results folder.", show_default=True)]
RESULTS = Path("results")
Names = list[str] | None  # defined here, because annotations are evaluated later, when `list` may be the module attnbench.cli.list


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="variants, tasks, claims, presets or columns")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")] = False,
) -> None:
    """List what there is: variants, tasks, claims, presets, or the columns and metrics of an exported table."""
    from attnbench.cli.list import show_list

    show_list(what, as_json, out)


@app.command()
def run(
    context: typer.Context,
    preset: how.PresetName = "quick",
    track: Annotated[Names, typer.Option("--track", help="Only this track; may be repeated.")] = None,
    variant: Annotated[Names, typer.Option("--variant", help="Only this variant, by name or by path of its file; may be repeated.")] = None,
    task: Annotated[Names, typer.Option("--task", help="Only this task, by name or by path of its file; may be repeated.")] = None,
    data: how.Data = None,
    device: Annotated[str, typer.Option("--device", envvar="ATTNBENCH_DEVICE", help="cpu or cuda.")] = "cpu",
    results: Results = RESULTS,
    timeout: Annotated[float, typer.Option("--timeout", min=1.0, help="Seconds a cell may take.")] = 600.0,
    rerun: Annotated[bool, typer.Option("--rerun", help="Measure finished cells again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")] = False,
    busy: how.Busy = False,
    jobs: how.Jobs = None,
    engine: Annotated[str, typer.Option("--engine", help="local, or ray: on the nodes of a Ray cluster.")] = "local",
    address: how.Address = None,
    cell: Annotated[str | None, typer.Option("--cell", help="One cell, as its record's command gives it.")] = None,
    retry: how.Retry = None,
    mode: axis.Mode = None,
    seq_len: axis.SeqLen = None,
    num_heads: axis.NumHeads = None,
    num_kv_heads: axis.NumKvHeads = None,
    head_dim: axis.HeadDim = None,
    batch_size: axis.BatchSize = None,
    dtype: axis.Dtype = None,
    causal: axis.Causal = None,
    padded: axis.Padded = None,
    seed: axis.Seed = None,
    processes: axis.Processes = None,
) -> None:
    """Measure the cells of a preset, or of a shape of your own, that are not finished yet, and store each record at once."""
    from attnbench.cli.pilot import pilot
    from attnbench.cli.run import Where, sweep
    from attnbench.runner.plan import Choice
    from attnbench.spec.presets import PILOT

    axes = axis.texts_of(
        causal, mode=mode, seq_len=seq_len, num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, batch_size=batch_size,
        dtype=dtype, padded=padded, seed=seed, processes=processes,
    )  # fmt: skip
    axis.refuse_preset(context, axes)
    choice = Choice(
        preset=preset, tracks=tuple(track or ()), variants=tuple(variant or ()), tasks=tuple(task or ()), device=device, data=data,
        cell=cell, axes=axes,
    )  # fmt: skip

    def run_them(chosen: Choice) -> int:
        return sweep(chosen, results, timeout, rerun, dry_run, out, retry, busy, Where(engine, jobs, address))

    is_pilot = preset == PILOT and cell is None and not axes
    raise typer.Exit(pilot(choice, results, timeout, dry_run, out, run_them) if is_pilot else run_them(choice))


@app.command()
def check(
    names: Annotated[Names, typer.Argument(metavar="NAME_OR_FILE...", help="Variants, by name or by path of a file.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Check every registered variant.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object, or a list of them for several variants.")] = False,
    device: Annotated[str, typer.Option("--device", envvar="ATTNBENCH_DEVICE", help="cpu or cuda.")] = "cpu",
    timeout: Annotated[float, typer.Option("--timeout", min=1.0, help="Seconds that a variant may take.")] = 300.0,
) -> None:
    """Check that a variant computes what it claims; exit code 0 only when every check holds."""
    from attnbench.cli.check import Request, check_variants

    raise typer.Exit(check_variants(Request(tuple(names or ()), everything, device, timeout), as_json, out, err))


@app.command()
def new(name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and underscores.")]) -> None:
    """Write ./NAME.py: a variant that passes `attnbench check`, ready to edit."""
    from attnbench.cli.new import write_variant

    write_variant(name, Path(), out)


@app.command()
def show(
    results: Results = RESULTS,
    track: Annotated[str | None, typer.Option("--track", help="Only this track.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Only this variant.")] = None,
    machine: Annotated[str | None, typer.Option("--machine", help="Only this machine's.")] = None,
) -> None:
    """Show what the results hold, as a table."""
    from attnbench.cli.filters import Filter
    from attnbench.cli.show import show_results

    show_results(results, Filter(track, variant, machine), out, err)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A variant, a machine or a commit.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another of the same kind.")],
    results: Results = RESULTS,
    track: Annotated[str | None, typer.Option("--track", help="Only this track.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="For machines or commits: only this variant.")] = None,
    machine: Annotated[str | None, typer.Option("--machine", help="For variants or commits: only on this machine.")] = None,
    margin: Annotated[float, typer.Option("--margin", min=1.0, help="Times closer than this factor count as alike.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Compare two variants, machines or commits cell by cell; exit code 1 when the second is surely worse somewhere, or failed there."""
    from attnbench.cli.compare import show_comparison
    from attnbench.cli.filters import Filter

    raise typer.Exit(show_comparison(results, a, b, Filter(track, variant, machine), margin, as_json, out, err))


@app.command()
def claims(
    names: Annotated[Names, typer.Argument(metavar="[CLAIM...]", help="Claims, by name or by path of a file; else all.")] = None,
    results: Results = RESULTS,
    evidence: Annotated[bool, typer.Option("--evidence", help="Print the numbers behind each verdict.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects, with the evidence.")] = False,
) -> None:
    """Say what the papers claim, and whether the results reproduce it, by the rules in their files."""
    from attnbench.cli.claims import show_claims

    show_claims(results, names or [], as_json, evidence, out, err)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .csv, .parquet or .json.")],
    results: Results = RESULTS,
    track: Annotated[str | None, typer.Option("--track", help="Only this track.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Only this variant.")] = None,
    machine: Annotated[str | None, typer.Option("--machine", help="Only this machine's.")] = None,
    curves: Annotated[bool, typer.Option("--curves", help="With the training curves, a row for each column.")] = False,
) -> None:
    """Write the results as one tidy table, a row for each record and metric."""
    from attnbench.cli.export import export_frame

    export_frame(results, file, track=track, variant=variant, machine=machine, curves=curves, out=out, err=err)


@app.command()
def site(
    results: Results = RESULTS,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the site goes.")] = Path("site/dist"),
    first: Annotated[str | None, typer.Option("--first", metavar="MACHINE", help="Whose results a page begins with.")] = None,
) -> None:
    """Build the static comparison site from the results."""
    from attnbench.website.publish import publish

    page = publish(results, out_dir, err, first)
    out.print(f"The leaderboard is at {page.resolve()}", soft_wrap=True)


@app.command()
def validate(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results folder.")] = RESULTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Look for errors and warnings in a results folder, by file and line; exit code 0 only without errors."""
    from attnbench.cli.validate import validate_results

    raise typer.Exit(validate_results(results, as_json, out))


@app.command()
def schema() -> None:
    """Print the JSON schema of a record."""
    from attnbench.cli.output import print_json
    from attnbench.store.schema import json_schema

    print_json(json_schema())


@app.command("import-pytest-benchmark")
def import_pytest_benchmark(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What --benchmark-json=FILE wrote.")], results: Results = RESULTS
) -> None:
    """Store what `pytest benchmarks --benchmark-only` measured as records, which hold a time and nothing else, and never rank."""
    from attnbench.cli.import_pytest_benchmark import import_file

    import_file(file, results, out)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object, with the peaks if they are known.")] = False,
    machine: Annotated[bool, typer.Option("--machine", help="Print only the name of this machine.")] = False,
    peaks: Annotated[bool, typer.Option("--peaks", help="Measure what this machine can do at most, about 15 s, and store it.")] = False,
    results: Results = RESULTS,
    device: Annotated[str, typer.Option("--device", envvar="ATTNBENCH_DEVICE", help="Whose peaks: cpu or cuda.")] = "cpu",
) -> None:
    """Say what this machine is, what it can run and, with --peaks, how fast it is at most."""
    if machine:
        from attnbench.cli._notices import tell_of_shared_name
        from attnbench.store.environment import machine_name

        print(machine_name())
        tell_of_shared_name()
        return
    from attnbench.cli.doctor import Inquiry, show_doctor

    show_doctor(Inquiry(results, device, peaks, as_json), out, err)


def main() -> None:
    """Entry point of the `attnbench` command. `--debug` anywhere lets tracebacks through."""
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    # attnbench measures on no device of another package, and torch would end with an error of that package's damaged metadata.
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    if "--debug" in sys.argv:
        sys.argv.remove("--debug")
        app()
    else:
        sys.exit(guarded(app))
