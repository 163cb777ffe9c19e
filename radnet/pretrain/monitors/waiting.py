"""How fast a run is, and what it waits for."""

from dataclasses import dataclass

INPUT_BOUND = 0.10
"""Share of the time spent waiting for batches from which on the loader sets the pace."""
COMPUTE_BOUND = 0.03
"""Below this share the loader has batches ready whenever they are asked for; the rest is the hand-over itself."""


@dataclass
class Pace:
    """Sums over the steps since the last reset.

    Attributes:
        waited_s: Seconds spent waiting for batches.
        spent_s: Seconds in all.
        slices: Slices on all ranks together.
    """

    waited_s: float = 0.0
    spent_s: float = 0.0
    slices: int = 0

    def add(self, waited_s: float, spent_s: float, slices: int) -> None:
        """Count one step."""
        self.waited_s += waited_s
        self.spent_s += spent_s
        self.slices += slices

    @property
    def slices_per_s(self) -> float:
        """Slices of all ranks a second."""
        return self.slices / max(self.spent_s, 1e-9)

    @property
    def waiting_share(self) -> float:
        """Share of the time spent waiting for batches, 0…1."""
        return min(self.waited_s / max(self.spent_s, 1e-9), 1.0)

    def reset(self) -> None:
        """Begin anew."""
        self.waited_s, self.spent_s, self.slices = 0.0, 0.0, 0


def verdict(share: float, *, workers: int, cores: int, ranks: int = 1) -> str:
    """What the share of waiting means, and what would change it.

    Args:
        share: Share of the time that rank 0 waited for batches.
        workers: Loader processes of each rank.
        cores: CPU cores that this process may use, shared by the ranks of the machine.
        ranks: Ranks on this machine.
    """
    percent = f"{100 * share:.0f} % of the time is spent waiting for data"
    if share < COMPUTE_BOUND:
        return f"compute-bound: {percent}; the loader keeps up"
    if share < INPUT_BOUND:
        return f"balanced: {percent}; the loader just keeps up"
    if workers == 0:
        return f"input-bound: {percent}; set workers, the training process now loads its own batches (workers=0)"
    free = cores // max(ranks, 1)
    if workers < free:
        return f"input-bound: {percent}; raise workers (now {workers} a rank, {free} cores a rank)"
    return (
        f"input-bound: {percent} with {workers} workers for {free} core(s) a rank; use more cores, a local disk, "
        "or slices stored at a smaller size"
    )
