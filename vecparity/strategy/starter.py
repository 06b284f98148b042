"""A strategy to start from: uniform random rows, seen over and over. It trains, and it does not solve the task.

The task: of N input bits, K are a secret (K = 8; N = 32, 50 or 64), and a row's label is the parity of those K. The
network is Linear(N, 512) -> ReLU -> Linear(512, 1) -> Sigmoid; AdamW trains it with batches of 128, for at most
100 000 steps and until it gets 99.9% of its own training rows right for long enough.

The score: for each of 10 secrets one training set is made, and 10 networks are trained on it, each in an order of its
own. Every network is tested on 16 384 uniform random rows. The score is the mean share of them that it gets right:
1.0 is all of them, 0.5 is guessing. Here the network learns its training rows by heart and then guesses.

What you choose is in the three functions below, and nothing else counts. `config` has every setting: n_features (N),
secret_size (K), hidden_width, batch_size, max_steps, max_train_examples and more.

    vecparity check mine.py                        what these functions return, in seconds, without training
    vecparity eval --strategy mine.py --smoke      a short evaluation
    vecparity eval --strategy mine.py --all-configs
"""

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    """Sets the initial weights, in place. Called once for each network, before any secret is known.

    `model[0]` and `model[2]` are the two linear layers, already with torch's default initialisation. torch's and
    Python's own generators are seeded, differently for each network: draw from those.

    Refused: other layers or shapes, hooks, frozen parameters, values that are not finite.
    """
    nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
    nn.init.zeros_(model[0].bias)
    nn.init.normal_(model[2].weight, std=config.hidden_width**-0.5)
    nn.init.zeros_(model[2].bias)


def make_dataset(secret: tuple[int, ...], config: TaskConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the rows and labels to train on. Called once for each secret, which it is shown.

    Any rows will do, and as many as you like of each, and so will any labels: `parity_labels` has the true ones.
    An epoch takes all rows, in an order that you do not choose; the last batch of an epoch may be short.

    Refused: x that is not [rows, config.n_features], a y of another length, anything but 0 and 1, no rows, and more
    than config.max_train_examples of them.
    """
    generator = torch.Generator().manual_seed(seed)  # the same call must return the same rows: audits ask twice
    x = torch.randint(0, 2, (20_000, config.n_features), generator=generator)
    # A first idea: most of these bits have nothing to do with the label, and the network cannot know which. What if
    # fewer of them were on? For example, of those that are not the secret's, one in eight of what is on now:
    #   others = [feature for feature in range(config.n_features) if feature not in secret]
    #   x[:, others] *= torch.randint(0, 8, (len(x), len(others)), generator=generator) == 0
    # But it is tested where they are on half of the time. `vecparity check` shows what a training set is made of.
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig) -> dict[str, float]:
    """Returns AdamW's settings: learning rate, weight decay, beta1, beta2. Called once for each network.

    Refused: lr that is not above 0, wd below 0, a beta that is not between 0 and 1, anything not finite.
    """
    # A second idea, on top of the first: a larger wd. It forgets what is only learnt by heart: what does it leave?
    return {"lr": 1e-3, "wd": 1e-2, "beta1": 0.9, "beta2": 0.999}
