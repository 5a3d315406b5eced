"""Observer that keeps events and messages."""

from __future__ import annotations

from typing import Any


class Recording:
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.messages: list[str] = []

    def on_start(self, event: Any) -> None:
        self.events.append(event)

    def on_progress(self, event: Any) -> None:
        pass

    def on_evaluation(self, event: Any) -> None:
        self.events.append(event)

    def on_message(self, text: str) -> None:
        self.messages.append(text)

    def on_finish(self, event: Any) -> None:
        self.events.append(event)
