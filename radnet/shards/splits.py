"""Which side a patient is on: a function of the patient key alone."""

import hashlib
from collections.abc import Sequence

from radnet.errors import UsageError

SPLITS = ("train", "val", "test")
DEFAULT_FRACTIONS = (0.7, 0.1, 0.2)


def check_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    """Three fractions that sum to one.

    Raises:
        UsageError: They do not.
    """
    # written so that a NaN fails it too
    if len(fractions) != 3 or min(fractions) < 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise UsageError(
            "Split fractions are three numbers for train, val and test that sum to 1",
            seen=",".join(str(f) for f in fractions),
            fix="For example --split-fractions 0.7,0.1,0.2",
        )
    train, val, test = fractions
    return train, val, test


def split_of(patient_key: str, fractions: tuple[float, float, float]) -> str:
    """The split of a patient: the same for ever, however the archive grows.

    Args:
        patient_key: Keyed hash of the patient.
        fractions: Shares of train, val and test.
    """
    digest = hashlib.sha256(f"split\0{patient_key}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < fractions[0]:
        return "train"
    return "val" if position < fractions[0] + fractions[1] else "test"
