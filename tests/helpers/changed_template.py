"""The template of a variant with something put in: mechanisms for tests, each a file of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import attnbench

TEMPLATE = (
    (Path(attnbench.__file__).parent / "variants" / "_template.py")
    .read_text()
    .replace("import math\n", "import functools\nimport math\nimport threading\n\nimport torch\n", 1)
    .replace("from torch import nn\n", "import torch.nn.functional as F\nfrom torch import nn\n", 1)
    .replace("Variant, hide_padding", "Unsupported, Variant, hide_padding", 1)
)
CLASS = "class MyAttention(nn.Module):"
FORWARD = "return self.matrix(q, k, causal, padding_mask) @ v  # rows at padding come out as zero"
OUT = "self.matrix(q, k, causal, padding_mask) @ v"
HIDE_V = "(v,) = hide_padding(padding_mask, v)  # padding may hold anything, NaN included"
SCORES = "scores = q @ k.mT / math.sqrt(q.shape[-1])"
_DOCSTRING = 'True = padding."""'
NEXT = "\n        "


def init(*lines: str, given: str = "self") -> dict[str, str]:
    """The change that gives the mechanism an __init__ of these lines; a shape is not given to it, unless `given` says "self, shape"."""
    body = NEXT.join(lines)
    return {_DOCSTRING: f"{_DOCSTRING}\n\n    def __init__({given}):\n        super().__init__()\n        {body}\n"}


def write(folder: Path, *changes: Mapping[str, str], name: str = "mine") -> str:
    """The path of a file with these changes, one mapping after the other, in a folder of its own under the given one.

    A file is loaded once.
    """
    text = TEMPLATE
    for old, new in (change for each in changes for change in each.items()):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = Path(tempfile.mkdtemp(dir=folder)) / f"{name}.py"
    file.write_text(text)
    return str(file)
