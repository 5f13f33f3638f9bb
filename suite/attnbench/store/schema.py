"""The JSON schema of a record, for programs that read or write the store without attnbench."""

from __future__ import annotations

from typing import Any

import msgspec

from attnbench.spec.axis_values import BLOCKS, DEVICES, DTYPES, EVALUATED, MODES, POSITIONS, TRACKS
from attnbench.store.record import CLOCKS, SCHEMA, Record

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Kept here and not beside the axes, because attnbench.spec must run where msgspec is not installed.
_AXES: dict[str, str] = {
    "track": "what is measured: one call, a stack of layers, or learning a task",
    "variant": "the mechanism's name",
    "params": "the mechanism's parameters, defaults included",
    "device": "where it runs",
    "dtype": "floating-point type of inputs and parameters, by torch's name",
    "mode": "what is timed: forward, training (forward and backward), prefill (a causal forward pass and the state for decoding that it "
    "leaves), or decode (one token against what came before)",
    "causal": "whether a token sees only those before it and itself",
    "batch_size": "sequences at once",
    "num_heads": "heads; the model is num_heads * head_dim wide",
    "num_kv_heads": "heads of keys and values, each shared by num_heads / num_kv_heads heads of queries; null for as many as heads",
    "head_dim": "width of a head",
    "seq_len": "tokens of a sequence; a task has its own",
    "padded": "share of the tokens that are padding, on the right; in a batch it grows evenly from none to twice the share",
    "block": "residual (pre-norm, with skips) or skipless (neither skips nor norms)",
    "num_layers": "layers of the stack",
    "token_shift": "whether queries, keys and values are projected from each token mixed with the one before it, by learned shares",
    "init_norm": "factor on W_Q and W_K at the start, after the initialisation of the mechanism",
    "positions": "how a task's model knows where a token stands: learned (a table), rotary (queries and keys turned by place) or none",
    "task": "the task's name",
    "task_params": "the parameters of the task's difficulty that are not its defaults; null where all are",
    "data": "source and fingerprint of the task's data",
    "protocol": "the name of how the task is trained and its rate chosen",
    "epochs": "passes over the training part",
    "lr": "learning rate; null where none of lr_grid could be tried",
    "lr_grid": "the rates among which lr was chosen on the validation part, with blanks between; null where it was given",
    "tuned_epochs": "the epochs of the trials by which lr was chosen; null where they are its own",
    "weight_decay": "of the matrices, by AdamW",
    "test_seq_len": "the longest sequence on which the model is tested besides those of its training; null for none",
    "seed": "of every random number; of a kernel or depth cell another seed is another process",
    "evaluate": "the part that is measured after training; validation where the run only tunes lr",
}
_CHOICES = {
    "track": TRACKS, "mode": MODES, "block": (*BLOCKS, None), "device": DEVICES, "dtype": DTYPES, "evaluate": EVALUATED,
    "positions": POSITIONS,
}  # fmt: skip


def json_schema() -> dict[str, Any]:
    """The JSON schema of one line of a session's file, as the current attnbench writes it.

    An axis that takes one of a few values lists them.
    """
    schema = msgspec.json.schema(Record)
    record, spec = schema["$defs"]["Record"], schema["$defs"]["Spec"]
    record["required"].insert(0, "schema")  # always written; it has a default only for code that makes a Record
    record["properties"]["schema"]["const"] = SCHEMA
    record["properties"]["clocks"]["additionalProperties"] = {"enum": list(CLOCKS)}
    for axis, description in _AXES.items():
        told = spec["properties"][axis]
        told["description"] = description
        if axis in _CHOICES:
            told.pop("type", None)
            told.pop("anyOf", None)
            told["enum"] = list(_CHOICES[axis])
    title = {"title": "A record of attnbench", "description": "One line of results/records/MACHINE/SESSION.jsonl.", "version": SCHEMA}
    return {"$schema": DIALECT, **title, **schema}
