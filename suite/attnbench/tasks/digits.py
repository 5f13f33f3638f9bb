"""Tiny handwritten digits, ten classes, as 16 patches of 2 x 2 pixels: seconds to train, soon saturated.

    image 8 x 8          tokens
    +--+--+--+--+
    |p0|p1|p2|p3|   ->   p0 p1 ... p15   ->   "3"
    +--+--+--+--+

All 1,797 images of scikit-learn's digits, the test part of the UCI set; of each class a fifth tests and a tenth validates, by a fixed
draw. Which of the 13 writers wrote what is not known, so that a writer may be in two parts. Pixels count the dark dots of 4 x 4, 0 to
16, in the file; they are spread over 0 to 255 as they are loaded. Alpaydin and Kaynak 1998.
"""

from __future__ import annotations

import torch

from attnbench.tasks.loading.embedded import images
from attnbench.workload import Parts, Size, Split, Task, take

FILE = "digits.parquet"
DARKEST = 16
SEED = 0


def load() -> Parts:
    pixels, labels = images(FILE, side=8)
    whole = Split((pixels.int() * 255 // DARKEST).to(torch.uint8), labels)
    draw = torch.Generator().manual_seed(SEED)
    train, validation, test = [], [], []
    for digit in range(10):
        rows = (labels == digit).nonzero().squeeze(1)
        rows = rows[torch.randperm(len(rows), generator=draw)]
        fifth, tenth = len(rows) // 5, len(rows) // 10
        test.append(rows[:fifth])
        validation.append(rows[fifth : fifth + tenth])
        train.append(rows[fifth + tenth :])
    return Parts(*(take(whole, torch.cat(rows)) for rows in (train, validation, test)))


TASK = Task(
    kind="vision",
    load=load,
    files=(FILE,),
    metric="accuracy",
    target=0.9,
    num_classes=10,
    seq_len=16,
    patch=2,
    citation="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI; as shipped by scikit-learn 1.9.1",
    licence="BSD-3 (scikit-learn); CC BY 4.0 (UCI)",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=32, epochs=12, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=32, epochs=40, lr=1e-3),
)
