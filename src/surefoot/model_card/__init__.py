"""A Markdown card for every run. No JAX, no simulator."""

from surefoot.model_card.card import write_model_card

__all__ = ["write_model_card"]
