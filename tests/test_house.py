"""What must hold of the whole house: imports run downward, files stay short, the library does not print."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "radnet"
FLOORS = {
    "scans": 1,
    "shards": 2,
    "views": 3,
    "models": 4,
    "transfer": 5,
    "pretrain": 6,
    "analysis": 6,
    "leaderboard": 6,
}
TOP = 7
FILES = sorted(ROOT.rglob("*.py"))


def _floor(path: Path) -> int:
    parts = path.relative_to(ROOT).parts
    if parts[0] in ("cli", "__main__.py"):  # __main__ only calls the command line
        return TOP
    return FLOORS[parts[0]] if len(parts) > 1 else 0


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    for module in _imported(path):
        parts = module.split(".")
        if parts[0] == "radnet" and len(parts) > 1 and parts[1] != own and path.name != "__main__.py":
            floor = TOP if parts[1] == "cli" else FLOORS.get(parts[1], 0)
            assert floor < _floor(path) or floor == 0, f"{path.name} imports {module}"


def test_scans_know_nothing_of_torch() -> None:
    for path in FILES:
        if _floor(path) == 1:
            assert not any(module.split(".")[0] == "torch" for module in _imported(path)), path


def test_no_file_is_longer_than_400_lines() -> None:
    assert [path.name for path in FILES if len(path.read_text().splitlines()) > 400] == []


def test_every_package_of_the_house_has_its_tests() -> None:
    for package in FLOORS:
        if (ROOT / package).is_dir():
            assert list((ROOT.parent / "tests" / package).glob("test_*.py")), package
