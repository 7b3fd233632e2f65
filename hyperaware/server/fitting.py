"""Texts for which one point must stand: they have to fit the model's context, for a point is of no more."""

from hyperaware.models.tokenizer import Tokenizer
from hyperaware.models.windows import fits
from hyperaware.server.problems import Problem

__all__ = ["require_fitting"]


def require_fitting(text: str, tokenizer: Tokenizer, *, param: str) -> None:
    """Refuse a text whose end one point would leave out (`Problem`, 400)."""
    if not fits(text, tokenizer):
        raise Problem(
            400,
            f"{param}: the text is longer than the {tokenizer.context_length} tokens of the model's context, "
            "so one point cannot stand for all of it. Give it in parts.",
            code="too_long",
            param=param,
        )
