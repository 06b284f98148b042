import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STRATEGIES, golden

from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.strategy import interface, validation
from vecparity.strategy.interface import Interface
from vecparity.strategy.source import load
from vecparity.task import dataset, network
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.seeds import PublicSeeds
from vecparity.training.runs import Initial

CONFIG = TaskConfig(n_features=5, secret_size=2, hidden_width=3, num_hidden_secrets=2, max_train_examples=50)
INITIAL = golden("traces")["initial_parameters"]
# x of 4 rows and 5 features, y of 4: the same in every accepted shape and type.
X = torch.tensor([[0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]])
Y = torch.tensor([1, 0, 0, 1])


def open_interface(name_or_path: str | Path) -> Interface:
    return interface.load(load(name_or_path))


def initial(loaded: Interface, config: TaskConfig, run_seed: int) -> Initial:
    return loaded.initialise(config, [run_seed])[0]


def make_strategy(tmp_path: Path, **bodies: str) -> Interface:
    """A strategy whose functions have these bodies, on lines 2, 5 and 8 of its file."""
    path = tmp_path / "mine.py"
    path.write_text(
        f"def init_model(model, config):\n    {bodies.get('init_model', 'pass')}\n\n"
        f"def make_dataset(secret, config, seed):\n    {bodies.get('make_dataset', 'return X, Y')}\n\n"
        f"def get_optimizer_config(config):\n    {bodies.get('get_optimizer_config', 'return HYPER')}\n"
    )
    loaded = open_interface(path)
    hyperparameters = {"lr": 1e-3, "wd": 0.0, "beta1": 0.9, "beta2": 0.99}
    scope: dict[str, Any] = loaded.make_dataset.__globals__
    scope.update(X=X, Y=Y, HYPER=hyperparameters, np=np)
    return loaded


def dataset_of(loaded: Interface) -> dataset.Dataset:
    return loaded.training_set(CONFIG, (0, 3), 7)


# --- loading ---


@pytest.mark.parametrize("form", ["whole_file", "bare_block"])
def test_the_originals_forms_load_unchanged(form: str) -> None:
    loaded = open_interface(STRATEGIES / f"{form}.py")
    made = dataset_of(loaded)
    params, optimizer = initial(loaded, CONFIG, 5)
    assert made.num_examples == 50
    assert len(params) == 3 * 5 + 3 + 3 + 1
    assert optimizer.beta2 == 0.99


def test_a_whole_file_sees_its_own_settings_class(tmp_path: Path) -> None:
    """The original's file compares, and adds to, the class that it defines itself."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "import torch\n"
        "@dataclass(frozen=True)\n"
        "class TaskConfig:\n"
        "    n_features: int = 999\n"
        "    share: float = 0.25\n"
        "    @property\n"
        "    def doubled(self): return 2 * self.n_features\n"
        "def own(config): return isinstance(config, TaskConfig) and config.share == 0.25 and config.max_steps\n"
        "def init_model(model, config): assert own(config) and config.doubled == 10\n"
        "def make_dataset(secret, config, seed):\n"
        "    assert own(config)\n"
        "    return torch.zeros(3, config.n_features), torch.zeros(3)\n"
        "def get_optimizer_config(config):\n"
        "    assert own(config)\n"
        "    return dict(lr=0.1, wd=0, beta1=0.9, beta2=0.9)\n"
    )
    loaded = open_interface(path)
    assert initial(loaded, CONFIG, 5)[1].lr == 0.1
    assert dataset_of(loaded).num_examples == 3
    assert isinstance(loaded.as_its_own(CONFIG), TaskConfig)
    other = make_strategy(tmp_path)
    vars(other.module)["TaskConfig"] = int  # no class with a second base
    assert other.as_its_own(CONFIG) is CONFIG


def test_a_call_that_cannot_be_made_is_at_the_functions_own_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def init_model(model): pass\ndef make_dataset(): pass\ndef get_optimizer_config(): pass\n")
    loaded = open_interface(path)
    words = r"mine\.py:1: expected init_model\(model, config\), got init_model\(model\)"
    with pytest.raises(InvalidStrategyError, match=words):
        loaded.initialise(CONFIG, [1])
    words = r"mine\.py:2: expected make_dataset\(secret, config, seed\), got make_dataset\(\)"
    with pytest.raises(InvalidStrategyError, match=words):
        loaded.training_set(CONFIG, (0,), 1)


@pytest.mark.parametrize("missing", ["init_model", "make_dataset", "get_optimizer_config"])
def test_a_missing_function_is_named(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "half.py"
    functions = [name for name in ("init_model", "make_dataset", "get_optimizer_config") if name != missing]
    path.write_text("".join(f"def {name}(*args): pass\n" for name in functions))
    with pytest.raises(InvalidStrategyError, match=f"half.py: .*, got no {missing}$"):
        open_interface(path)
    path.write_text(f"{path.read_text()}{missing} = 3\n")
    with pytest.raises(InvalidStrategyError, match=rf"half.py: .*, got {missing} = int\(...\)$"):
        open_interface(path)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\ndef broken(:\n", r"bad.py:2: does not load: SyntaxError: "),
        ("\n\nimport no_such_module\n", r"bad.py:3: does not load: ModuleNotFoundError: "),
        ("import sys\nsys.exit(0)\n", r"bad.py:2: does not load: SystemExit: 0"),
        ("x = 1\0", r"bad.py.*: does not load: "),
    ],
)
def test_a_file_that_does_not_load_is_refused_with_its_line(tmp_path: Path, source: str, said: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(source)
    with pytest.raises(InvalidStrategyError, match=said):
        open_interface(path)


# --- initial networks and hyperparameters ---


@pytest.mark.parametrize("case", INITIAL)
def test_initial_parameters_are_the_originals(case: str) -> None:
    name, _, rest = case.rpartition("_n")
    n_features, seed = (int(part) for part in rest.split("_run_seed"))
    params, _ = initial(open_interface(name), TaskConfig(n_features=n_features), seed)
    parameters = network.unflatten(params, network.parameter_shapes(n_features, 512))
    for name, expected in INITIAL[case].items():
        assert list(parameters[name].shape) == expected["shape"]
        digest = hashlib.sha256(parameters[name].contiguous().numpy().tobytes()).hexdigest()
        assert digest == expected["float32_sha256"], name


def test_a_run_is_seeded_by_its_own_seed_alone(tmp_path: Path) -> None:
    body = "return {'lr': __import__('random').random() + 1e-9, 'wd': 0, 'beta1': 0.5, 'beta2': 0.5}"
    loaded = make_strategy(tmp_path, init_model="model[0].weight.data.normal_()", get_optimizer_config=body)
    first = initial(loaded, CONFIG, 1)
    other = initial(loaded, CONFIG, 2)
    again = initial(loaded, CONFIG, 1)
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]
    assert not torch.equal(first[0], other[0])
    assert first[1] != other[1]


def test_the_callers_generators_are_left_as_they_were() -> None:
    states = random.getstate(), torch.get_rng_state()
    with interface._seeded(3):
        assert (random.random(), torch.rand(1).item()) == (0.23796462709189137, 0.004263520240783691)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_a_strategy_draws_nothing_of_the_callers(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    loaded = make_strategy(tmp_path, make_dataset="torch.rand(3); return X, Y")
    initial(loaded, CONFIG, 1)
    dataset_of(loaded)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dataset_may_draw_on_the_global_generators(tmp_path: Path) -> None:
    loaded = make_strategy(tmp_path, make_dataset="return torch.randint(0, 2, (50, 5)), torch.randint(0, 2, (50,))")
    torch.manual_seed(1)
    first = dataset_of(loaded)
    torch.manual_seed(2)
    assert torch.equal(dataset_of(loaded).bits, first.bits)


@pytest.mark.parametrize(
    "body",
    [
        "w = model[0].weight.detach().clone(); del model[0].weight; model[0].weight = nn.Parameter(w)",
        "w, b = model[2].weight, model[2].bias; model[2]._parameters.clear(); model[2].bias, model[2].weight = b, w",
        "model[0]._parameters['weight'] = model[0]._parameters.pop('weight')",
        "nn.utils.parametrizations.weight_norm(model[0]); "
        "nn.utils.parametrize.remove_parametrizations(model[0], 'weight')",
        "nn.utils.parametrizations.orthogonal(model[2]); "
        "nn.utils.parametrize.remove_parametrizations(model[2], 'weight')",
        "nn.utils.spectral_norm(model[0]); model(torch.ones(2, 5)); nn.utils.remove_spectral_norm(model[0])",
        "warnings = __import__('warnings'); warnings.simplefilter('ignore'); "
        "nn.utils.weight_norm(model[0]); nn.utils.remove_weight_norm(model[0])",
        "from torch.nn.utils import prune; prune.random_unstructured(model[0], 'weight', 0.5); "
        "prune.remove(model[0], 'weight')",
        "model[0] = nn.Linear(5, 3)",
        "layers = list(model); del model[0:4]; model.extend(layers)",
        # Elements that lie in another order, or in one piece of memory with others.
        "model[0].weight = nn.Parameter(torch.randn(5, 3).t())",
        "both = torch.randn(3, 6); model[0].weight.data, model[0].bias.data = both[:, :5], both[:, 5]",
    ],
)
def test_a_network_is_what_init_model_left_by_name_in_whatever_order(tmp_path: Path, body: str) -> None:
    """Expected is the network itself, made and left as the original does."""
    loaded = make_strategy(tmp_path, init_model=body)
    with interface._seeded(5):
        expected = network.build_network(CONFIG.n_features, CONFIG.hidden_width)
        loaded.init_model(expected, CONFIG)
    params, _ = initial(loaded, CONFIG, 5)
    parameters = network.unflatten(params, network.parameter_shapes(CONFIG.n_features, CONFIG.hidden_width))
    for layer in (0, 2):
        for name in ("weight", "bias"):
            assert torch.equal(parameters[f"{layer}.{name}"], getattr(expected[layer], name)), f"{layer}.{name}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("model[1] = nn.Tanh()", r"Linear -> ReLU -> Linear -> Sigmoid in place, got Linear -> Tanh -> Linear"),
        ("model.append(nn.Identity())", r"got Linear -> ReLU -> Linear -> Sigmoid -> Identity"),
        ("model[0] = nn.Linear(5, 4)", r"0.weight \[3, 5\].*, got 0.weight \[4, 5\]"),
        ("model[2].bias = None", r"2.bias \[1\], got 0.weight \[3, 5\], 0.bias \[3\], 2.weight \[1, 3\]$"),
        ("model[0].weight.data[1, 2] = float('nan')", r"must leave 0.weight finite, got nan"),
        ("model[2].bias.data.fill_(float('inf'))", r"must leave 2.bias finite, got inf"),
        ("model.double()", r"must leave 0.weight trainable and torch.float32, got torch.float64"),
        ("model[0].bias.requires_grad_(False)", r"must leave 0.bias trainable .* requires_grad=False"),
        ("model.register_forward_hook(lambda *args: args[2])", r"without hooks, got _forward_hooks on Sequential"),
        ("model[3].forward = lambda x: x", r"without hooks, got a replaced forward on Sigmoid"),
        ("nn.utils.parametrizations.weight_norm(model[0])", r"in place, got ParametrizedLinear"),
        (
            "[model._modules.update({k: model._modules.pop(k)}) for k in '03']",
            r"got ReLU -> Linear -> Linear -> Sigmoid",
        ),
        (
            "a, b = model[0], model[2]; del model[0], model[1]; model.insert(0, b); model.append(a)",
            r"in place, got Linear",
        ),
        # Forward goes through a Sequential in its mapping's order: torch fails on this one.
        (
            "[model._modules.update({k: model._modules.pop(k)}) for k in '2103']",
            r"in place, got Linear -> ReLU -> Linear -> Sigmoid in a Sequential named 2, 1, 0, 3$",
        ),
        ("model[2].weight = model[0].weight", r"2.weight \[1, 3\], 2.bias \[1\], got .* 2.weight \[3, 5\], 2.bias"),
        # Torch's AdamW works in place: it would train both, or refuse.
        ("model[0].bias = nn.Parameter(model[2].weight.detach()[0])", r"share no memory, got some that share it$"),
        (
            "model[0].weight = nn.Parameter(torch.zeros(1).expand(3, 5))",
            r"share no memory, got some that share it$",
        ),
        ("model[0].weight = nn.Parameter(torch.zeros(9).unfold(0, 5, 2))", r"share no memory"),
        (
            "w = torch.zeros(3, 5).numpy(); model[0].weight.data = torch.from_numpy(w); "
            "model[0].bias.data = torch.from_numpy(w[1, 1:4])",
            r"share no memory",
        ),
    ],
)
def test_a_network_that_is_not_the_fixed_one_is_refused(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(InvalidStrategyError, match=r"mine\.py:1: init_model: .*" + said):
        initial(make_strategy(tmp_path, init_model=body), CONFIG, 1)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("None", "must return a dict, got NoneType"),
        ("(1, 2, 3, 4)", "must return a dict, got tuple"),
        (
            "{k: v for k, v in HYPER.items() if k != 'wd'}",
            r"must return a dict with 'wd', got the keys \['beta1', 'beta2', 'lr'\]",
        ),
        ("HYPER | {'lr': 0}", "lr must be finite and above 0, got 0.0"),
        ("HYPER | {'lr': -1e-3}", "lr must be finite and above 0, got -0.001"),
        ("HYPER | {'lr': math.inf}", "lr must be finite and above 0, got inf"),
        ("HYPER | {'lr': 'fast'}", "lr must be a number, got 'fast'"),
        ("HYPER | {'lr': torch.ones(2)}", "lr must be a number, got tensor"),
        ("HYPER | {'wd': -1e-9}", "wd must be finite and at least 0, got -1e-09"),
        ("HYPER | {'wd': math.nan}", "wd must be finite and at least 0, got nan"),
        ("HYPER | {'beta1': 0.0}", "beta1 must be between 0 and 1, both excluded, got 0.0"),
        ("HYPER | {'beta2': 1.0}", "beta2 must be between 0 and 1, both excluded, got 1.0"),
        ("HYPER | {'beta2': math.nan}", "beta2 must be between 0 and 1, both excluded, got nan"),
    ],
)
def test_hyperparameters_that_cannot_be_are_refused(tmp_path: Path, returned: str, said: str) -> None:
    loaded = make_strategy(tmp_path, get_optimizer_config=f"return {returned}")
    with pytest.raises(InvalidStrategyError, match=r"mine\.py:7: get_optimizer_config: " + said):
        initial(loaded, CONFIG, 1)


def test_torchs_names_of_hyperparameters_are_recognised(tmp_path: Path) -> None:
    loaded = make_strategy(tmp_path, get_optimizer_config="return {'lr': 0.1, 'weight_decay': 0, 'betas': (0.9, 0.9)}")
    with pytest.raises(InvalidStrategyError, match=r"\(torch's names: here they are lr, wd, beta1, beta2\)"):
        initial(loaded, CONFIG, 1)


def test_hyperparameters_may_be_any_numbers(tmp_path: Path) -> None:
    body = "return {'lr': torch.tensor(0.5), 'wd': np.float64(0), 'beta1': np.float32(0.5), 'beta2': 0.25}"
    loaded = make_strategy(tmp_path, get_optimizer_config=body)
    assert initial(loaded, CONFIG, 1)[1] == OptimizerConfig(0.5, 0.0, 0.5, 0.25)


# --- datasets ---


@pytest.mark.parametrize(
    "returned",
    [
        "(X, Y)",
        "[X, Y]",
        "{'x': X, 'y': Y}",
        "(X.float(), Y.float())",
        "(X.double(), Y.bool())",
        "(X.half(), Y.to(torch.uint8))",
        "(X.numpy(), Y.numpy())",
        "(X.numpy().astype(bool), Y.numpy().astype('float64'))",
        "(X.tolist(), Y.tolist())",
        "(X, Y[:, None])",
        "(X.float().requires_grad_(), Y)",
        "(X.t().contiguous().t(), Y)",
    ],
)
def test_what_is_accepted(tmp_path: Path, returned: str) -> None:
    made = dataset_of(make_strategy(tmp_path, make_dataset=f"return {returned}"))
    assert torch.equal(dataset.unpack(made.bits, 5, torch.float32), X.float())
    assert made.labels.tolist() == Y.tolist()
    assert made.positive_rate == 0.5


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("X", "must return (x, y), [x, y] or {'x': x, 'y': y}, got Tensor"),
        ("(X, Y, Y)", "must return (x, y), [x, y] or {'x': x, 'y': y}, got tuple of length 3"),
        ("None", "got NoneType"),
        ("{'x': X}", "must return a dict with 'y', got the keys ['x']"),
        ("{'y': Y}", "must return a dict with 'x', got the keys ['y']"),
        ("(X[0], Y)", "x must have shape [num_examples, n_features=5], got [5]"),
        ("(X[None], Y)", "x must have shape [num_examples, n_features=5], got [1, 4, 5]"),
        ("(X[:, :4], Y)", "x must have shape [num_examples, n_features=5], got [4, 4]"),
        ("(X, Y[:3])", "y must have as many rows as x, 4, got 3 (shape [3])"),
        ("(X[:0], Y[:0])", "x must have between 1 and max_train_examples=50 rows, got 0"),
        ("(X.repeat(13, 1), Y.repeat(13))", "x must have between 1 and max_train_examples=50 rows, got 52"),
        ("(X * 2, Y)", "x must contain only 0 and 1, got 2 at row 0, feature 1"),
        ("(X - 0.5, Y)", "x must contain only 0 and 1, got -0.5 at row 0, feature 0"),
        ("(X, Y * math.nan)", "y must contain only 0 and 1, got nan at row 0"),
        ("(X, Y + 1)", "y must contain only 0 and 1, got 2 at row 0"),
        ("(X, Y * 2 - 1)", "y must contain only 0 and 1, got -1 at row 1"),
        ("('bits', Y)", "x must be a tensor, an array or nested lists of numbers, got str"),
        ("([[0, 1, 0, 1, 1], [0]], [0, 1])", "x must be a tensor, an array or nested lists of numbers, got list"),
        ("(X, Y.to(torch.complex64))", "y must be dense and real, got torch.complex64"),
        ("(X.to_sparse(), Y)", "x must be dense and real, got torch.int64, torch.sparse_coo"),
    ],
)
def test_what_is_refused(tmp_path: Path, returned: str, said: str) -> None:
    with pytest.raises(InvalidStrategyError) as error:
        dataset_of(make_strategy(tmp_path, make_dataset=f"return {returned}"))
    assert "mine.py:4: make_dataset: " in str(error.value)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_values_are_judged_as_float32(tmp_path: Path) -> None:
    made = dataset_of(make_strategy(tmp_path, make_dataset="return X.double() + 1e-60, Y"))
    assert torch.equal(dataset.unpack(made.bits, 5, torch.float32), X.float())


def test_labels_need_not_be_the_parity(tmp_path: Path) -> None:
    made = dataset_of(make_strategy(tmp_path, make_dataset="return X, 1 - Y"))
    assert made.labels.tolist() == (1 - Y).tolist()


def test_large_datasets_are_packed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_PACK_ROWS", 3)
    made = dataset_of(make_strategy(tmp_path))
    assert torch.equal(dataset.unpack(made.bits, 5, torch.float32), X.float())
    assert made.labels.tolist() == Y.tolist()
    with pytest.raises(InvalidStrategyError, match="got 7 at row 3, feature 4"):
        dataset_of(make_strategy(tmp_path, make_dataset="x = X.clone(); x[3, 4] = 7; return x, Y"))


@pytest.mark.gpu
def test_cuda_tensors_are_accepted(tmp_path: Path) -> None:
    made = dataset_of(make_strategy(tmp_path, make_dataset="return X.cuda(), Y.cuda()"))
    assert torch.equal(dataset.unpack(made.bits, 5, torch.float32), X.float())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", r"mine\.py:5: make_dataset raised ZeroDivisionError: division by zero"),
        ("exit(0)", r"mine\.py:5: make_dataset raised SystemExit: 0"),
        ("raise KeyError", r"mine\.py:5: make_dataset raised KeyError$"),
        ("return torch.ones(2, 3) @ torch.ones(2)", r"mine\.py:5: make_dataset raised RuntimeError: "),
    ],
)
def test_what_a_strategy_raises_is_one_line_with_its_place(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(StrategyFailedError, match=said) as error:
        dataset_of(make_strategy(tmp_path, make_dataset=body))
    assert len(str(error.value).splitlines()) == 1


def test_one_pass_draws_in_pieces_what_one_call_would(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = open_interface("one_pass")
    monkeypatch.setitem(loaded.make_dataset.__globals__, "ROWS_AT_A_TIME", 7)
    made = dataset_of(loaded)
    x = torch.randint(0, 2, (50, 5), generator=torch.Generator().manual_seed(7))
    assert torch.equal(dataset.unpack(made.bits, 5, torch.float32), x.float())
    assert torch.equal(made.labels.float(), dataset.parity_labels(x, (0, 3)))


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("default_4096", OptimizerConfig(1e-3, 1e-2, 0.9, 0.999)),
        ("multi_epoch", OptimizerConfig(1e-3, 1e-2, 0.9, 0.999)),
        ("one_pass", OptimizerConfig(1e-3, 1e-2, 0.9, 0.999)),
        ("no_weight_decay", OptimizerConfig(1e-3, 0.0, 0.9, 0.999)),
        ("isolated_cube_1", OptimizerConfig(5e-3, 1.0, 0.9, 0.98)),
        ("isolated_cube", OptimizerConfig(1e-2, 0.3, 0.9, 0.95)),
        ("clean_noisy_cube", OptimizerConfig(1e-2, 1e-3, 0.9, 0.98)),
    ],
)
def test_bundled_strategies_are_the_contracts(name: str, hyperparameters: OptimizerConfig) -> None:
    config = TaskConfig(hidden_width=4, max_train_examples=20_000)
    loaded = open_interface(name)
    _, optimizer = initial(loaded, config, 1)
    assert optimizer == hyperparameters
    secret = PublicSeeds(42).secrets(config)[0]
    made = loaded.training_set(config, secret, 1)
    x = dataset.unpack(made.bits, config.n_features, torch.float32)
    assert torch.equal(made.labels.float(), dataset.parity_labels(x, secret))
    rows = {"default_4096": 4096, "multi_epoch": 10_000, "isolated_cube": 4096, "isolated_cube_1": 4096}
    assert made.num_examples == rows.get(name, 10_240 if name == "clean_noisy_cube" else 20_000)
