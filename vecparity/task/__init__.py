"""The task: settings, secrets and seeds, datasets as packed bits, the network."""
