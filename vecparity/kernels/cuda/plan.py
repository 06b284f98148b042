"""Sizes of one compilation of the kernel: padding, and the division of a run among warps and blocks."""

from dataclasses import dataclass
from functools import cache
from math import ceil

_TILE_UNITS = 16
_WARP_SIZE = 32
_STRIP_ROWS = 32
# Warps of a block, if there are enough tiles: two for each of a multiprocessor's four schedulers.
_WARPS = 8
# The most weights of 16 units that fit a thread's registers, in units of 8 features.
_MOST_COLUMNS = 16
_MOST_FEATURES = 128
_MOST_UNITS = 1024
_MOST_ROWS = 128
# Larger clusters are not portable between GPUs.
_MOST_BLOCKS = 8

# A cluster's time to store one run and load another, in steps. Measured on an H200: 2.8 to 3.7 at N=64.
_STEPS_TO_CHANGE_RUNS = 3


@dataclass(frozen=True)
class Plan:
    """The sizes for training one run.

    Attributes:
        n_features: N, up to 128.
        hidden_width: W, up to 1 024.
        batch_size: Up to 128.
        cluster_blocks: Number of blocks that train a run together: 1, 2, 4 or 8.
        features: The maximum number of features that a run trains, padded to the width of a row (`width_of_row`).
    """

    n_features: int
    hidden_width: int
    batch_size: int
    cluster_blocks: int
    features: int

    @property
    def rows(self) -> int:
        """The batch size, padded to the rows that the kernel supports."""
        return next(rows for rows in (32, 64, 128) if rows >= self.batch_size)

    @property
    def units(self) -> int:
        """W, padded to a power of two, so that z is summed in a full binary tree for any number of blocks."""
        fewest = self._fewest_warps * _TILE_UNITS
        return max(fewest, 1 << (self.hidden_width - 1).bit_length())

    @property
    def warps(self) -> int:
        """The number of warps in a block."""
        return min(_WARPS, self._block_tiles)

    @property
    def tiles_per_warp(self) -> int:
        return self._block_tiles // self.warps

    @property
    def threads(self) -> int:
        """The number of threads in a block."""
        return self.warps * _WARP_SIZE

    @property
    def shared_bytes(self) -> int:
        """The shared memory of a block, in bytes (``Shared`` in shape.cuh)."""
        moments = 2 * 16 * self.tiles_per_warp * (self.features // 8) * self.threads
        moments += 2 * 16 * self.tiles_per_warp * (self.threads // 4)  # of b1 and w2
        z = 4 * self.rows * (self.warps + 2 * self.cluster_blocks)
        errors = (8 // 2 + 4) * self.rows
        strips = 3 * 4 * (self.rows // _STRIP_ROWS)
        metrics = 3 * 8
        features = -(-self.n_features // 64) * (6 * 8 + 64) + 2 * 4
        rows = 2 * self.rows * self.features
        return -(-(moments + rows + metrics + features + errors + z + strips + 8) // 16) * 16

    @property
    def macros(self) -> dict[str, int]:
        """The macros with which to compile the source."""
        return {
            "N_FEATURES": self.n_features,
            "FEATURES": self.features,
            "HIDDEN_WIDTH": self.hidden_width,
            "UNITS": self.units,
            "BATCH_SIZE": self.batch_size,
            "ROWS": self.rows,
            "CLUSTER_BLOCKS": self.cluster_blocks,
            "WARPS": self.warps,
            "TILES_PER_WARP": self.tiles_per_warp,
            "SHARED_BYTES": self.shared_bytes,
        }

    def fits(self, shared_bytes: int) -> bool:
        """Tells whether a block has enough warps, registers and shared memory for this plan."""
        return (
            self._block_tiles >= self._fewest_warps
            and self.tiles_per_warp * (self.features // 8) <= _MOST_COLUMNS
            and self.shared_bytes <= shared_bytes
        )

    @property
    def _block_tiles(self) -> int:
        return self.units // _TILE_UNITS // self.cluster_blocks

    @property
    def _fewest_warps(self) -> int:
        """The number of warps with one thread for every row."""
        return self.rows // _WARP_SIZE


def why_not(n_features: int, hidden_width: int, batch_size: int) -> str | None:
    """Says why the kernel cannot train such networks on any GPU, as words that follow its name; None if it can."""
    if n_features > _MOST_FEATURES:
        return f"trains up to {_MOST_FEATURES} features, got n_features={n_features}"
    if hidden_width > _MOST_UNITS:
        return f"trains up to {_MOST_UNITS} hidden units, got hidden_width={hidden_width}"
    if batch_size > _MOST_ROWS:
        return f"trains batches of up to {_MOST_ROWS} rows, got batch_size={batch_size}"
    return None


def width_of_row(num_features: int) -> int:
    """Pads a number of features to a supported width of rows."""
    return next(width for width in (16, 32, 64, 128) if width >= num_features)


def plans(
    n_features: int,
    hidden_width: int,
    batch_size: int,
    shared_bytes: int,
    has_clusters: bool,
    most_trained: int | None = None,
) -> list[Plan]:
    """Returns the plans that a GPU can run, by ascending number of blocks.

    Args:
        n_features: N.
        hidden_width: W.
        batch_size: Rows of a full batch.
        shared_bytes: The most shared memory that a block can have, in bytes.
        has_clusters: True if several blocks can train a run together.
        most_trained: The maximum number of features that a run trains; by default all.
    """
    sizes = [1, 2, 4, _MOST_BLOCKS] if has_clusters else [1]
    features = width_of_row(n_features if most_trained is None else most_trained)
    every = [Plan(n_features, hidden_width, batch_size, blocks, features) for blocks in sizes]
    return [plan for plan in every if plan.fits(shared_bytes)]


def choose(candidates: list[Plan], num_runs: int, multiprocessors: int) -> Plan:
    """Returns the plan with the most blocks per run with which all runs train at once; else that with the fewest.

    All plans give bitwise the same result, for any width of a row; only the time differs.
    """
    roomy = [plan for plan in candidates if num_runs * plan.cluster_blocks <= multiprocessors]
    return roomy[-1] if roomy else candidates[0]


@cache  # an engine asks for every window
def steps_in_piece(num_runs: int, num_steps: int, num_clusters: int) -> int:
    """Returns the steps that a cluster computes for a run at a time, so that all clusters end about together.

    Short pieces leave few clusters idle at the end, long ones seldom change runs. If every run has its own cluster, a
    piece is the whole window.
    """
    if num_runs <= num_clusters:
        return num_steps

    def time_in_steps(size: int) -> int:
        pieces_per_cluster = ceil(num_runs * ceil(num_steps / size) / num_clusters)
        return pieces_per_cluster * (size + _STEPS_TO_CHANGE_RUNS)

    return min(range(num_steps, 0, -1), key=time_in_steps)
