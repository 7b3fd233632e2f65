"""How the towers compute in training: what they keep for the way back, and whether they are compiled."""

from typing import Any

from hyperaware.models.adapters import has_lora
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.settings import Settings

__all__ = ["set_up_towers"]


def set_up_towers(model: DualEncoder, settings: Settings) -> None:
    """Switch on gradient checkpointing and compilation where the settings ask for them, in place.

    Neither changes names or values of weights. Call after the method has put its adapters in.
    """
    clip: Any = model.clip.get_base_model() if has_lora(model) else model.clip
    if settings.gradient_checkpointing:
        # Transformers has renamed it. Not re-entrant: the frozen layers of a tower with adapters have inputs
        # without gradients, and the old form would cut the adapters below them off.
        enable = getattr(clip, "activation_checkpointing_enable", None) or clip.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if settings.compile:
        for tower in (clip.text_model, clip.vision_model):
            tower.compile()
