"""Topic of a news item, four classes, as up to 64 word tokens.

    "Oil prices fell below $46 a barrel on Friday as ..."   ->   business

On the hub only: 120,000 training items, of which 2,400 are held out for validation, and 7,600 test items; title and first sentences.
Words are the 8,192 most frequent of the training part; others are one unknown token. Zhang, Zhao and LeCun 2015.
"""

from __future__ import annotations

from attnbench.tasks.loading.hub import hub_texts
from attnbench.tasks.loading.text import Labelled, classified, words
from attnbench.workload import Parts, Size, Task

HUB = "fancyzhx/ag_news"
SEQ_LEN = 64
VOCABULARY = 8192
CLASSES = 4


def load_hub() -> Parts:
    return classified(items("train"), items("test"), VOCABULARY, SEQ_LEN, held_out=0.02)


def items(split: str) -> Labelled:
    texts, labels = hub_texts(HUB, split, CLASSES)
    return [words(text) for text in texts], labels


TASK = Task(
    kind="language",
    load_hub=load_hub,
    hub=HUB,
    metric="accuracy",
    target=0.8,
    num_classes=CLASSES,
    seq_len=SEQ_LEN,
    vocabulary=VOCABULARY,
    epoch_rows=6_000,
    citation="Zhang, Zhao and LeCun 2015, Character-level Convolutional Networks for Text Classification, NeurIPS, arXiv:1509.01626",
    licence="not stated by its authors; for research, not for commerce",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=4, lr=3e-3),
    large=Size(num_layers=4, num_heads=8, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
