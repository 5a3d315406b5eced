"""The sum of the objectives of an environment that rewards each of them."""

from typing import Any

import mo_gymnasium


def make_cheetah(**keywords: Any) -> Any:
    return mo_gymnasium.wrappers.LinearReward(mo_gymnasium.make("mo-halfcheetah-v5", **keywords))
