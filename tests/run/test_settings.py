"""Settings of the runs behind the quoted figures stay what they were."""

import pytest

from experiments import reproduce


def test_entries_resolve_to_the_settings_their_figures_were_made_with() -> None:
    found = {name: reproduce.changed(name) for name in reproduce.RUNS}
    assert not (differing := {n: lines for n, lines in found.items() if lines}), (
        differing
    )


def test_differences_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = "--method dm --ipc 2 --seeds 5"
    monkeypatch.setitem(reproduce.RUNS, "dm_digits", entry)
    assert reproduce.check(["dm_digits"]) == 1
    assert "dm_digits: ipc: 1 then, 2 now" in capsys.readouterr().out
