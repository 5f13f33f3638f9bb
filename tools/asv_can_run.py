"""Says in one line why asv cannot measure this folder, and ends with 1; ends with 0 where it can. `make leaderboard` asks it."""

from __future__ import annotations

import sys
from pathlib import Path

from attnbench.store.commit import why_no_git


def main() -> int:
    why = why_no_git(Path(__file__).resolve().parents[1])
    if why is not None:
        print(f"asv measures commits of a git clone, and {why}. `attnbench run` measures the same cells instead.")
    return int(why is not None)


if __name__ == "__main__":
    sys.exit(main())
