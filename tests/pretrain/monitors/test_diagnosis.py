"""Healthy runs are left in peace at every moment, sick ones are recognised, and each finding says what to change."""

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radnet.configs import compose
from radnet.pretrain.monitors.advice import ADVICE
from radnet.pretrain.monitors.diagnosis import diagnose, window_of
from radnet.pretrain.monitors.findings import Bulletin, Finding, RunFacts, finding
from radnet.pretrain.monitors.history import History
from radnet.pretrain.registry import METHODS

_spec = importlib.util.spec_from_file_location("histories", Path(__file__).with_name("histories.py"))
assert _spec is not None
assert _spec.loader is not None
runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runs)


def _codes(log: list[dict[str, float]], facts: RunFacts) -> set[str]:
    """Every finding that the run would have made at any of its lines."""
    return {found.code for end in range(1, len(log) + 1, 7) for found in diagnose(log[:end], facts)}


@pytest.mark.parametrize(
    "healthy",
    [
        lambda: runs.simclr(),
        lambda: runs.simclr(batch=64, temperature=0.2, end=0.15),
        lambda: runs.simclr(batch=4096, temperature=0.5, end=0.3),
        lambda: runs.simclr(rankme=lambda t, g: 6.0),
        lambda: runs.dino(),
        lambda: runs.dino(prototypes=65536),
        lambda: runs.dino(prototypes=256, teacher_entropy=lambda t, g: 0.2),  # sharp for each slice is as it should be
        lambda: runs.mae(),
        lambda: runs.mae(loss=lambda t, g: runs.batch_cost(t) * (0.98 - 0.2 * t), features_std=lambda t, g: 0.05),
    ],
)
def test_a_healthy_run_gives_no_findings_at_any_moment(healthy: Callable[[], Any]) -> None:
    log, facts = healthy()
    assert _codes(log, facts) == set()


def test_healthy_noise_gives_no_findings_whatever_its_seed() -> None:
    for seed in range(5):
        mark = math.log(511)
        log = runs.history(seed=seed, loss=lambda t, g: 2.0 + 3 * math.exp(-9 * t) + 0.15 * g.normal())
        assert _codes(log, runs.facts("simclr", chance=mark, floor=0.02)) == set()


def test_simclr_that_stays_at_chance_has_not_begun_to_learn() -> None:
    log, facts = runs.simclr(end=1.0)
    (found,) = diagnose(log, facts)
    assert found.code == "at-chance"
    assert f"{math.log(511):.4g}" in found.seen
    assert "method.temperature (now 0.1)" in " ".join(found.change)
    assert diagnose(log[:40], facts) == []  # in the warm-up nobody knows yet


def test_simclr_that_falls_back_to_chance_has_collapsed_even_in_the_warm_up() -> None:
    log, facts = runs.simclr(
        loss=lambda t, g: math.log(511) - (2.0 if t < 0.03 else 0.0), features_std=lambda t, g: 0.2
    )
    early = [line for line in log if line["step"] <= 300]
    assert "collapsed" in {found.code for found in diagnose(early, facts)}


def test_dino_on_the_plateau_is_told_apart_by_its_teacher() -> None:
    mark = math.log(1024)
    log, facts = runs.dino(loss=lambda t, g: mark, teacher_entropy=lambda t, g: mark)
    (uniform,) = diagnose(log, facts)
    assert uniform.code == "collapsed"
    assert "every output the same probability" in uniform.means
    assert "method.teacher_temperature" in " ".join(uniform.change)
    log, facts = runs.dino(loss=lambda t, g: mark, teacher_entropy=lambda t, g: 2.0)
    (slow,) = diagnose(log, facts)
    assert slow.code == "at-chance"


def test_dino_with_one_output_is_recognised_though_its_loss_is_low() -> None:
    log, facts = runs.dino(
        loss=lambda t, g: 0.02, teacher_entropy=lambda t, g: 0.01, marginal_entropy=lambda t, g: 0.05
    )
    (found,) = diagnose(log, facts)
    assert found.code == "one-output"
    assert "method.center_momentum" in " ".join(found.change)


def test_simclr_at_its_floor_is_saturated_as_the_reference_study_was() -> None:
    log, facts = runs.simclr(batch=512, temperature=0.5, end=0.05)
    assert facts.landmarks["floor"] == pytest.approx(4.937, abs=1e-3)
    (found,) = diagnose(log, facts)
    assert found.code == "at-floor"
    assert "method.temperature" in " ".join(found.change)


def test_mae_that_gives_all_slices_one_picture_is_recognised_by_what_that_costs_on_its_batches() -> None:
    log, facts = runs.mae(loss=lambda t, g: runs.batch_cost(t) + 0.003 * g.normal())
    assert _codes(log, facts) == {"at-chance"}
    (found,) = diagnose(log, facts)
    assert "same picture" in found.means
    assert "1 times" in found.seen
    log, facts = runs.mae(loss=lambda t, g: 1.02 * runs.batch_cost(t))
    assert {found.code for found in diagnose(log, facts)} == {"at-chance"}
    log, facts = runs.mae(loss=lambda t, g: runs.batch_cost(t) * (1 - t if t < 0.5 else 0.5 + 0.4 * (t > 0.7)))
    assert "loss-rising" in {found.code for found in diagnose(log, facts)}


@pytest.mark.parametrize(
    ("sick", "code"),
    [
        ({"features_std": lambda t, g: 0.002}, "features-alike"),
        ({"rankme": lambda t, g: 1.3}, "few-dimensions"),
        ({"gradient_norm": lambda t, g: 1.0 if t < 0.9 else 80.0}, "gradients-exploding"),
        ({"gradient_norm": lambda t, g: 1.0 if t < 0.9 else 1e-12}, "gradients-vanishing"),
        ({"loss": lambda t, g: 6 - 8 * t if t < 0.5 else 2 + 6 * (t - 0.5)}, "loss-rising"),
        ({"waiting_share": lambda t, g: 0.45}, "input-bound"),
    ],
)
def test_what_can_befall_any_method_is_recognised(sick: dict[str, Any], code: str) -> None:
    log, facts = runs.simclr(**sick)
    found = diagnose(log, facts)
    assert [one.code for one in found] == [code]
    assert found[0].change
    assert any(character.isdigit() for character in found[0].seen)


def test_a_spike_is_no_finding() -> None:
    log, facts = runs.simclr()
    for line in log[-4:-2]:
        line |= {"loss": 6.2, "gradient_norm": 500.0, "waiting_share": 0.9}
    assert diagnose(log, facts) == []


def test_rankme_of_few_rows_is_not_judged() -> None:
    log, facts = runs.simclr(rankme=lambda t, g: 1.3)
    assert diagnose([line | {"rankme_rows": 64.0} for line in log], facts) == []


def test_too_little_is_not_judged_and_the_diagnosis_can_be_switched_off() -> None:
    log, facts = runs.simclr(end=1.0)
    assert diagnose([], facts) == []
    assert diagnose(log[-5:], facts) == []
    assert diagnose(log, RunFacts(facts.settings, facts.landmarks, facts.grace_steps, window_steps=0)) == []


@pytest.mark.parametrize(("total", "every", "steps"), [(20_000, 10, 200), (600, 10, 100), (20_000, 100, 1000)])
def test_the_window_is_a_part_of_the_run_and_holds_lines_enough(total: int, every: int, steps: int) -> None:
    assert window_of(200, total_steps=total, log_every_steps=every) == steps
    assert window_of(0, total_steps=total, log_every_steps=every) == 0
    log = runs.history(steps=range(every, total + 1, every), loss=lambda t, g: math.log(511))
    facts = RunFacts(runs.facts("simclr").settings, {"chance": math.log(511)}, 300, steps)
    assert "at-chance" in {found.code for found in diagnose(log, facts)}


def test_what_is_so_already_is_not_advised() -> None:
    settings = {"method": {"name": "dino", "center_momentum": 0.9}, "optimizer": {"lr": 1e-3, "clip_norm": 3.0}}
    facts = RunFacts(settings, {}, 300, 200)
    said = " ".join(finding("collapsed", 1, "", "", facts).change)
    assert "center_momentum" not in said
    assert "optimizer.clip_norm (now 3.0)" in said


def test_values_that_are_missing_or_not_finite_are_no_trouble() -> None:
    log, facts = runs.simclr()
    for line in log[::2]:
        line["gradient_norm"] = math.nan
        del line["features_std"]
    assert diagnose(log, facts) == []
    assert diagnose([{"step": line["step"]} for line in log], facts) == []


def test_a_finding_is_told_once_and_again_only_when_it_lasts() -> None:
    bulletin, told = Bulletin(), []
    for step in range(200, 20_001, 50):
        told += bulletin.news([Finding("collapsed", step, "", "", ())], 200)
    assert [one.step for one in told] == [200, 800, 2600, 9800]
    assert bulletin.news([Finding("at-floor", 20_000, "", "", ())], 200) != []


def test_every_setting_that_the_advice_names_exists() -> None:
    configs: dict[str, Any] = {name: compose("pretrain", [f"method={name}", "data=none"]) for name in METHODS}
    for code, by_method in ADVICE.items():
        for method, hints in by_method.items():
            for name in configs.keys() & ({method} if method else configs.keys()):
                for hint in hints:
                    at = configs[name]
                    for part in hint.key.split("."):
                        assert part in at, f"{code}, {name}: {hint.key}"
                        at = at[part]


def test_the_history_thins_what_is_old_and_keeps_what_is_new() -> None:
    history = History(limit=100)
    for step in range(1, 1001):
        history.add({"step": step, "loss": 1.0})
    steps = [line["step"] for line in history.lines]
    assert len(steps) <= 100
    assert steps[-50:] == list(range(951, 1001))
    assert steps[0] == 1
    assert np.all(np.diff(steps) > 0)
