import hashlib

import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.scans.phantom import PHANTOM_REGIONS, STRUCTURES, PhantomSeries, phantom_series
from radnet.scans.phantom.labels import vertebra_group
from radnet.scans.phantom.structures import VALUES
from radnet.scans.scan import REGIONS

PATIENTS = range(3)
SMALL = {"slices": 14, "size": 128}


def fingerprint(series: PhantomSeries) -> str:
    return hashlib.sha256(series.hu.tobytes() + series.mask.tobytes() + series.affine.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def archive() -> dict[tuple[int, str], PhantomSeries]:
    return {(p, region): phantom_series(5, p, region, **SMALL) for p in PATIENTS for region in REGIONS}


def of_region(archive, region):
    return [series for (_, name), series in archive.items() if name == region]


def values_in(series: PhantomSeries, name: str) -> np.ndarray:
    return series.hu[series.mask == VALUES[name]]


def names_in(series: PhantomSeries) -> set[str]:
    return {STRUCTURES[int(value)] for value in np.unique(series.mask) if value}


def test_regions_are_those_of_scans():
    assert PHANTOM_REGIONS == REGIONS


def test_structures_fit_the_mask_and_have_one_name_each():
    assert min(STRUCTURES) == 1
    assert max(STRUCTURES) <= 255
    assert len(set(STRUCTURES.values())) == len(STRUCTURES)
    assert sum(name.startswith("rib_") for name in STRUCTURES.values()) == 24
    assert sum(name.startswith("vertebra_") for name in STRUCTURES.values()) == 24


def test_same_arguments_same_voxels():
    first, second = (phantom_series(1, 2, "thorax", slices=4, size=64) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    assert first.slice_labels == second.slice_labels
    assert first.tags == second.tags


def test_seed_patient_and_region_change_the_voxels():
    prints = {
        fingerprint(phantom_series(seed, patient, region, slices=2, size=64))
        for seed, patient, region in [(0, 0, "thorax"), (1, 0, "thorax"), (0, 1, "thorax"), (0, 0, "abdomen")]
    }
    assert len(prints) == 4


def test_a_patient_is_one_person_in_all_regions(archive):
    for patient in PATIENTS:
        people = {(s.tags["sex"], s.tags["age"]) for (p, _), s in archive.items() if p == patient}
        assert len(people) == 1


def test_patients_differ(archive):
    assert len({(s.tags["sex"], s.tags["age"]) for s in archive.values()}) == len(PATIENTS)
    assert len({float(s.affine[0, 0]) for s in archive.values()}) == len(archive)


@pytest.mark.parametrize("region", REGIONS)
def test_shape_type_and_range(archive, region):
    for series in of_region(archive, region):
        assert series.hu.shape == series.mask.shape == (14, 128, 128)
        assert (series.hu.dtype, series.mask.dtype) == (np.int16, np.uint8)
        assert series.hu.min() >= -1024
        assert series.hu.max() <= 3071
        assert set(np.unique(series.mask)) - {0} <= set(STRUCTURES)


@pytest.mark.parametrize("region", REGIONS)
def test_affine_is_canonical_and_covers_the_region(archive, region):
    for series in of_region(archive, region):
        assert np.all(np.sign(np.diag(series.affine)[:3]) == (-1, -1, 1))
        assert 1.0 < 256 / 128 * abs(series.affine[0, 0]) < 10
        assert 60 < series.affine[2, 2] * 14 < 700


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("thorax", {"lung_left", "lung_right", "heart", "aorta", "trachea", "sternum", "liver", "vertebra_T6",
                    "rib_left_5", "rib_right_7", "scapula_left"}),
        ("abdomen", {"liver", "spleen", "kidney_left", "kidney_right", "aorta", "inferior_vena_cava", "stomach",
                     "pancreas", "colon", "small_bowel", "vertebra_L1", "vertebra_L3"}),
        ("hip_pelvis", {"urinary_bladder", "hip_left", "hip_right", "femur_left", "femur_right", "sacrum", "colon"}),
        ("head_neck", {"brain", "skull"}),
    ],
)  # fmt: skip
def test_masks_of_a_region(archive, region, expected):
    for series in of_region(archive, region):
        assert expected <= names_in(series)


def test_spine_shows_vertebrae_and_extremities_show_long_bones(archive):
    for series in of_region(archive, "spine"):
        assert sum(name.startswith("vertebra_") for name in names_in(series)) >= 4
    bones = {"femur_left", "femur_right", "tibia_left", "tibia_right", "humerus_left", "humerus_right"}
    for series in of_region(archive, "extremities"):
        assert bones & names_in(series)


@pytest.mark.parametrize(
    ("structure", "native", "any_phase"),
    [
        ("lung_left", (-900, -700), (-900, -700)), ("lung_right", (-900, -700), (-900, -700)),
        ("liver", (5, 80), (5, 150)), ("spleen", (35, 65), (35, 190)), ("heart", (30, 60), (30, 330)),
        ("aorta", (30, 60), (30, 450)), ("urinary_bladder", (-15, 25), (-15, 260)), ("brain", (18, 45), (18, 50)),
        ("kidney_left", (15, 50), (15, 260)), ("vertebra_T8", (120, 800), (120, 800)),
        ("femur_left", (100, 1100), (100, 1100)), ("rib_left_6", (120, 1000), (120, 1000)),
        ("skull", (300, 1500), (300, 1500)), ("psoas_left", (30, 80), (30, 90)),
    ],
)  # fmt: skip
def test_median_hu_of_structures(archive, structure, native, any_phase):
    seen = 0
    for series in archive.values():
        found = values_in(series, structure)
        if len(found) < 60:
            continue
        seen += 1
        low, high = native if series.tags["contrast_phase"] == "native" else any_phase
        assert low < np.median(found) < high, (series.patient, series.region, series.tags)
    assert seen


def test_contrast_raises_the_aorta():
    medians: dict[str, list[float]] = {}
    for patient in range(12):
        series = phantom_series(5, patient, "thorax", slices=5, size=64)
        phase = str(series.tags["contrast_phase"])
        medians.setdefault(phase, []).append(float(np.median(values_in(series, "aorta"))))
    assert max(medians["native"]) < 65
    assert min(medians["arterial"]) > 130
    assert np.mean(medians["arterial"]) > np.mean(medians["portal_venous"]) > np.mean(medians["native"])


def test_nothing_is_segmented_outside_the_round_field(archive):
    padded = [series for series in archive.values() if np.all(series.hu[:, 0, 0] == -1024)]
    assert 0 < len(padded) < len(archive)
    for series in padded:
        outside = np.all(series.hu == -1024, axis=0)
        assert outside.mean() > 0.15
        assert not series.mask[:, outside].any()


def test_left_is_left(archive):
    for series in of_region(archive, "abdomen"):
        columns = {name: np.nonzero(series.mask == VALUES[name])[2].mean() for name in ("liver", "spleen")}
        assert columns["liver"] < columns["spleen"]


def test_vertebrae_are_ordered_from_below(archive):
    for series in archive.values():
        heights = [
            np.nonzero(series.mask == VALUES[f"vertebra_{level}"])[0].mean()
            for level in ("L4", "L2", "T12", "T9", "T6", "T3", "C6", "C4")
            if f"vertebra_{level}" in names_in(series)
        ]
        assert heights == sorted(heights)


def test_labels_agree_with_the_mask(archive):
    for series in archive.values():
        pixel_cm2 = series.affine[0, 0] ** 2 / 100
        labels = series.slice_labels
        for z in range(len(series.hu)):
            area = {name: np.count_nonzero(series.mask[z] == value) * pixel_cm2 for name, value in VALUES.items()}
            liver = area["liver"] + area["liver_lesion"]
            lesion = "present" if area["liver_lesion"] >= 0.3 else "absent"
            assert labels["liver_lesion"][z] == (None if liver < 8 else lesion)
            bones = {name.split("_")[1]: value for name, value in area.items() if name.startswith("vertebra_")}
            bones["sacrum"] = area["sacrum"]
            best = max(bones, key=bones.__getitem__)
            assert labels["vertebra"][z] == (best if bones[best] >= 0.5 else None)
            group = None if bones[best] < 0.5 else vertebra_group(best)
            assert labels["vertebra_group"][z] == group
            shown = sum(area[n] for n in ("liver", "spleen", "kidney_left", "kidney_right", "heart", "aorta"))
            phase = series.tags["contrast_phase"]
            assert labels["contrast_phase"][z] == (phase if shown >= 1 and phase != "late" else None)


def test_every_label_takes_several_values():
    seen: dict[str, set[str | None]] = {}
    for patient in range(10):
        for name, values in phantom_series(0, patient, "abdomen", slices=6, size=64).slice_labels.items():
            seen.setdefault(name, set()).update(values)
    assert {"native", "portal_venous"} <= seen["contrast_phase"]
    assert {"present", "absent", None} <= seen["liver_lesion"]
    assert {"T12", "L2", "L4"} <= seen["vertebra"]


def test_noise_has_the_texture_of_ct():
    """Neighbouring pixels of a soft kernel's noise go together; white noise would not."""
    correlations = []
    for patient in range(6):
        series = phantom_series(0, patient, "abdomen", slices=4, size=256)
        inside = series.mask == VALUES["liver"]
        z, y, x = np.nonzero(inside[:, :, :-1] & inside[:, :, 1:])
        if len(z) > 500 and series.tags["kernel"][0] in "BIFSC" and "60" not in series.tags["kernel"]:
            correlations.append(np.corrcoef(series.hu[z, y, x], series.hu[z, y, x + 1])[0, 1])
    assert correlations
    assert np.mean(correlations) > 0.25


def test_unknown_region_and_sizes_are_refused():
    with pytest.raises(UsageError, match="body region"):
        phantom_series(0, 0, "tail")
    with pytest.raises(UsageError, match="cannot be made"):
        phantom_series(0, 0, "thorax", slices=0)


def test_everything_says_synthetic(archive):
    for series in archive.values():
        assert series.tags["synthetic"] is True
        assert "synthetic" in series.tags["manufacturer"]
        assert series.patient.startswith("SYN-")
