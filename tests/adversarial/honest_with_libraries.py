"""Control: uses threads, processes, shared memory and scipy, as an honest strategy may, and sets limits for itself."""

# at bwrap landlock limits none: as honest
# slow: landlock limits none

import concurrent.futures
import multiprocessing
import os
import resource
import subprocess
import sys
from multiprocessing import shared_memory

import numpy as np
import scipy.linalg
import scipy.optimize
import torch


def share(name, size, queue, lock):
    memory = shared_memory.SharedMemory(name)
    with lock:
        product = torch.ones(size, 300) @ torch.ones(300, size)
        np.frombuffer(memory.buf, np.float32)[: size * size] = product.numpy().ravel()
    queue.put(os.getpid())
    memory.close()


def use_processes():
    context = multiprocessing.get_context("fork")
    queue, lock, size = context.Queue(), context.Lock(), 64
    memory = shared_memory.SharedMemory(create=True, size=4 * size * size)
    children = [context.Process(target=share, args=(memory.name, size, queue, lock)) for _ in range(2)]
    for child in children:
        child.start()
    assert {queue.get(timeout=60) for _ in children} == {child.pid for child in children}
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert float(np.frombuffer(memory.buf, np.float32).copy()[: size * size].mean()) == 300
    memory.close()
    memory.unlink()


def use_threads():
    torch.set_num_threads(max(2, torch.get_num_threads()))
    x = torch.randn(200, 200, generator=torch.Generator().manual_seed(1), requires_grad=True)
    (x @ x).logsumexp(0).sum().backward()  # the threads of OpenMP, and torch's own for gradients
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda size: np.linalg.svd(np.ones((size, size))), range(50, 54)))) == 4


def use_scipy():
    assert scipy.linalg.lu(np.eye(200))[2].trace() == 200
    assert abs(scipy.optimize.minimize(lambda x: ((x - 3) ** 2).sum(), np.zeros(5)).x - 3).max() < 1e-3


def set_limits_for_itself():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.nice(0)
    subprocess.run([sys.executable, "-c", "import os; os.nice(1); os.sched_getaffinity(0)"], check=True)


def init_model(model, config):
    use_threads()


def make_dataset(secret, config, seed):
    use_processes()  # before threads, which a fork would not take along
    use_scipy()
    set_limits_for_itself()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
