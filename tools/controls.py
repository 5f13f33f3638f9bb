"""What a classical model without attention reaches on each task, into results/controls; a page shows it beside the mechanisms.

    make controls                                                  # every task whose data are here, and every difficulty of the presets
    python tools/controls.py sotu_lm mnist --rerun                 # these, again
    python tools/controls.py mqar --params '{"pairs": 16}'         # at another difficulty than the default

Images: logistic regression on pixels. Rows of tokens: logistic regression on how often a row has each token. Tokens that are asked: their
frequency after the tokens before them, or between those on both sides of what is hidden, by Kneser-Ney. Each learns from the whole training
part; what has to be chosen is chosen by the loss on the validation part, and the test part is read once. One thread, and nothing is drawn,
so that the same data give the same control. Exits with 1 where a control could not be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Found:
    """A fitted model in words, what was chosen for it, and its score of every answer: 1 where it is right, else 0, or its bits."""

    model: str
    chosen: str
    validation: Any
    test: Any


def fitted(task: Any, parts: Any, say: Callable[[str], None]) -> Found:
    """The classical model of a task, counted or fitted on its training part.

    Raises BadInput where there is none.
    """
    from attnbench.errors import BadInput

    if task.per_token:
        if task.vocabulary is None:
            raise BadInput("it asks for an answer at each part of an image, for which there is no classical model here")
        from _asked_tokens import fit

        return Found(*fit(task, parts, say))
    from _regression import fit as fit_rows

    found = fit_rows(task, parts, say)
    return Found(f"logistic regression on {found.holds}", str(found), found.right(parts.validation), found.right(parts.test))


def measured(name: str, params: dict[str, Any], given: argparse.Namespace) -> None:
    """Measure the control of a task at a difficulty and store it, if it is not there for the same data.

    Raises AttnbenchError for what a user can mend.
    """
    from attnbench import registry
    from attnbench.spec.tasks import data_of, load_task
    from attnbench.store.controls import control_of, read_controls, store_control

    began = time.perf_counter()
    stem, task = registry.stem(name), load_task(name, params)
    declared = registry.load("tasks", name)  # with its grid, which one difficulty does not have
    data = data_of(task, given.data, stem)
    source = data.partition(":")[0]
    print(f"{stem}: loading its data ...", flush=True)
    parts = task.parts(source)
    fingerprint = parts.fingerprint()
    indifferent = without_effect(declared, source)
    own = {key: value for key, value in params.items() if value != declared.params[key] and key not in indifferent}
    facts: dict[str, Any] = {"task": stem, "task_params": own, "data": data}
    known = control_of(read_controls(given.results), **facts, causal=task.causal[0])
    if known is not None and known.data_fingerprint == fingerprint and not given.rerun:
        print(f"{stem}: {known.metric} {known.value:.4f} is there already; --rerun measures it again")
        return
    found = fitted(task, parts, lambda said: print(f"    {said}", flush=True))
    flags = [*(["--params", json.dumps(own)] if own else []), *(["--data", source] if source != task.sources[0] else [])]
    command = shlex.join(["python", "tools/controls.py", Path(name).name, "--rerun", *flags])
    facts |= {"data_fingerprint": fingerprint, "independent_of": indifferent, "metric": task.metric, "command": command}
    whole = control(found, parts.test, **facts)
    file = store_control(given.results, whole)
    figures = f"{whole.metric} {whole.value:.4f}, {whole.validation_value:.4f} on the validation part"
    print(f"{stem}: {figures}; {whole.model}, {whole.chosen}; {time.perf_counter() - began:.0f} s; {file}", flush=True)


def control(found: Found, test: Any, **facts: Any) -> Any:
    """The control of a fitted model, with its scores in each block of the test part, and what made it. facts: the other fields."""
    from attnbench.store.commit import commit
    from attnbench.store.controls import Control
    from attnbench.store.environment import version_of
    from attnbench.workload import IGNORED, asked_by_block, block_of_rows

    blocks = block_of_rows(test)
    rows = (test.targets.view(len(test), -1) != IGNORED).nonzero()[:, 0]  # of every answer
    made: dict[str, Any] = {
        "versions": {package.replace("-", "_"): version_of(package) for package in ("scikit-learn", "numpy", "attnbench")},
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        **commit(),
    }
    return Control(
        model=found.model,
        chosen=found.chosen,
        value=float(found.test.mean()),
        validation_value=float(found.validation.mean()),
        by_block=mean_by_block(found.test, blocks[rows].numpy(), int(blocks.max()) + 1),
        asked_by_block=tuple(int(asked) for asked in asked_by_block(test, blocks)),
        **facts,
        **made,
    )


def without_effect(task: Any, source: str) -> tuple[str, ...]:
    """The parameters of a task that change how a model sees its data, and not the data: those are the same with every value of its grid."""
    if source == "generated":
        return ()

    def data(name: str, value: Any) -> str:
        return str(task.at({name: value}).parts(source).fingerprint())

    return tuple(sorted(name for name, values in task.grid.items() if all_same(data(name, value) for value in values)))


def all_same(values: Iterable[str]) -> bool:
    """Whether all values are equal; looks no further than the first that is not."""
    found = iter(values)
    first = next(found, None)
    return all(value == first for value in found)


def mean_by_block(scores: Any, blocks: Any, count: int) -> tuple[float | None, ...]:
    """The mean score of each block; None in one where nothing is asked."""
    import numpy as np

    sums, asked = np.bincount(blocks, scores, minlength=count), np.bincount(blocks, minlength=count)
    return tuple(float(total / of) if of else None for total, of in zip(sums, asked, strict=True))


def difficulties() -> list[tuple[str, dict[str, Any]]]:
    """Every task as it is by default, and then at each other difficulty that a preset asks for."""
    import attnbench
    from attnbench.spec.grids import Grid, Posed
    from attnbench.spec.presets import PRESETS

    grids = [grid for preset in PRESETS.values() for grid in preset.grids if not isinstance(grid, Grid)]
    posed = [(task.task, dict(task.params)) for grid in grids for task in grid.tasks if isinstance(task, Posed)]
    return [(name, {}) for name in attnbench.names("tasks")] + [each for at, each in enumerate(posed) if each not in posed[:at]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", nargs="*", help="name of a task, or the path of its file; every task whose data are here if not given")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the records; results if not given")
    parser.add_argument("--params", type=json.loads, default={}, metavar="JSON", help="parameters of the difficulty of one task")
    parser.add_argument(
        "--data", choices=["embedded", "generated", "hub"], help="where the data come from; the task's first source if not given"
    )
    parser.add_argument("--rerun", action="store_true", help="measure what is there already, too")
    given = parser.parse_args()
    if not isinstance(given.params, dict) or (given.params and len(given.task) != 1):
        parser.error("--params takes a JSON object of the parameters of one task, such as '{\"pairs\": 16}'; name that task")
    if find_spec("sklearn") is None:
        parser.error("scikit-learn is not installed; run make controls, or pip install -c constraints.txt scikit-learn")
    import torch
    from threadpoolctl import threadpool_limits

    from attnbench import registry
    from attnbench.errors import AttnbenchError

    torch.set_num_threads(1)
    began, failed = time.perf_counter(), 0
    with threadpool_limits(1):
        for name, params in [(name, given.params) for name in given.task] or difficulties():
            try:
                if given.task or registry.load("tasks", name).load is not None:
                    measured(name, params, given)
            except AttnbenchError as error:
                failed += 1
                print(f"{registry.stem(name)}: {error}", file=sys.stderr, flush=True)
    print(f"{time.perf_counter() - began:.0f} s in all")
    return int(failed > 0)


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
