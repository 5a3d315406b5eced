"""Messages of Gymnasium's own environment checkers."""

from __future__ import annotations

import contextlib
import re
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium import logger
from gymnasium.utils import env_checker

from surefoot.tasks.check.findings import Findings

_COVERED = re.compile(
    r"infinity|normalized space|unwrapped version|values are equal|low value|eterministic|similar|random"
    r"|np_random|(NaN|inf) value|truncates after 1 step|reward is an? |within the observation space|Casting input"
)
"""Messages whose subject has a check of its own here, or that do not matter for training."""

_UNUSABLE = re.compile(r"was not a tuple|old step API|`seed`|reward returned|signal to be a boolean")
"""Messages about what the rollouts report as "api" or "reward-unusable"."""

_REWORDED = (
    (r"\x1b\[[\d;]*m", ""),
    (r"<class '([\w.]+)'>", r"\1"),
    (r"^WARN: ", ""),
    (r"^The obs returned by the `\w+\(\)` method", "the observation"),
    (r"was expecting numpy array dtype to be (\w+), actual type: (\w+)", r"has the dtype \2, its space \1"),
    (r"was expecting a numpy array", "should be a NumPy array"),
    (r"observation keys is not same as the observation space keys", "has other keys than its space"),
    (r"\s+", " "),
)


def check_api(env: gymnasium.Env[Any, Any], findings: Findings) -> None:
    """Run `gymnasium.utils.env_checker.check_env` and add its messages.

    Exceptions of the environment itself are left to the rollouts, which report their place.
    """
    with contextlib.suppress(Exception), collect_messages() as messages:
        env_checker.check_env(env, skip_render_check=True, skip_close_check=True)
    known = "api" in findings or "reward-unusable" in findings
    add_messages([text for text in messages if not (known and _UNUSABLE.search(text))], findings)


def add_messages(messages: list[str], findings: Findings) -> None:
    """Add a finding for each message; a differing dtype of real numbers is converted without loss of meaning."""
    for message in messages:
        findings.add("gymnasium", message, "info" if "has the dtype" in message else None)


@contextlib.contextmanager
def collect_messages() -> Iterator[list[str]]:
    """Yield a list that receives the relevant warnings and failed assertions of Gymnasium's checkers, a line each."""
    messages: list[str] = []
    level, logger.min_level = logger.min_level, logger.WARN
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield messages
        except (AssertionError, TypeError, gymnasium.error.Error) as error:
            if not traceback.extract_tb(error.__traceback__)[-1].filename.endswith("env_checker.py"):
                raise
            caught.append(warnings.WarningMessage(f"WARN: {error}", UserWarning, "", 0))
        finally:
            logger.min_level = level
            texts = [str(warning.message) for warning in caught]
            messages += dict.fromkeys(
                _reword(text) for text in texts if "WARN: " in text[:16] and not _COVERED.search(text)
            )


def _reword(text: str) -> str:
    for pattern, replacement in _REWORDED:
        text = re.sub(pattern, replacement, text)
    return text
