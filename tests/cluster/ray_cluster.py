"""A Ray cluster on 127.0.0.1: a head without CPUs and two nodes of one CPU each, the first with a GPU by its own word.

ray_cluster.py DIRECTORY

Prints a line of JSON: the addresses, and the process of each node's raylet. For each line of its input, which are
variables as JSON, it adds a node with them in its environment, and prints its raylet's process. Ends with its input.
"""

import json
import os
import random
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


def free_port() -> int:
    """Returns a port that is free now, and none of those that systems and Ray give to who asks for any."""
    while True:
        with socket.socket() as place, suppress(OSError):
            port = random.randrange(20_000, 32_768)
            place.bind(("127.0.0.1", port))
            return port


def environment(directory: Path) -> dict[str, str]:
    """The variables of the cluster and of those that connect to it."""
    return {
        "HOME": str(directory),
        "RAY_TMPDIR": str(directory),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(directory / "token"),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens to 127.0.0.1
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "120",  # a busy machine takes more than the 30 s of old
    }


def main() -> None:
    directory = Path(sys.argv[1])
    os.environ |= environment(directory)
    (directory / "ray").mkdir()
    from ray.cluster_utils import Cluster

    size = {"object_store_memory": 100 << 20, "include_dashboard": False}
    port = free_port()
    head = size | {"num_cpus": 0, "num_gpus": 0, "ray_client_server_port": port}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(**size, num_cpus=1, num_gpus=gpus) for gpus in (1, 0)]
        found = {"address": cluster.address, "client": f"ray://127.0.0.1:{port}", "raylets": list(map(raylet, nodes))}
        print(json.dumps(found), flush=True)
        for line in sys.stdin:
            print(raylet(cluster.add_node(**size, num_cpus=1, num_gpus=0, env_vars=json.loads(line))), flush=True)
    finally:
        cluster.shutdown()
        shutil.rmtree(directory)


def raylet(node: Any) -> int:
    pid: int = node.all_processes["raylet"][0].process.pid
    return pid


def kill_node(raylet: int) -> list[int]:
    """Kills all that Ray runs on a node, as the end of its machine does.

    Returns:
        The killed processes and all below them, which are to end with them.
    """
    node = psutil.Process(raylet)
    node.suspend()  # to start nothing more
    every = [raylet, *(process.pid for process in node.children(recursive=True))]
    for process in (*node.children(), node):  # which are there until their parent is not
        process.kill()
    return every


if __name__ == "__main__":
    main()
