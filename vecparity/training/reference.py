"""The sequential evaluator, written as plainly as possible: the oracle of the tests, the baseline of the benchmarks.

One network, torch.optim.AdamW, BCELoss and a loop, run after run. It shares the settings, the strategy interface, the
data and the result types with the rest of the package, but no line of the training. Source: contract sections 4 and 5.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from vecparity.task.config import TaskConfig
from vecparity.task.dataset import Dataset, unpack
from vecparity.training.curve import Curve
from vecparity.training.loop import OnWindow, Trained, WindowClosed
from vecparity.training.runs import Run


def train(
    runs: Sequence[Run], config: TaskConfig, device: torch.device, dtype: torch.dtype, on_window: OnWindow
) -> list[Trained]:
    """Trains and tests one run after the other. Arguments and result are those of `vecparity.training.loop.train`."""
    trained = []
    for index, run in enumerate(runs):

        def tell(step: int, loss: float, accuracy: float, index: int = index) -> None:
            on_window(WindowClosed(step, [index], [loss], [accuracy], live=range(index, len(runs))))

        trained.append(train_run(run, config, device, dtype, tell))
    return trained


def train_run(
    run: Run,
    config: TaskConfig,
    device: torch.device,
    dtype: torch.dtype,
    on_window: Callable[[int, float, float], None],
) -> Trained:
    """Trains one network and tests it.

    Args:
        run: The run to train.
        config: The settings.
        device: The device to train on.
        dtype: The dtype of the network and the rows.
        on_window: Called with the step, mean loss and mean accuracy of every window that closes.
    """
    x = unpack(run.dataset.bits, config.n_features, dtype).to(device)
    y = run.dataset.labels.to(device, dtype)
    model = nn.Sequential(
        nn.Linear(config.n_features, config.hidden_width), nn.ReLU(), nn.Linear(config.hidden_width, 1), nn.Sigmoid()
    ).to(device, dtype)
    # A copy, because the network's parameters become views of the vector and training changes them.
    nn.utils.vector_to_parameters(run.params.to(device, dtype, copy=True), model.parameters())
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=run.optimizer.lr,
        betas=(run.optimizer.beta1, run.optimizer.beta2),
        eps=1e-8,
        weight_decay=run.optimizer.wd,
    )
    loss_function = nn.BCELoss()
    generator = torch.Generator().manual_seed(run.ordering_seed)
    curve = Curve()
    batches: list[torch.Tensor] = []
    losses, accuracies = [], []
    good_windows = 0
    for step in range(1, config.max_steps + 1):
        if not batches:
            permutation = torch.randperm(run.dataset.num_examples, generator=generator)
            batches = list(permutation.split(config.batch_size))
        rows = batches.pop(0).to(device)
        p = model(x[rows]).squeeze(-1)
        if not p.isfinite().all():  # the loss would not be finite, and BCELoss raises
            return Trained(step, None, curve, None)
        loss = loss_function(p, y[rows])
        losses.append(loss.item())
        accuracies.append(((p >= 0.5) == (y[rows] >= 0.5)).to(dtype).mean().item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        if step == 1 or step % config.log_interval == 0 or step == config.max_steps:
            accuracy = sum(accuracies) / len(accuracies)
            curve.append(step, sum(losses) / len(losses), accuracy)
            on_window(step, curve.loss[-1], accuracy)
            losses, accuracies = [], []
            is_good = step >= config.min_steps_before_stop and accuracy >= config.early_stop_acc
            good_windows = good_windows + 1 if is_good else 0
            if good_windows == config.early_stop_windows:
                break
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        return Trained(curve.step[-1], None, curve, None)

    def test(test_set: Dataset) -> float:
        with torch.no_grad():
            p = model(unpack(test_set.bits, config.n_features, dtype).to(device)).squeeze(-1)
        correct = (p >= 0.5) == (test_set.labels.to(device) >= 0.5)
        return float(correct.double().mean())

    first_layer = dict(model.named_parameters())["0.weight"].detach().abs().double().mean(dim=0).tolist()
    fresh_accuracy = test(run.fresh_test_set) if run.fresh_test_set else None
    return Trained(curve.step[-1] if curve.step else 0, test(run.test_set), curve, first_layer, fresh_accuracy)
