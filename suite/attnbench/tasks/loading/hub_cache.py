"""The cache of `datasets`, Arrow files that it makes of what the hub gave: checked before they are read, and made anew if damaged.

Where it cannot be written, a temporary folder takes its place.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from attnbench.errors import Unavailable, text_of

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

INFO = "dataset_info.json"  # which `datasets` writes last
_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST, errno.ENOENT}


def cached(name: str, config: str | None, split: str, offline: bool) -> pa.Table:
    """A split of a data set of the hub, in memory; downloaded where it is not in the cache yet.

    Raises Unavailable where the cache is damaged and cannot be made anew, and whatever `datasets` raises.
    """
    import datasets.config

    usual = Path(datasets.config.HF_DATASETS_CACHE)
    try:
        usual.mkdir(parents=True, exist_ok=True)
        with FileLock(usual / f"attnbench-{_flat(name)}.lock"):  # of two processes that find damage one makes it anew
            _clear_damage(name, config, usual, offline)
            return _loaded(name, config, split, usual, offline)
    except Exception as error:
        if not _cannot_write(error):
            raise
    with _temporary(usual, name) as folder:
        _clear_damage(name, config, folder, offline=False)  # of the copy
        return _loaded(name, config, split, folder, offline)


def copied(folder: Path, config: str | None, split: str) -> pa.Table:
    """A split of a data set in a folder, in memory; nothing is cached.

    Parquet files keep the types that they have: `datasets` would cast those of one split to what it finds in another.

    Raises ValueError for a split that is not there, and whatever `datasets` raises.
    """
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory(prefix="attnbench-", ignore_cleanup_errors=True) as nothing:  # `datasets` makes a lock there
        files = datasets.load_dataset_builder(str(folder), config, cache_dir=nothing).config.data_files or {}
        if split not in files:
            raise ValueError(f"it has no split {split!r}; there are {', '.join(map(str, files)) or 'none'}")
        if all(str(file).endswith(".parquet") for file in files[split]):
            tables = [pq.read_table(str(file), use_threads=False, partitioning=None) for file in files[split]]
        else:
            stream = datasets.load_dataset(str(folder), config, split=split, streaming=True, cache_dir=nothing)
            tables = list(stream.with_format("arrow").iter(batch_size=1000))
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})


def damage(folder: Path) -> str | None:
    """What is wrong with a folder of Arrow files that `datasets` made, in words; None where all rows are there and can be read."""
    import pyarrow as pa

    try:
        splits = json.loads((folder / INFO).read_text(encoding="utf-8"))["splits"]
        for split, told in splits.items():
            named = re.compile(rf".+-{re.escape(split)}(-\d+-of-\d+)?\.arrow")
            files = [file for file in folder.glob("*.arrow") if named.fullmatch(file.name)]
            rows = 0
            for file in files:
                with pa.memory_map(str(file)) as mapped:
                    table = pa.ipc.open_stream(mapped).read_all()
                    table.validate(full=True)
                    rows += len(table)
            if rows != told["num_examples"]:
                return f"split {split!r} has {rows} rows of {told['num_examples']}"
    except MemoryError:
        raise
    except Exception as error:  # of a half-written file anything may be wrong
        return f"{type(error).__name__}: {text_of(error)}"
    return None


def _clear_damage(name: str, config: str | None, cache: Path, offline: bool) -> None:
    """Remove the damaged folders of this data set alone, for `datasets` to make them anew from what was downloaded.

    Raises Unavailable, and removes nothing, where the hub cannot be asked.
    """
    for folder in sorted((cache / _flat(name)).glob(f"{config or '*'}/*/*")):  # configuration, version, hash
        begun = any(folder.glob("*.arrow")) or (folder / INFO).exists()
        if begun and not folder.name.endswith(".incomplete") and (why := damage(folder)):
            told = folder.relative_to(cache)
            if offline:
                raise Unavailable(
                    f"the cached copy of {name} is damaged ({why}), and the hub cannot be asked; delete HF_DATASETS_CACHE/{told} (that is "
                    f"'{folder}'), and run again where there is a network"
                )
            print(f"The cached copy of {name} in {folder} is damaged ({why}); it is made anew.", file=sys.stderr)
            shutil.rmtree(folder)


def _loaded(name: str, config: str | None, split: str, cache: Path, offline: bool) -> pa.Table:
    """The rows of a split; where what was downloaded cannot be read, it is downloaded once more."""
    import datasets
    import pyarrow as pa

    def load(mode: str) -> pa.Table:
        rows: Any = datasets.load_dataset(name, config, split=split, cache_dir=str(cache), keep_in_memory=True, download_mode=mode)
        return rows.with_format("arrow")[:]

    try:
        return load("reuse_dataset_if_exists")
    except (datasets.exceptions.DatasetGenerationError, pa.ArrowException) as error:
        if offline or _cannot_write(error):
            raise
        return load("force_redownload")


@contextmanager
def _temporary(usual: Path, name: str) -> Iterator[Path]:
    """Context manager: a temporary folder in place of both caches, with what the usual one holds of this data set."""
    from huggingface_hub import constants

    before = constants.HF_HUB_CACHE, constants.HF_TOKEN_PATH
    with tempfile.TemporaryDirectory(prefix="attnbench-", ignore_cleanup_errors=True) as folder:
        kept = usual / _flat(name)
        if kept.is_dir():
            shutil.copytree(kept, Path(folder, _flat(name)))
        constants.HF_HUB_CACHE = str(Path(folder, "hub"))
        if not Path(constants.HF_TOKEN_PATH).parent.is_dir():
            constants.HF_TOKEN_PATH = str(Path(folder, "token"))
        try:
            yield Path(folder)
        finally:
            constants.HF_HUB_CACHE, constants.HF_TOKEN_PATH = before


def _cannot_write(error: BaseException | None) -> bool:
    """Whether an error, or one of those that led to it, is that a file could not be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
            return True
        error = error.__cause__ or error.__context__
    return False


def _flat(name: str) -> str:
    """The name of a data set's folder in the cache."""
    return name.replace("/", "___")
