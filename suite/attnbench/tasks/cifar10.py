"""Small colour photographs, ten classes, as 64 patches of 4 x 4 pixels.

    image 32 x 32 x 3    tokens
    +--+--+-- -+
    |p0|p1| ...|   ->    p0 p1 ... p63   ->   "frog"
    +--+--+-- -+

On the hub only: 50,000 training images, of which 2,000 are held out for validation, and 10,000 test images. Krizhevsky 2009.
"""

from __future__ import annotations

from attnbench.tasks.loading.hub import hub_images
from attnbench.workload import Parts, Size, Split, Task, hold_out

HUB = "uoft-cs/cifar10"


def load_hub() -> Parts:
    train, validation = hold_out(Split(*hub_images(HUB, "train", column="img", mode="RGB", side=32)), fraction=0.04)
    return Parts(train, validation, Split(*hub_images(HUB, "test", column="img", mode="RGB", side=32)))


TASK = Task(
    kind="vision",
    load_hub=load_hub,
    hub=HUB,
    metric="accuracy",
    target=0.45,
    num_classes=10,
    seq_len=64,
    patch=4,
    channels=3,
    epoch_rows=5_000,
    citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    licence="not stated by its authors; for research",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=5, lr=3e-3),
    large=Size(num_layers=6, num_heads=8, head_dim=32, batch_size=128, epochs=180, lr=1e-3),
)
