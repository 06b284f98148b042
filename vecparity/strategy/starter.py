"""A strategy to start from: uniform random rows, seen over and over. It trains but does not solve the task.

The task: a secret is K of the N input bits (K = 8; N = 32, 50 or 64), and a row's label is the parity of those K bits.
The network is Linear(N, 512) -> ReLU -> Linear(512, 1) -> Sigmoid. AdamW trains it with batches of 128, until it gets
99.9% of its own training rows right for long enough, or for 100 000 steps.

The score: each of 10 secrets gets one training set, and 10 networks train on it, each in its own order. Every network
is tested on 16 384 uniform random rows. The score is the mean share of rows labelled correctly: 1.0 is perfect, 0.5 is
guessing. With this strategy the network memorises its training rows and guesses on all others.

You control only the three functions below. `config` has every setting: n_features (N), secret_size (K), hidden_width,
batch_size, max_steps, max_train_examples and more.

    vecparity check mine.py                        shows what these functions return, in seconds, without training
    vecparity eval --strategy mine.py --smoke      runs a short evaluation
    vecparity eval --strategy mine.py --all-configs
"""

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    """Sets the initial weights, in place. Called once for each network, before any secret is known.

    `model[0]` and `model[2]` are the two linear layers, with torch's default initialisation. Draw from torch's and
    Python's global generators: they are seeded, differently for each network.

    Refused: other layers or shapes, hooks, frozen parameters, values that are not finite.
    """
    nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
    nn.init.zeros_(model[0].bias)
    nn.init.normal_(model[2].weight, std=config.hidden_width**-0.5)
    nn.init.zeros_(model[2].bias)


def make_dataset(secret: tuple[int, ...], config: TaskConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the rows and labels to train on. Called once for each secret, with that secret.

    Rows may be any rows, repeated as often as you like, with any labels; `parity_labels` returns the true labels. An
    epoch takes all rows, in an order that you do not choose; the last batch of an epoch may be short.

    Refused: x that is not [rows, config.n_features], y of another length, values other than 0 and 1, no rows, or more
    than config.max_train_examples rows.
    """
    generator = torch.Generator().manual_seed(seed)  # the same call must return the same rows: audits call twice
    x = torch.randint(0, 2, (20_000, config.n_features), generator=generator)
    # A first idea: most of these bits have nothing to do with the label, and the network cannot know which. What if
    # fewer of them were on? For example, keep only one in eight of the bits that are on outside the secret:
    #   others = [feature for feature in range(config.n_features) if feature not in secret]
    #   x[:, others] *= torch.randint(0, 8, (len(x), len(others)), generator=generator) == 0
    # But in the test rows those bits are on half of the time. `vecparity check` shows what a training set is made of.
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig) -> dict[str, float]:
    """Returns AdamW's settings: learning rate, weight decay, beta1, beta2. Called once for each network.

    Refused: lr that is not above 0, wd below 0, a beta that is not between 0 and 1, values that are not finite.
    """
    # A second idea, on top of the first: a larger wd. It erases what the network merely memorised. What remains?
    return {"lr": 1e-3, "wd": 1e-2, "beta1": 0.9, "beta2": 0.999}
