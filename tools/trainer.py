"""Our trainer against others: samples a second of the same model on the same data with the same recipe.

    make trainer                                        # against a bare PyTorch loop
    pip install lightning && python tools/trainer.py # and against Lightning's Trainer, which is measured where it is installed

Each round trains the same model for an epoch with each of them, in an order drawn anew; machines drift, so only a round's ratios count.
Validation is left out of all of them. Exits with 1 when ours is below 0.95 of the bare loop, or below Lightning.
"""

from __future__ import annotations

import argparse
import copy
import logging
import random
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

FLOORS = {"bare loop": 0.95, "lightning": 1.0}
ROUNDS, ROWS = 7, 1600

Epoch = Callable[[Any, Any], float]


def ours(recipe: Any) -> Epoch:
    """An epoch of the engine; the seconds it says that training took."""
    from attnbench.training.train import train
    from attnbench.workload import take

    def epoch(model: Any, data: Any) -> float:
        import torch

        return train(model, data, take(data, torch.arange(1)), recipe).train_s

    return epoch


def bare(recipe: Any) -> Epoch:
    """What one writes without a library: shuffle, forward, backward, clip, step; AdamW as torch has it, warm-up and cosine by LambdaLR."""
    import torch
    import torch.nn.functional as F

    from attnbench.training.train import schedule

    def epoch(model: Any, data: Any) -> float:
        optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        steps = -(-len(data) // recipe.batch_size)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule(steps, recipe.warmup_share))
        model.train()
        began = time.perf_counter()
        for rows in torch.randperm(len(data)).to(data.targets.device).split(recipe.batch_size):
            optimiser.zero_grad()
            loss = F.cross_entropy(model(data.inputs[rows]), data.targets[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimiser.step()
            scheduler.step()
        loss.item()
        return time.perf_counter() - began

    return epoch


def lightning(recipe: Any) -> Epoch:
    """Lightning's Trainer as its documentation shows it, with everything that costs and is not training switched off."""
    import torch
    import torch.nn.functional as F
    from lightning import pytorch as pl

    from attnbench.training.train import schedule

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(pl.LightningModule):
        def __init__(self, model: Any, steps: int) -> None:
            super().__init__()
            self.model, self.steps, self.began, self.took_s = model, steps, 0.0, 0.0

        def training_step(self, batch: Any, index: int) -> Any:
            inputs, targets = batch
            return F.cross_entropy(self.model(inputs), targets)

        def configure_optimizers(self) -> Any:
            optimiser = torch.optim.AdamW(self.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule(self.steps))
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

        def on_train_epoch_start(self) -> None:
            self.began = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.took_s = time.perf_counter() - self.began

    def epoch(model: Any, data: Any) -> float:
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(data.inputs, data.targets), batch_size=recipe.batch_size, shuffle=True
        )
        trainer = pl.Trainer(
            max_epochs=1, accelerator="gpu" if data.inputs.is_cuda else "cpu", devices=1, gradient_clip_val=recipe.clip_norm, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        module = Module(model, len(loader))
        trainer.fit(module, loader)
        return module.took_s

    return epoch


def compare(task_name: str, variant: str, device: str, rounds: int, against: list[str]) -> dict[str, list[float]]:
    """By the other's name, its seconds over ours in each round: how many samples ours trains while it trains one."""
    import torch

    from attnbench import registry
    from attnbench.measurement.tracks.architecture import architecture
    from attnbench.measurement.tracks.task import recipe_of
    from attnbench.spec.axes import Spec
    from attnbench.training.model import for_task
    from attnbench.workload import Task, take

    task: Task = registry.load("tasks", task_name)
    size = task.small
    spec = Spec(
        track="task", task=task_name, variant=variant, block="residual", num_layers=size.num_layers, num_heads=size.num_heads,
        head_dim=size.head_dim, batch_size=size.batch_size, epochs=1, lr=size.lr, device=device,
    )  # fmt: skip
    recipe = recipe_of(spec, task)
    data = take(task.parts(task.sources[0]).train, torch.arange(ROWS)).to(device)
    torch.manual_seed(0)
    model = for_task(task, architecture(spec, variant, task.seq_len)).to(device)
    made = {"ours": ours, "bare loop": bare, "lightning": lightning}
    epochs = {name: made[name](recipe) for name in ("ours", *against)}
    ratios: dict[str, list[float]] = {name: [] for name in against}
    for number in range(rounds + 1):
        order = list(epochs)
        random.Random(number).shuffle(order)
        took = {name: epochs[name](copy.deepcopy(model), data) for name in order}
        if number:  # the first is everyone's warm-up
            for name in against:
                ratios[name].append(took[name] / took["ours"])
        else:
            print(f"{task_name}, {variant}, {device}: {ROWS / took['ours']:,.0f} samples a second in the warm-up round", flush=True)
    return ratios


def main() -> int:
    """Print the ratios; 1 when one is below its floor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="mnist")
    parser.add_argument("--variant", default="softmax")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    against = ["bare loop", *(["lightning"] if find_spec("lightning") else [])]
    ratios = compare(chosen.task, chosen.variant, chosen.device, chosen.rounds, against)
    for name, found in ratios.items():
        verdict = "holds" if median(found) >= FLOORS[name] else "NOT MET"
        shown = " ".join(f"{ratio:.3f}" for ratio in sorted(found))
        print(f"samples a second over {name}: {median(found):.3f}  (at least {FLOORS[name]:g}: {verdict}; rounds {shown})")
    if "lightning" not in against:
        print("lightning is not installed, so it was not compared: pip install lightning")
    return int(any(median(found) < FLOORS[name] for name, found in ratios.items()))


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
