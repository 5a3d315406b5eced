"""Tasks named by run directories, whose names alone never run code."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium
import pytest

from surefoot.errors import UserError
from surefoot.tasks import get_run_task, get_task
from tests.tasks import zoo


@pytest.mark.parametrize("name", ["cheetah-run", "myo-key-turn", "probe-action", "Pendulum-v1"])
def test_name_without_code_is_found(name: str) -> None:
    assert get_run_task(name).name == name


@pytest.mark.parametrize("suffix", ["make", "Made-v0"])
def test_module_named_only_by_a_run_is_not_imported(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "untrusted_module.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=rf"'untrusted_module:{suffix}'.* --task .* task=") as caught:
        get_run_task(f"untrusted_module:{suffix}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()
    assert "untrusted_module" not in sys.modules


def test_task_named_by_the_user_must_match() -> None:
    task = get_task(zoo.terminating)
    assert get_run_task(task.name, zoo.terminating).name == task.name
    with pytest.raises(UserError, match=r"trained on 'tests\.tasks\.zoo:terminating', not on '.*:truncating'"):
        get_run_task(task.name, zoo.truncating)
    with pytest.raises(UserError, match="trained on 'cheetah-run', not on 'walker-run'"):
        get_run_task("cheetah-run", "walker-run")


def test_registering_module_named_by_the_user_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_module.py").write_text(
        "import gymnasium\ngymnasium.register('UsersOwn-v0', entry_point='tests.tasks.zoo:Counter')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert get_run_task("users_module:UsersOwn-v0", "users_module:UsersOwn-v0").suite == "gymnasium"
    finally:
        gymnasium.registry.pop("UsersOwn-v0", None)
        sys.modules.pop("users_module", None)
