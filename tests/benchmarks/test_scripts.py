"""Benchmarks run at their smallest size and tells of its bars; how fast it is, is not a matter of tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CHECKOUT = Path(__file__).resolve().parents[2]
BARS = {"analysis": 5, "build": 5, "decode": 4, "loader": 3, "train": 4}
"""Those that run here. memory.py and resume.py start a dozen processes each, a minute of a suite that may take twelve;
what they measure has tests of its own (tests/scans/test_memory.py, tests/shards/test_kill_and_resume.py)."""


@pytest.mark.slow
@pytest.mark.parametrize("name", BARS)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, f"benchmarks/{name}.py", "--quick", "--json", str(file)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "TMPDIR": str(tmp_path), "RADNET_SHARED": str(tmp_path)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert len(figures["bars"]) >= BARS[name]
    assert all(bar["value"] > 0 and isinstance(bar["met"], bool) for bar in figures["bars"])
    assert figures["machine"]["cores"] >= 1
    # RADNET_SHARED is empty here; without a GPU, train.py reads no slices at all
    excuse = "no GPU" if name == "train" and not torch.cuda.is_available() else "phantom"
    assert any(excuse in note for note in figures["notes"])
    for bar in figures["bars"]:
        assert bar["what"][:20] in done.stdout


@pytest.mark.slow
def test_check_fails_when_a_bar_is_missed(tmp_path: Path) -> None:
    code = (
        "import argparse, pathlib, sys; sys.path.insert(0, 'benchmarks'); from common import Bar, Report, finish;"
        "options = argparse.Namespace(json=pathlib.Path(sys.argv[1]), check=sys.argv[2] == 'check', quick=True);"
        "finish(Report('x', {}, bars=[Bar('speed', 1.0, 2.0), Bar('size', 1.0, 2.0, at_least=False)]), options)"
    )
    for mode, expected in (("check", 1), ("plain", 0)):
        command = [sys.executable, "-c", code, str(tmp_path / "figures.json"), mode]
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == expected, done.stderr
        assert [bar["met"] for bar in json.loads((tmp_path / "figures.json").read_text())["bars"]] == [False, True]
