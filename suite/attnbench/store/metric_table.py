"""Every metric that a record or its training curve may hold, and the endings by which others are known. Read by store/metrics.py.

A metric whose meaning changes gets a new name.
"""

from __future__ import annotations

from dataclasses import dataclass

CURVE = "curve."  # prefix that makes the name of a curve's column the name of a metric
RESULTS = ("accuracy", "bits_per_byte")  # the test metrics; a task measures one of them
SATURATED = 1e15  # above this a condition number in float64 is rounding; a map that is zero has it too
CONDITIONS = frozenset({"jacobian_condition", "attention_jacobian_condition"})


@dataclass(frozen=True)
class Metric:
    """One metric.

    unit:    "s", "B", "FLOP", "token/s", "bit/B", "nat", "1/s" for other rates, or "1" for counts, shares and ratios.
    meaning: one line; "" for a metric that is not in the table.
    higher_is_better: None where neither direction is better.
    in_percent: whether it is shown as a percentage.
    """

    name: str
    unit: str
    meaning: str = ""
    higher_is_better: bool | None = None
    in_percent: bool = False

    @property
    def is_time(self) -> bool:
        """Whether it is a duration: above zero, measured by a clock, without a rank in a flagged session. A rate is not a duration."""
        return self.unit == "s"


MORE, LESS = True, False  # values of higher_is_better
_CALL = "of one call of the mechanism or step of the stack"
_OF_MODES = {
    "forward": f"{_CALL}, forward only",
    "training": f"{_CALL}, forward and backward",
    "prefill": "of a prompt",
    "decode": "to decode one token",
}
_OLD = ("forward", "training", "decode")  # modes that were timed between two events
TABLE = (
    Metric("forward_s", "s", f"seconds {_CALL}, forward only, without gradients", LESS),
    Metric("training_s", "s", f"seconds {_CALL}, forward and backward; of a step cell, of a training step with its optimiser", LESS),
    Metric("prefill_s", "s", "seconds of the causal forward pass of a prompt, with the decoding state that it leaves", LESS),
    Metric("decode_s", "s", "seconds to decode one token against the state that the seq_len - 1 tokens before it left", LESS),
    *(Metric(f"{mode}_kernel_s", "s", f"seconds of the GPU's kernels alone {of}", LESS) for mode, of in _OF_MODES.items()),
    *(Metric(f"{mode}_device_s", "s", f"seconds between two events on the GPU {_OF_MODES[mode]}, in older records", LESS) for mode in _OLD),
    Metric("first_call_s", "s", "seconds of the process's first call, in which kernels are compiled and tuned", LESS),
    Metric("anchor_s", "s", "seconds of softmax in the same shape and mode, taking turns with the cell's own call"),
    Metric(
        "anchor_ratio",
        "1",
        "time over that of softmax in the same round, so that a slow machine divides out; below 1 is faster than softmax",
        LESS,
    ),
    Metric(
        "softmax_ratio",
        "1",
        "time over that of softmax's own cells of the same setting and session; in no record, for the analysis makes it; below 1 is faster",
        LESS,
    ),
    Metric("drift_anchor_s", "s", "seconds of one fixed softmax call, half before the timed calls and half after: did the speed change?"),
    Metric(
        "peak_memory_bytes", "B", "most bytes allocated at once during a call or training step, over what was allocated before it", LESS
    ),
    Metric(
        "peak_rss_bytes", "B", "bytes by which the process's physical memory grew with its first call, libraries and arenas included", LESS
    ),
    Metric("theory_bytes", "B", "bytes that a forward pass allocates by what the mechanism claims"),
    Metric("state_bytes", "B", "bytes of the state that decoding keeps after seq_len - 1 tokens", LESS),
    Metric("flops", "FLOP", f"floating-point operations {_CALL}, as counted from the operators that ran"),
    Metric("algorithmic_flops", "FLOP", "the same without what is computed twice: of training three times the counted forward pass"),
    Metric(
        "roofline_fraction",
        "1",
        "share of the machine's peak that the median call achieved, by whichever binds: products or memory",
        MORE,
    ),
    Metric(
        "mfu",
        "1",
        "model FLOP utilisation: algorithmic_flops over what the machine's peak in the cell's dtype could do in the median call's time",
        MORE,
    ),
    Metric("error", "1", "largest relative error (Frobenius norm) of output and gradients against the float64 reference", LESS),
    Metric("error_share", "1", "largest share of what is allowed that the error of a result, or of one row, takes; beyond 1: wrong", LESS),
    Metric("row_error", "1", "largest relative error of one row of the output or of a gradient, on the scale of that row", LESS),
    Metric("verified_rows", "1", "rows of a timed call's output that were compared with the float64 reference"),
    Metric("parameters", "1", "number of trainable parameters of the whole model"),
    Metric(
        "mechanism_parameters",
        "1",
        "number of trainable parameters that the mechanisms bring, by which models of two mechanisms differ",
    ),
    Metric("diagnosed_seq_len", "1", "tokens of the input on which the stack was looked at before training"),
    Metric(
        "jacobian_condition",
        "1",
        "condition number of the Jacobian of the stack's output by its input at initialisation; 1 to 1e15, where it is saturated, as it is "
        "for an output that does not depend on its input",
    ),
    Metric("attention_jacobian_condition", "1", "the same of the stack's attention alone, without its other parts"),
    Metric("effective_rank", "1", "exp of the entropy of the output tokens' normalised singular values; 1 when all tokens are parallel"),
    Metric(
        "dong_residual",
        "1",
        "Frobenius norm of the output tokens less their mean, over that of the tokens; 0 when all tokens are the same",
    ),
    Metric(
        "attention_frobenius",
        "1",
        "Frobenius norm of the attention matrix; a sample a head in a kernel cell, a layer (mean of heads) in depth",
    ),
    Metric("orthogonality_error", "1", "Frobenius norm of A^T A - I of the attention matrix A; samples as of attention_frobenius"),
    Metric("gradient_norm", "1", "norm of all parameters' gradients together, of a step at initialisation"),
    Metric("accuracy", "1", "share of right answers on the test part, after training", MORE, in_percent=True),
    Metric("bits_per_byte", "bit/B", "cross-entropy on the test part after training, in bits a byte; less is better", LESS),
    Metric("validation_accuracy", "1", "share of right answers on the validation part after the last epoch", MORE, in_percent=True),
    Metric(
        "validation_bits_per_byte",
        "bit/B",
        "cross-entropy on the validation part after the last epoch, in bits a byte; less is better",
        LESS,
    ),
    Metric("target_accuracy", "1", "accuracy on the validation part whose first reaching is timed", in_percent=True),
    Metric("target_bits_per_byte", "bit/B", "bits a byte on the validation part whose first reaching is timed"),
    Metric(
        "majority_share", "1", "share of the most frequent answer of the test part: the accuracy of knowing nothing else", in_percent=True
    ),
    Metric("unigram_bits", "bit/B", "entropy of the test part's answers, in bits a byte: what knowing only how frequent each is gives"),
    Metric("validation_majority_share", "1", "share of the most frequent answer of the validation part", in_percent=True),
    Metric("validation_unigram_bits", "bit/B", "entropy of the validation part's answers, in bits a byte"),
    Metric(
        "validation_loss",
        "nat",
        "cross-entropy on the validation part after the last epoch, in nats an answer; rates are chosen by it",
        LESS,
    ),
    Metric("test_loss", "nat", "cross-entropy on the test part after training, in nats an answer", LESS),
    Metric("accuracy_by_block", "1", "accuracy in each block of test rows, the same blocks for all mechanisms", MORE, in_percent=True),
    Metric("bits_per_byte_by_block", "bit/B", "bits a byte in each block of test rows, the same blocks for all mechanisms", LESS),
    Metric("asked_by_block", "1", "answers that are asked in each block of test rows"),
    *(
        Metric(f"accuracy_at_{n}x", "1", f"accuracy on test sequences {n} times as long as in training", MORE, in_percent=True)
        for n in (2, 4)
    ),
    *(Metric(f"bits_per_byte_at_{n}x", "bit/B", f"bits a byte on test sequences {n} times as long as in training", LESS) for n in (2, 4)),
    Metric(
        "retrieval_accuracy",
        "1",
        "share of right answers among those that stand in the sequence already and that frequencies would not tell",
        MORE,
        in_percent=True,
    ),
    Metric("retrieval_answers", "1", "how many such answers the test part has"),
    Metric("rates_tried", "1", "the learning rates from which the cell's was chosen by trials"),
    Metric("row_tokens", "1", "tokens of a row of the task, as the model sees them"),
    Metric("steps", "1", "steps of the optimiser that training took"),
    Metric(
        "training_flops", "FLOP", "operations of all steps of training; in no record: steps times those of a step, which step cells count"
    ),
    Metric("training_tokens", "1", "tokens that training showed, padding among them"),
    Metric("steps_to_target", "1", "steps of training until the target was reached; missing where it never was", LESS),
    Metric(
        "train_s", "s", "seconds of training, evaluation left out: steps times the seconds of a step, which older records measured", LESS
    ),
    Metric("time_to_target_s", "s", "seconds of training until the target was reached; missing where it never was", LESS),
    Metric("training_tokens_per_s", "token/s", "tokens a second in training", MORE),
    Metric("inference_tokens_per_s", "token/s", "tokens a second in evaluating the test part, in older records", MORE),
    Metric("diverged", "1", "1 if a number stopped being finite (in training, this ends it), else 0", LESS),
    Metric("resumptions", "1", "how often training went on from a checkpoint"),
    Metric("curve.step", "1", "steps of the optimiser that were done"),
    Metric("curve.wall_s", "s", "seconds spent training so far, evaluation left out; with one thread, others may have run beside it", LESS),
    Metric("curve.train_loss", "nat", "mean loss over the epoch's steps, in nats; there is none before training", LESS),
    Metric(
        "curve.validation_loss",
        "nat",
        "cross-entropy on the validation part, in nats an answer, before training and after each epoch",
        LESS,
    ),
    Metric(
        "curve.validation_accuracy",
        "1",
        "share of right answers on the validation part, before training and after each epoch",
        MORE,
        in_percent=True,
    ),
    Metric(
        "curve.validation_bits_per_byte",
        "bit/B",
        "cross-entropy on the validation part in bits a byte, before training and after each epoch",
        LESS,
    ),
    Metric(
        "curve.attention_frobenius_layer_N",
        "1",
        "Frobenius norm of layer N's attention matrix, mean over heads and a few rows of validation",
    ),
    Metric("curve.largest_frobenius_layer_N", "1", "the largest Frobenius norm of an attention matrix of layer N, of all heads and rows"),
    Metric("curve.orthogonality_error_layer_N", "1", "the largest ||A^T A - I||_F of layer N, of all heads and a few rows of validation"),
    Metric("curve.effective_rank_layer_N", "1", "effective rank of the tokens that layer N gives, mean over a few rows of validation"),
    Metric("curve.dong_residual_layer_N", "1", "dong_residual of the tokens that layer N gives, mean over a few rows of validation"),
)
# Unit and format of a metric that is not in the table, by the ending of its name; the first that fits.
ENDINGS = (
    Metric("tokens_per_s", "token/s"), Metric("_per_s", "1/s"), Metric("bits_per_byte", "bit/B"), Metric("_bytes", "B"), Metric("_s", "s"),
    Metric("accuracy", "1", in_percent=True),
)  # fmt: skip
