"""Where compiled programs lie between runs: ``~/.cache/surefoot``, unless the user names another folder, or none."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SUREFOOT_COMPILE_CACHE"
"""Names the folder; "off" keeps nothing."""


def cache_folder(kind: str) -> Path | None:
    """Return the folder for this kind of thing, made if need be; None where nothing is to be kept, or can be."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() == "off":
        return None
    try:
        base = Path(chosen).expanduser() if chosen else _user_cache() / "surefoot"
        folder = base / kind
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None  # No home, or one that cannot be written to.
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
