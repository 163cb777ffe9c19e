"""`radnet export` and `radnet publish` as people call them; `radnet import` is in tests/models/foreign."""

from pathlib import Path

import pytest

from radnet.cli import main
from radnet.zoo import ZOO_VARIABLE
from tests.models.exports_for_tests import small_export


def _call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0), capsys.readouterr().err


def test_publish_says_what_was_compared_and_how_to_load_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ZOO_VARIABLE, str(tmp_path / "zoo"))
    monkeypatch.chdir(tmp_path)
    small_export(tmp_path / "mine")
    code, said = _call(capsys, "publish", "mine", "local-dir:shown", "--licence", "mit")
    assert code == 0
    assert "8 comparisons of features: equal" in said
    assert 'timm.create_model("local-dir:shown", pretrained=True), or after import radnet "radnet_shown"' in said
    assert "license: mit" in (tmp_path / "shown" / "README.md").read_text()
    code, said = _call(capsys, "publish", "mine", "local-dir:shown")
    assert (code, "--overwrite" in said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", ".", "out", "--weights", "best"), "This is no run"),
        (("export", ".", "out", "--weights", "worst"), "worst"),
        (("publish", "nowhere", "local-dir:out"), "No such directory"),
        (("publish", ".", "hf-hub:name"), "ORG/NAME"),
    ],
)
def test_wrong_calls_are_explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = _call(capsys, *arguments)
    assert code == 2
    assert words in said
    assert list(tmp_path.iterdir()) == []
