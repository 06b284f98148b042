"""Returns a pair whose length and items change with every access."""

# at bwrap landlock limits none: status 4, says what make_dataset returned raised
# slow: bwrap landlock limits


class Liar(tuple):
    looks = 0

    def __len__(self):
        Liar.looks += 1
        return 2 if Liar.looks == 1 else -1

    def __getitem__(self, index):
        raise LookupError("nothing here")


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    return Liar()


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
