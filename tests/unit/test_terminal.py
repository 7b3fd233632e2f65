"""What goes where: results to stdout, everything else to stderr, and brackets stay what they are."""

import json

import pytest

from hyperaware import terminal
from hyperaware.training.headline import headline


def test_a_document_is_all_of_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.emit({"path": "bär.png", "share": 0.5})
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"path": "bär.png", "share": 0.5}
    assert "bär" in printed.out
    assert printed.err == ""


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        terminal.emit({"auroc": float("nan")})


def test_an_error_is_one_line_with_its_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.fail("no store is called '[red]exat[/red]'.\nKnown: sqlite.")
    printed = capsys.readouterr()
    assert printed.err == "error: no store is called '[red]exat[/red]'. Known: sqlite.\n"
    assert printed.out == ""


def test_long_lines_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.note("x" * 300)
    assert capsys.readouterr().err == "x" * 300 + "\n"


def test_a_table_sets_numbers_flush_right(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(["name [x]", "share"], [["a", "7 %"], ["b [bold]", "12.5 %"], ["c", "-"]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "[x]", "share"]
    ends = {len(line.rstrip()) for line in lines[2:]}
    assert len(ends) == 1
    assert "b [bold]" in lines[3]


def test_bars_speak_once_for_each_kind_of_work_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.Bars() as bars:
        draw = bars.of("draw")
        for done in range(1, 4):
            draw(done, 3)
        bars("train", 1, 1, "loss 2.00\nmedian 0.3")
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["draw: 3 of 3", "train: 1 of 1. loss 2.00; median 0.3"]
    assert printed.out == ""


def test_bars_speak_of_unfinished_work_when_it_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SILENCE", 0.0)
    with terminal.Bars() as bars:
        bars("train", 1, 9, "loss 3.00")
    assert capsys.readouterr().err == "train: 1 of 9. loss 3.00\n"


def test_bars_are_drawn_and_taken_away_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with terminal.Bars() as bars:
        bars("train [1]", 1, 2, "loss [2]")
        bars("train [1]", 2, 2)
    printed = capsys.readouterr().err
    assert "train [1]" in printed
    assert "loss [2]" in printed
    assert "2/2" in printed
    assert "train [1]: " not in printed


def test_headline_of_a_step_and_of_a_measurement() -> None:
    distances = {"safe_text": 0.2, "safe_image": 0.3, "unsafe_text": 0.4, "unsafe_image": 0.5}
    line = {f"root_distance/{name}": [0.0, value, 1.0] for name, value in distances.items()}
    line |= {"loss": 5.25, "auroc/text": 0.981, "auroc/image": 0.95}
    assert headline(line) == (
        "loss 5.25. AUROC by root distance: text 0.98, image 0.95\n"
        "median root distance: safe text 0.200, image 0.300; unsafe text 0.400, image 0.500"
    )
    assert headline({"recall_sum": 3.5, "split": "validation"}) == "recall sum 3.50"
