"""A run directory may name its task, but not choose what code runs."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium
import pytest

from surefoot.errors import UserError
from surefoot.tasks import get_run_task, get_task
from tests.tasks import zoo


@pytest.mark.parametrize("name", ["cheetah-run", "myo-key-turn", "probe-action", "Pendulum-v1"])
def test_a_name_that_runs_no_code_is_found(name: str) -> None:
    assert get_run_task(name).name == name


@pytest.mark.parametrize("suffix", ["make", "Made-v0"])
def test_a_module_is_not_imported_because_a_run_names_it(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strangers_module.py").write_text(f"open({str(tmp_path / 'was-here')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=rf"'strangers_module:{suffix}'.* --task .* task=") as caught:
        get_run_task(f"strangers_module:{suffix}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "was-here").exists()
    assert "strangers_module" not in sys.modules


def test_what_the_user_names_too_is_taken() -> None:
    task = get_task(zoo.terminating)
    assert get_run_task(task.name, zoo.terminating).name == task.name
    with pytest.raises(UserError, match=r"trained on 'tests\.tasks\.zoo:terminating', not on '.*:truncating'"):
        get_run_task(task.name, zoo.truncating)
    with pytest.raises(UserError, match="trained on 'cheetah-run', not on 'walker-run'"):
        get_run_task("cheetah-run", "walker-run")


def test_a_module_that_registers_an_id_is_imported_where_the_user_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_module.py").write_text(
        "import gymnasium\ngymnasium.register('UsersOwn-v0', entry_point='tests.tasks.zoo:Counter')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert get_run_task("users_module:UsersOwn-v0", "users_module:UsersOwn-v0").suite == "gymnasium"
    finally:
        gymnasium.registry.pop("UsersOwn-v0", None)
        sys.modules.pop("users_module", None)
