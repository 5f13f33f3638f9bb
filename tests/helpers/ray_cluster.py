"""A Ray cluster of several nodes on this machine, and runs of attnbench on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CPUS = 1  # of each node: the machine of the tests has two


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """A ray.cluster_utils.Cluster with a head on which nothing runs, and so many other nodes."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(nodes):
            found.add_node(num_cpus=CPUS)
        found.wait_for_nodes()
        yield found
    finally:
        found.shutdown()
