"""The wheel carries the configs and works from any directory."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_carries_the_configs_and_finds_them_from_anywhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("radnet", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("radnet-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {f"radnet/{name}" for name in configs} <= names
    assert {"radnet/py.typed", "radnet/analysis/report/map_template.html"} <= names
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    program = (
        "from radnet.configs import compose, config_directory\n"
        "assert config_directory().parts[-2:] == ('radnet', 'configs'), config_directory()\n"
        "print(compose('pretrain', ['data=x', 'experiment=demo'])['backbone'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "resnet10t"
