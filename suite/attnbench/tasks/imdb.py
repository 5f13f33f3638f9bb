"""Whether a film review is favourable, as up to 256 word tokens.

    "I was bored from the first scene to the last ..."   ->   negative

On the hub only: 25,000 training reviews, of which 1,000 are held out for validation, and 25,000 test reviews of other films. Films are
not named, so that a film may be in the training and in the validation part. Words are the 8,192 most frequent of the training part;
others are one unknown token. Maas et al. 2011.
"""

from __future__ import annotations

from attnbench.tasks.loading.hub import hub_texts
from attnbench.tasks.loading.text import Labelled, classified, words
from attnbench.workload import Parts, Size, Task

HUB = "stanfordnlp/imdb"
SEQ_LEN = 256
VOCABULARY = 8192
CLASSES = 2


def load_hub() -> Parts:
    return classified(reviews("train"), reviews("test"), VOCABULARY, SEQ_LEN, held_out=0.04)


def reviews(split: str) -> Labelled:
    texts, labels = hub_texts(HUB, split, CLASSES)
    return [words(text.replace("<br />", " ")) for text in texts], labels


TASK = Task(
    kind="language",
    load_hub=load_hub,
    hub=HUB,
    metric="accuracy",
    target=0.75,
    num_classes=CLASSES,
    seq_len=SEQ_LEN,
    vocabulary=VOCABULARY,
    epoch_rows=1_500,
    citation="Maas et al. 2011, Learning Word Vectors for Sentiment Analysis, ACL",
    licence="not stated by its authors; for research",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=32, epochs=5, lr=3e-3),
    large=Size(num_layers=4, num_heads=8, head_dim=32, batch_size=64, epochs=150, lr=1e-3),
)
