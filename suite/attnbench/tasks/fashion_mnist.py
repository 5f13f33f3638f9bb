"""Pieces of clothing, ten classes, as 49 patches of 4 x 4 pixels, or as more and smaller ones.

    image 28 x 28        tokens
    +--+--+-- -+
    |p0|p1| ...|   ->    p0 p1 ... p48   ->   "ankle boot"
    +--+--+-- -+

Embedded: 6,000 training images (600 a class), of which 600 are held out for validation, and 2,000 test images, drawn from the official
parts. On the hub: all 60,000, of which 6,000 are held out, and 10,000. Harder than digits: logistic regression on the pixels of the
embedded part reaches 0.816. Xiao, Rasul and Vollgraf 2017.
"""

from __future__ import annotations

from typing import Any

from attnbench.errors import BadInput
from attnbench.tasks.loading.embedded import images
from attnbench.tasks.loading.hub import hub_images
from attnbench.workload import Parts, Size, Split, Task, hold_out

FILES = ("fashion_mnist_train.parquet", "fashion_mnist_test.parquet")
HUB = "zalando-datasets/fashion_mnist"
SIDE = 28


def load() -> Parts:
    train, validation = hold_out(Split(*images(FILES[0], side=SIDE)), fraction=0.1)
    return Parts(train, validation, Split(*images(FILES[1], side=SIDE)))


def load_hub() -> Parts:
    train, validation = hold_out(Split(*hub_images(HUB, "train", side=SIDE)), fraction=0.1)
    return Parts(train, validation, Split(*hub_images(HUB, "test", side=SIDE)))


def vary(patch: int) -> dict[str, Any]:
    """With smaller patches an image is a longer sequence: 49 tokens, 196 or 784."""
    if patch < 1 or SIDE % patch:
        raise BadInput(f"patch is {patch}; it must divide the side of an image, {SIDE} pixels")
    return {"patch": patch, "seq_len": (SIDE // patch) ** 2}


TASK = Task(
    kind="vision",
    load=load,
    files=FILES,
    load_hub=load_hub,
    hub=HUB,
    metric="accuracy",
    target=0.8,
    num_classes=10,
    seq_len=49,
    patch=4,
    params={"patch": 4},
    grid={"patch": (4, 2, 1)},
    vary=vary,
    citation="Xiao, Rasul and Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747; subset of the files packaged by Debian",
    licence="MIT (Zalando SE)",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=32, epochs=6, lr=3e-3),
    large=Size(num_layers=6, num_heads=4, head_dim=32, batch_size=64, epochs=30, lr=1e-3),
)
