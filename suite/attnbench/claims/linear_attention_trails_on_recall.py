"""Linear attention, whose state has a fixed size, is behind softmax attention at recalling what stands in its context."""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._ahead import RECALL, at_recall
from attnbench.claims._runs import COUNTED, Mechanism

CLAIM = Claim(
    statement="Linear attention, whose state has a fixed size, trails softmax attention on recall.",
    quote="We show that efficient alternatives to attention (e.g. H3, Mamba, RWKV) maintain a fixed-size recurrent state, but struggle at "
    "recall.",
    citation="Arora, Eyuboglu, Zhang and others 2024, Simple linear attention language models balance the recall-throughput tradeoff",
    source="arXiv 2402.18668 v2",
    evaluated="Recall of key-value pairs (MQAR) and language models of up to 1.3B parameters, all causal; recall against the size of the "
    "state. taylor, which the paper proposes, is therefore no arm; nor is a model that is not causal.",
    rule=f"{COUNTED} {RECALL.format(form='causal', names='linear_elu and mamba2, whose states hold head_dim² numbers a head')}",
    **at_recall({"linear_elu": Mechanism("linear_elu"), "mamba2": Mechanism("mamba2")}, causal=True),
)
