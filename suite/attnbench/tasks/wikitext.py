"""The next byte of a Wikipedia article, from up to 128 bytes before it.

    input     =   R o b e r t   B o u l t e r   ->   each position's next byte
    target   =   R o b e r t   B o u l t e r

On the hub only: WikiText-2, raw, whose official parts share no article. A part is read as one stream of UTF-8 bytes in chunks of 128;
512 chunks of the validation part and 2,048 of the test part, a fixed draw. Figures are thus no perplexities of the literature, whose
models see more of what went before. Merity et al. 2016.
"""

from __future__ import annotations

from attnbench.tasks.loading.chunks import VALUES, chunks, draw, next_byte
from attnbench.tasks.loading.hub import hub
from attnbench.workload import Parts, Size, Split, Task

HUB = "Salesforce/wikitext"
CONFIG = "wikitext-2-raw-v1"
SEQ_LEN = 128


def load_hub() -> Parts:
    return Parts(part("train"), draw(part("validation"), 512), draw(part("test"), 2_048))


def part(split: str) -> Split:
    text = "".join(hub(HUB, split, CONFIG).texts("text"))
    return Split(*next_byte(chunks(text, SEQ_LEN + 1, SEQ_LEN)))


TASK = Task(
    kind="language",
    load_hub=load_hub,
    hub=HUB,
    metric="bits_per_byte",
    target=3.0,
    num_classes=VALUES,
    per_token=True,
    causal=(True,),
    seq_len=SEQ_LEN,
    vocabulary=VALUES,
    epoch_rows=2_048,
    citation="Merity, Xiong, Bradbury and Socher 2016, Pointer Sentinel Mixture Models, arXiv:1609.07843",
    licence="CC BY-SA 3.0 and GFDL (Wikipedia)",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=16, epochs=6, lr=5e-3),
    large=Size(num_layers=6, num_heads=8, head_dim=32, batch_size=64, epochs=120, lr=1e-3),
)
