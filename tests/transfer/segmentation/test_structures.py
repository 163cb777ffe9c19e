import numpy as np
import pytest
from pydantic import ValidationError

from radnet.errors import RadnetError
from radnet.transfer.segmentation.structures import MaskSettings

BRATS = MaskSettings(structures={"et": (4,), "wt": (1, 2, 4), "tc": (1, 4)})


def test_unions_of_labels() -> None:
    mask = np.array([[0, 1, 2], [4, 3, 0]], np.uint8)
    expected = [[[0, 0, 0], [1, 0, 0]], [[0, 1, 1], [1, 0, 0]], [[0, 1, 0], [1, 0, 0]]]
    assert np.array_equal(BRATS.of_mask(mask, bits=False), np.array(expected, bool))
    assert np.array_equal(BRATS.of_mask(mask.astype(np.uint16), bits=False), np.array(expected, bool))


def test_unions_of_bit_sets() -> None:
    """Labels 1 and 4 overlap in the first pixel; the last one is of label 3 alone."""
    mask = np.array([[0b1001, 0b0010, 0b0100]], np.uint8)
    assert np.array_equal(BRATS.of_mask(mask, bits=True), np.array([[[1, 0, 0]], [[1, 1, 0]], [[1, 0, 0]]], bool))
    assert BRATS.unknown(mask, bits=True) == {3}


def test_a_structure_beyond_the_dtype_of_a_mask_is_absent() -> None:
    settings = MaskSettings(structures={"a": (300,), "b": (1,)})
    assert settings.of_mask(np.ones((2, 2), np.uint8), bits=False).sum(axis=(1, 2)).tolist() == [0, 4]


def test_labels_outside_the_task() -> None:
    mask = np.array([[0, 3, 9]], np.uint8)
    assert BRATS.unknown(mask, bits=False) == {3, 9}
    with pytest.raises(RadnetError, match=r"volume 7.*\[1, 2, 4\].*seen: \[3, 9\].*other_labels=background"):
        BRATS.require_known({9, 3}, "volume 7")
    assert MaskSettings(structures={"a": (1,)}, other_labels="background").unknown(mask, bits=False) == set()


@pytest.mark.parametrize(
    "settings",
    [
        {"structures": {}},
        {"structures": {"a": ()}},
        {"structures": {"a": (0,)}},
        {"structures": {"a": (70000,)}},
        {"structures": {"a": (1,)}, "sequences": ("t1", "t1")},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MaskSettings.model_validate(settings)
