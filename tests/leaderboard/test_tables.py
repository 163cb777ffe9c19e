import random
from collections.abc import Callable

import pytest

from radnet.leaderboard.tables import BEST, LOWER, TIED, build_tables
from radnet.records import Interval, Overlap, ResultRecord

Make = Callable[..., ResultRecord]


def test_rows_of_different_test_sets_or_settings_never_share_a_table(make: Make) -> None:
    records = [
        make("timm:a", 0.5),
        make("timm:b", 0.6),
        make("timm:a", 0.7, manifest="b" * 64),
        make("timm:a", 0.7, settings={"k": 5}),
        make("timm:a", 0.7, fraction=0.1),
        make("timm:a", 0.7, task="other"),
        make("timm:a", 0.7, protocol="linear"),
    ]
    tables = build_tables(records)
    assert sorted(len(table.rows) for table in tables) == [1, 1, 1, 1, 1, 2]
    for table in tables:
        keys = {(entry.task.manifest_hash, entry.protocol.hash, entry.fraction) for row in table.rows
                for entry in row.records}  # fmt: skip
        assert len(keys) == 1


def test_rank_is_by_point_estimate_and_standing_by_overlap_with_the_best(make: Make) -> None:
    (table,) = build_tables([make("timm:c", 0.5), make("timm:a", 0.9), make("timm:b", 0.81), make("timm:d", 0.9)])
    assert [(row.label, row.rank, row.standing) for row in table.rows] == [
        ("timm:a", 1, BEST),
        ("timm:d", 1, BEST),
        ("timm:b", 3, TIED),
        ("timm:c", 4, LOWER),
    ]


def test_seeds_become_one_row_of_mean_and_ranges(make: Make) -> None:
    values = {0: 0.60, 1: 0.70, 2: 0.80}
    (table,) = build_tables([make("timm:a", value, seed=seed) for seed, value in values.items()])
    (row,) = table.rows
    value = row.metrics["balanced_accuracy"]
    assert row.seeds == (0, 1, 2)
    assert value.mean == pytest.approx(0.7)
    assert (value.seed_low, value.seed_high) == (0.60, 0.80)
    assert (value.low, value.high) == pytest.approx((0.55, 0.85))
    assert any("no interval for the mean" in note for note in table.notes)


def test_other_weights_of_the_same_name_are_another_row_except_random_ones(make: Make) -> None:
    changed = [make("run:a/b", 0.5, weights="1" * 64), make("run:a/b", 0.6, weights="2" * 64, seed=1)]
    (table,) = build_tables(changed)
    assert [row.label for row in table.rows] == ["run:a/b (weights 22222222)", "run:a/b (weights 11111111)"]
    (table,) = build_tables([make("random:a", 0.5, weights="1" * 64), make("random:a", 0.6, weights="2" * 64, seed=1)])
    assert len(table.rows) == 1


def test_newest_record_of_a_cell_wins_wherever_it_stands(make: Make) -> None:
    old = make("timm:a", 0.5)
    new = make("timm:a", 0.6, created="2026-01-31T12:00:00.5Z")
    for records in ([old, new], [new, old], [new, old, new]):
        (table,) = build_tables(records)
        assert table.rows[0].metrics["balanced_accuracy"].mean == 0.6
        assert len(table.rows[0].records) == 1


def test_unavailable_rows_stand_last_without_a_number_and_give_way_to_finished_ones(make: Make) -> None:
    missing = make("timm:a", message="no network")
    (table,) = build_tables([missing, make("timm:b", 0.1)])
    assert [(row.label, row.rank, row.metrics) for row in table.rows][1] == ("timm:a", None, {})
    assert any("timm:a is unavailable: no network" in note for note in table.notes)
    (table,) = build_tables([missing, make("timm:a", 0.3)])
    assert [row.available for row in table.rows] == [True]
    (table,) = build_tables([missing])
    assert [row.rank for row in table.rows] == [None]


def test_what_weakens_a_row_is_said(make: Make) -> None:
    def notes(*records: ResultRecord) -> str:
        (table,) = build_tables(records)
        return " ".join(table.notes)

    assert notes(make("timm:a", 0.5)) == ""
    assert "has 6 patients" in notes(make("timm:a", 0.5, patients=6))
    assert "equally many" in notes(make("timm:a", 0.5), make("timm:b", 0.5, patients=41))
    assert "no certainty" in notes(make("timm:a", 1.0, 0))
    partly = {"macro_auroc": Interval(value=0.5, low=0.4, high=0.6, undefined=0.123)}
    assert "macro_auroc was undefined on 12.3 %" in notes(make("timm:a", 0.5, others=partly))
    assert "not converged (seed 0)" in notes(make("timm:a", 0.5, selected={"C": 1.0, "not_converged": [1.0, 10.0]}))
    seen = Overlap(checked=True, test_items=400, shared_items=3)
    assert "3 test items were in its pretraining set" in notes(make("timm:a", 0.5, overlap=seen))
    by_patient = Overlap(checked=True, test_items=400, shared_patients=12, message="stored at another size")
    assert "timm:a: 12 test patients were in its pretraining set" in notes(make("timm:a", 0.5, overlap=by_patient))
    both = seen.model_copy(update={"shared_patients": 1})
    assert "3 test items and 1 test patient were in" in notes(make("timm:a", 0.5, overlap=both))
    one = Overlap(checked=False, test_items=400, shared_patients=1, sets=("a",), message="set b is not at hand")
    assert "1 test patient was in its pretraining set" in notes(make("timm:a", 0.5, overlap=one))
    nothing = Overlap(checked=True, test_items=400, shared_patients=0)
    assert notes(make("timm:a", 0.5, overlap=nothing)) == ""
    assert "converged" not in notes(make("timm:a", 0.5, selected={"C": 1.0, "not_converged": [10.0]}))


def test_synthetic_data_mark_the_title_and_their_rows(make: Make) -> None:
    (table,) = build_tables([make("run:a/b", 0.5, synthetic_model=True), make("timm:a", 0.6)])
    assert "(synthetic)" in table.title
    assert {row.label: row.synthetic for row in table.rows} == {"run:a/b": True, "timm:a": False}
    (table,) = build_tables([make("timm:a", 0.6, synthetic_task=True)])
    assert table.rows[0].synthetic


def test_order_of_records_does_not_matter(study: list[ResultRecord]) -> None:
    expected = build_tables(study)
    for seed in range(20):
        shuffled = random.Random(seed).sample(study, len(study))  # noqa: S311
        assert build_tables(shuffled) == expected
