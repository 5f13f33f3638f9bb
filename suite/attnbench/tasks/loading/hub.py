"""Data sets of the Hugging Face hub: downloaded, from the cache, or from a folder of copies.

ATTNBENCH_HUB_DIR names such a folder, for machines without a network. To fill it where there is one:

    hf download --repo-type dataset ylecun/mnist --local-dir FOLDER/ylecun/mnist

The hub is asked whether it answers before it is asked for data, for `datasets` tries for 23 s where there is no network.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from attnbench.errors import Unavailable, text_of
from attnbench.tasks.loading.columns import Columns
from attnbench.tasks.loading.hub_cache import cached, copied

COPIES = "ATTNBENCH_HUB_DIR"
PATIENCE_S = 2.0


def hub(name: str, split: str, config: str | None = None) -> Columns:
    """A split of a data set of the hub, in memory.

    name: OWNER/NAME on the hub, or in the folder that ATTNBENCH_HUB_DIR names, which alone is read if it is set.
    config: which of the data set's parts, where it has several.

    Raises Unavailable, in two seconds where there is no network, unless the data are in the cache of `datasets`.
    """
    import datasets

    datasets.disable_progress_bars()
    copies = os.environ.get(COPIES)
    silence = None if copies else why_silent()
    try:
        with _offline(bool(copies) or silence is not None):
            if copies:
                return Columns(name, split, copied(_copy(copies, name), config, split))
            return Columns(name, split, cached(name, config, split, offline=silence is not None))
    except (MemoryError, Unavailable):
        raise
    except Exception as error:  # of the network, of the server, of files: no two releases of `datasets` raise the same
        if silence is not None:
            raise Unavailable(f"{name} is not in the cache, and {silence}; {_what_to_do(name)}") from error
        reason = text_of(error).strip().split("\n", 1)[0]
        told = f"{name} cannot be loaded: {type(error).__name__}: {reason}; split {split!r} was expected"
        raise Unavailable(f"{told}; {_what_to_do(name)}") from error


def hub_images(
    name: str, split: str, column: str = "image", mode: str = "L", side: int | None = None, classes: int = 10
) -> tuple[Tensor, Tensor]:
    """Images and labels [rows] int64 of a split with columns `column` and `label`.

    mode: "L" for images [rows, height, width] uint8, "RGB" for [rows, height, width, 3]. side: of each in pixels; that of the first if it
    is not given. classes: a label is from 0 to classes - 1. Raises Unavailable as `hub` does, and for a row that is none of this.
    """
    rows = hub(name, split)
    return rows.images(column, mode, side), rows.labels("label", classes)


def hub_texts(name: str, split: str, classes: int) -> tuple[list[str], Tensor]:
    """Texts and labels [rows] int64 of a split with columns `text` and `label`. Raises Unavailable as `hub_images` does."""
    rows = hub(name, split)
    return rows.texts("text"), rows.labels("label", classes)


def why_silent() -> str | None:
    """The reason why the hub gives no answer, None if it gives one; takes PATIENCE_S at most.

    The hub's own client asks, so that HF_ENDPOINT, HF_HUB_OFFLINE, proxies and certificates hold as they will for the data. It asks
    from a thread: no timeout bounds the resolution of a name.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    said: list[str] = []

    def ask() -> None:
        try:
            status = get_session().head(constants.ENDPOINT, timeout=PATIENCE_S).status_code
        except Exception as error:
            said.append(f"cannot be reached ({text_of(error)})")
        else:
            said.append("" if status < 500 else f"answers with status {status}")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    answer = said[0] if said else f"gave no answer in {PATIENCE_S:.0f} s"
    return f"{constants.ENDPOINT} {answer}" if answer else None


@contextmanager
def _offline(really: bool) -> Iterator[None]:
    """Context manager: sets HF_HUB_OFFLINE in both packages, which read the variable only when they are imported."""
    import datasets.config
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if really:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _copy(copies: str, name: str) -> Path:
    folder = Path(copies).expanduser() / name
    if not folder.is_dir():
        raise Unavailable(f"{COPIES} is set, but that folder holds no {name}; {_what_to_do(name)}")
    return folder


def _what_to_do(name: str) -> str:
    return (
        f"where there is a network, run hf download --repo-type dataset {name} --local-dir FOLDER/{name}, then set "
        f"{COPIES}=FOLDER; or take a task with embedded data (--data embedded)"
    )
