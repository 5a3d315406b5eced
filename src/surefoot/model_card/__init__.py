"""Model cards of runs in Markdown, written without JAX or a simulator."""

from surefoot.model_card.card import write_model_card

__all__ = ["write_model_card"]
