"""A training as files, to go on from: written whole, locked, and checked when they are read."""
