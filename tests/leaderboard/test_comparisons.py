import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from radnet.leaderboard.claims import claims_of
from radnet.leaderboard.comparisons import Comparison, Verdict, over_seeds
from radnet.leaderboard.tables import build_tables
from radnet.pvalues import Z_95, holm
from radnet.records import Condition, Difference, Interval, Resampled, ResultRecord

Make = Callable[..., ResultRecord]
REFERENCE = "balanced_accuracy vs timm:resnet18"


def against(value: float, half: float = 0.01, p: float | None = None, **more: object) -> dict[str, Difference]:
    test = None if p is None else "randomisation of patients"
    return {REFERENCE: Difference(value=value, low=value - half, high=value + half, p=p, test=test, **more)}


def pair(
    make: Make, task: str, value: float, half: float = 0.01, p: float | None = None, **more: object
) -> list[ResultRecord]:
    return [
        make("timm:resnet18", 0.8, task=task, **more),
        make("run:a/b", 0.8 + value, task=task, differences=against(value, half, p), **more),
    ]


def test_p_values_are_corrected_within_the_family_and_decide_the_verdict(make: Make) -> None:
    p_values = {"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.9}
    records = [record for task, p in p_values.items() for record in pair(make, task, 0.02, p=p)]
    records += pair(make, "other", 0.02, p=0.04, protocol="linear")  # another protocol, another family
    tables = build_tables(records)
    found = {(t.task.name, t.protocol.name): row.comparison for t in tables for row in t.rows if row.comparison}
    expected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    for task, p in expected.items():
        comparison = found[task, "knn"]
        assert comparison.p_holm == pytest.approx(p)
        assert comparison.family == 4
        assert comparison.tested
    assert found["a", "knn"].verdict is Verdict.BETTER
    assert found["b", "knn"].verdict is Verdict.NO_DIFFERENCE, "0.02 is not below 0.05 once it is corrected"
    assert found["other", "linear"].p_holm == 0.04
    assert found["other", "linear"].verdict is Verdict.BETTER


def test_random_weights_do_not_make_the_family_of_trained_models_larger(make: Make) -> None:
    records = pair(make, "a", 0.02, p=0.03)
    records.append(make("random:resnet18", 0.5, task="a", differences=against(-0.3, p=0.001)))
    (table,) = build_tables(records)
    families = {row.label: row.comparison.family for row in table.rows if row.comparison}
    assert families == {"run:a/b": 1, "random:resnet18": 1}


def test_nothing_shown_is_not_the_same_as_too_few_patients(make: Make) -> None:
    def verdict(half: float, p: float = 0.5, patients: int = 40, value: float = 0.001) -> Verdict:
        tables = build_tables(pair(make, "a", value, half, p, patients=patients))
        (comparison,) = [row.comparison for row in tables[0].rows if row.comparison]
        return comparison.verdict

    assert verdict(0.01) is Verdict.NO_DIFFERENCE
    assert verdict(0.20) is Verdict.TOO_FEW
    assert verdict(0.01, patients=10) is Verdict.TOO_FEW
    assert verdict(0.01, p=0.001, value=-0.02) is Verdict.WORSE


def test_without_a_test_the_width_of_the_interval_gives_p(make: Make) -> None:
    (table,) = build_tables(pair(make, "a", 0.03, 0.01))
    (comparison,) = [row.comparison for row in table.rows if row.comparison]
    assert not comparison.tested
    assert comparison.p < 1e-6
    assert comparison.verdict is Verdict.BETTER


def test_reference_is_the_imagenet_row_of_the_same_architecture(make: Make) -> None:
    other = "balanced_accuracy vs timm:other"
    record = make("run:a/b", 0.8, differences={
        REFERENCE: Difference(value=0.1, low=0.05, high=0.15), other: Difference(value=-0.1, low=-0.15, high=-0.05)
    })  # fmt: skip
    elsewhere = make("timm:other", 0.9)
    elsewhere = ResultRecord.model_validate(
        elsewhere.model_dump() | {"model": elsewhere.model.model_dump() | {"architecture": "vit"},
                                  "cell": "0" * 16} | _cell_of(elsewhere)
    )  # fmt: skip
    (table,) = build_tables([record, elsewhere, make("timm:resnet18", 0.7)])
    (comparison,) = [row.comparison for row in table.rows if row.comparison]
    assert comparison.reference == "timm:resnet18"
    (table,) = build_tables([record, elsewhere])
    (comparison,) = [row.comparison for row in table.rows if row.comparison]
    assert comparison.reference == "timm:other"


def _cell_of(record: ResultRecord) -> dict[str, str]:
    from radnet.records import cell_hash

    model = record.model.model_copy(update={"architecture": "vit"})
    return {"cell": cell_hash(model, record.task, record.protocol, record.fraction, record.seed)}


def test_row_without_a_difference_is_not_compared(make: Make) -> None:
    tables = build_tables([make("timm:resnet18", 0.8), make("run:a/b", 0.9)])
    assert all(row.comparison is None for row in tables[0].rows)
    assert claims_of(tables) == []
    (claim,) = claims_of(build_tables([*pair(make, "a", 0.1), make("run:a/b", 0.9)]))
    assert claim.sentence.endswith("; not compared with ImageNet on region.")


def test_conditions_are_tables_of_their_own(make: Make) -> None:
    noisy = Condition(name="gaussian_noise", on="train", settings={"std": 0.01})
    plain = make("run:a/b", 0.8)
    from radnet.records import cell_hash

    cell = cell_hash(plain.model, plain.task, plain.protocol, plain.fraction, plain.seed, noisy)
    assert cell != plain.cell
    tables = build_tables([plain, make("run:a/b", 0.5, condition=noisy, cell=cell)])
    assert [table.title for table in tables] == [
        "region, knn, 100 % of the training items",
        "region, knn, 100 % of the training items, gaussian_noise on train, std = 0.01",
    ]


def test_claims_say_where_and_how_much(make: Make) -> None:
    records = [
        *pair(make, "a", 0.021, p=0.001),
        *pair(make, "b", 0.001, p=0.8),
        *pair(make, "c", 0.002, p=0.9),
        *pair(make, "d", -0.1, p=0.001),
        *pair(make, "e", 0.01, 0.3, p=0.7),
    ]
    (claim,) = claims_of(build_tables(records))
    assert claim.sentence == (
        "beats ImageNet on a (+0.021); loses to ImageNet on d (-0.100); no difference shown on b (+0.001) and "
        "c (+0.002); not enough patients to tell on e (+0.010)."
    )


def test_ranks_on_shared_resamples_are_those_counted_by_hand(make: Make) -> None:
    def row(name: str, value: float, values: list[float | None], draws: str = "x") -> ResultRecord:
        return make(name, value, resampled=Resampled(draws=draws, values=tuple(values)))

    values = {"timm:a": [0.9, 0.8, 0.7, None], "timm:b": [0.8, 0.9, 0.6, 0.5], "timm:c": [0.1, 0.2, 0.65, 0.3]}
    (table,) = build_tables([row(name, 0.8, drawn) for name, drawn in values.items()])
    found = {entry.label: entry.stability for entry in table.rows}
    assert all(stability is not None and stability.paired for stability in found.values())
    assert {name: round(stability.first, 3) for name, stability in found.items() if stability} == {
        "timm:a": 0.667, "timm:b": 0.333, "timm:c": 0.0
    }  # fmt: skip
    assert (found["timm:c"].low, found["timm:c"].high) == (2, 3)  # type: ignore[union-attr]
    (table,) = build_tables([row("timm:a", 0.8, [0.9, 0.8]), row("timm:b", 0.7, [0.9, 0.8], draws="y")])
    assert all(entry.stability is not None and not entry.stability.paired for entry in table.rows)


def test_ranks_from_intervals_are_certain_where_these_are_far_apart(make: Make) -> None:
    (table,) = build_tables([make("timm:a", 0.9, 0.01), make("timm:b", 0.5, 0.01), make("timm:c", 0.5001, 0.01)])
    found = {entry.label: entry.stability for entry in table.rows}
    assert found["timm:a"].first == 1.0  # type: ignore[union-attr]
    assert (found["timm:b"].low, found["timm:b"].high) == (2, 3)  # type: ignore[union-attr]


def test_pretrainings_of_one_recipe_are_one_row(make: Make) -> None:
    def pretrained(seed: int) -> ResultRecord:
        first = make(f"run:a/{seed}", 0.5 + seed / 10, weights=str(seed) * 64)
        model = first.model.model_copy(update={"recipe": "simclr", "pretraining_seed": seed})
        return first.model_copy(update={"model": model})

    (table,) = build_tables([pretrained(1), pretrained(2)])
    (row,) = table.rows
    assert row.metrics["balanced_accuracy"].mean == pytest.approx(0.65)


def test_plain_interval_is_taken_for_a_difference_without_a_test(make: Make) -> None:
    record = make("run:a/b", 0.8, differences={REFERENCE: Interval(value=0.1, low=0.0, high=0.2)})
    assert record.differences == {REFERENCE: Difference(value=0.1, low=0.0, high=0.2)}


def of_seeds(make: Make, values: list[float], half: float, p: list[float | None], patients: int = 40) -> Comparison:
    """The comparison of a row whose seeds have these differences."""
    records = [make("timm:resnet18", 0.5, seed=seed, patients=patients) for seed in range(len(values))]
    records += [
        make("run:a/b", 0.5, seed=seed, patients=patients, differences=against(value, half, p[seed]))
        for seed, value in enumerate(values)
    ]
    (table,) = build_tables(records)
    (comparison,) = [row.comparison for row in table.rows if row.comparison]
    return comparison


def test_seeds_widen_the_interval_by_their_spread_and_share_the_patients(make: Make) -> None:
    error = 0.01
    comparison = of_seeds(make, [0.02, 0.05, 0.08], Z_95 * error, [None] * 3)
    of_the_seeds = 0.03**2 / 3
    total = math.sqrt(error**2 + of_the_seeds)
    share = of_the_seeds / total**2
    t = stats.t(1 / (share / 2 + (1 - share) / 39))
    assert comparison.value == pytest.approx(0.05)
    reach = t.ppf(0.975) * total
    assert (comparison.low, comparison.high) == pytest.approx((0.05 - reach, 0.05 + reach))
    assert comparison.p == pytest.approx(2 * t.sf(0.05 / total))
    assert comparison.detectable == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * total)
    assert not comparison.tested


def test_seeds_that_agree_leave_the_degrees_of_the_patients_and_those_that_do_not_their_own(make: Make) -> None:
    agreeing = of_seeds(make, [0.05] * 3, Z_95 * 0.01, [None] * 3)
    assert agreeing.p == pytest.approx(2 * stats.t(39).sf(5))
    differing = of_seeds(make, [0.0, 0.05, 0.10], 0.0, [None] * 3)
    assert differing.p == pytest.approx(stats.ttest_1samp([0.0, 0.05, 0.10], 0).pvalue)
    assert of_seeds(make, [0.0, 0.0], 0.0, [None] * 2).p == 1


def test_several_seeds_never_have_a_smaller_p_than_the_tests_of_the_patients_gave(make: Make) -> None:
    assert of_seeds(make, [0.1, 0.1, 0.1], 0.001, [0.4, 0.03, 0.2]).p == 0.03
    assert of_seeds(make, [0.1, 0.1, 0.1], 0.001, [None, 0.3, None]).p == 0.3
    wide = of_seeds(make, [-0.1, 0.0, 0.12], 0.001, [0.01, 1.0, 0.01])
    assert wide.p > 0.9, "the seeds' spread counts as well"


def test_four_patients_show_nothing_however_many_seeds_agree(make: Make) -> None:
    """Normal quantiles found p next to nothing in two seeds each of which alone had p 0.11."""
    comparison = of_seeds(make, [0.15, 0.15], 0.01, [0.11, 0.12], patients=4)
    assert comparison.p == 0.11
    assert comparison.verdict is Verdict.TOO_FEW
    assert of_seeds(make, [0.15, 0.15], 0.0001, [None, None], patients=19).verdict is Verdict.TOO_FEW
    assert of_seeds(make, [0.15, 0.15], 0.0001, [None, None], patients=20).verdict is Verdict.BETTER


@pytest.mark.parametrize(
    ("patients", "seeds", "of_patients", "of_seeds"),
    [(20, 3, 1.0, 0.0), (20, 3, 0.3, 1.0), (20, 5, 0.3, 1.0), (40, 3, 1.0, 0.3), (40, 5, 0.5, 0.5)],
)
def test_rows_of_seeds_without_a_difference_are_seldom_called_different(
    patients: int, seeds: int, of_patients: float, of_seeds: float
) -> None:
    """At 5 % and at 0.5 %, where Holm's correction looks, on intervals and tests of normal patients."""
    generator = np.random.default_rng(0)
    t = stats.t(patients - 1)
    rows = 1500
    common = of_patients * generator.normal(size=(rows, 1, patients))
    own = of_seeds * generator.normal(size=(rows, seeds, 1)) + 0.1 * generator.normal(size=(rows, seeds, patients))
    values = common + own
    means, errors = values.mean(2), values.std(2, ddof=1) / math.sqrt(patients)
    halves, tests = t.ppf(0.975) * errors, 2 * t.sf(np.abs(means) / errors)
    p_values = np.array(
        [
            over_seeds(
                "timm:a",
                [
                    Difference(value=value, low=value - half, high=value + half, p=p)
                    for value, half, p in zip(*row, strict=True)
                ],
                patients,
            ).p
            for row in zip(means.tolist(), halves.tolist(), tests.tolist(), strict=True)
        ]
    )
    assert (p_values <= 0.05).mean() <= 0.065
    assert (p_values <= 0.005).mean() <= 0.015


def test_sets_of_one_task_are_told_apart(make: Make) -> None:
    records = [record for digest in "ab" for record in pair(make, "a", 0.1, manifest=digest * 64)]
    (claim,) = claims_of(build_tables(records))
    assert claim.sentence == "beats ImageNet on a (aaaaaa) (+0.100) and a (bbbbbb) (+0.100)."
