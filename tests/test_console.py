import pytest

from radnet import console


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PLAIN_LINE_EVERY_S", 0.0)
    with console.progress("reading", 3) as meter:
        for _ in range(3):
            meter.advance(note="fine")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("reading: 1/3 (33 %)")
    assert lines[-1].endswith("fine, done")


def test_other_ranks_are_silent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(console, "PLAIN_LINE_EVERY_S", 0.0)
    console.say("a")
    console.warn("b")
    console.show("c")
    with console.progress("d", 1) as meter:
        meter.advance()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_results_go_to_stdout_and_words_to_stderr_without_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.show("[red]x[/red]")
    console.say("[bold]y[/bold]")
    captured = capsys.readouterr()
    assert captured.out == "[red]x[/red]\n"
    assert captured.err == "[bold]y[/bold]\n"
