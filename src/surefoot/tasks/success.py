"""Success that environments report in ``info``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

SUCCESS_KEYS = ("is_success", "success", "succeed", "solved")
"""Keys of ``info`` whose value is the success of a step, in the order in which they are looked up."""


def reported_success(info: Any) -> bool | None:
    """Return whether an environment reports a step as solved; None if it reports nothing.

    Args:
        info: Last value that the environment's `step` returned. The first key of `SUCCESS_KEYS` whose value is a
            boolean or a number decides, also in an array or list of one entry; a number above 0.5 means solved.
    """
    if not isinstance(info, Mapping):
        return None
    for key in SUCCESS_KEYS:
        try:
            value = info.get(key)
            if value is True or value is False:
                return value
            if value is None or (array := np.asarray(value)).size != 1 or array.dtype.kind not in "biuf":
                continue
            number = float(array.reshape(-1)[0])
        except Exception:  # the value may be any object, and training does not depend on it
            continue
        if not np.isnan(number):
            return number > 0.5
    return None
