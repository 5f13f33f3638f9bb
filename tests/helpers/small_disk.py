"""A disk that is soon full."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def on_a_small_disk(command: list[str], disk: Path, names: int = 100) -> subprocess.CompletedProcess[str]:
    """Run a command with a tmpfs of 64 KiB and so many names at `disk`, mounted for it alone; it is gone with the command.

    Skips where that is not allowed, unless this is root in CI, which must try it somewhere.
    """
    disk.mkdir()
    root = os.getuid() == 0
    alone = ["unshare", "--mount"] if root else ["unshare", "--user", "--map-root-user", "--mount"]
    mounted = [*alone, "sh", "-c", f'mount -t tmpfs -o size=64k,nr_inodes={names} tmpfs "$0" && exec "$@"', str(disk)]
    tried = subprocess.run([*mounted, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        why = f"no tmpfs can be mounted here: {tried.stderr.strip()}"
        (pytest.fail if root and os.environ.get("CI") == "true" else pytest.skip)(why)
    return subprocess.run([*mounted, *command], capture_output=True, text=True, check=False)
