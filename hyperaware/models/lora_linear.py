"""peft's LoRA layer with its sum written into the product of the frozen weight.

peft computes W x + b, B A x, the scaled B A x and the sum as four tensors. Here the scale goes to B, and B's
product is added where W x + b stands: the same sum up to rounding, with one tensor of the output's size.
Names, weights, merging and files are peft's.
"""

from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor

__all__ = ["LoraLinear"]


class LoraLinear(lora.Linear):
    """`peft.tuners.lora.Linear`; what is not a single plain adapter goes peft's way."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """W x + b + scale B A dropout(x)."""
        plain = not (args or kwargs or self.merged or self.disable_adapters or self.lora_variant)
        if not plain or len(self.active_adapters) != 1 or any(self.lora_bias.values()):
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        result = self.base_layer(x)
        down, up = self.lora_A[name], self.lora_B[name].get_parameter("weight")
        if not torch.is_autocast_enabled(x.device.type):
            x = self._cast_input_dtype(x, down.get_parameter("weight").dtype)
        low = down(self.lora_dropout[name](x)).to(result.dtype)
        up = (self.scaling[name] * up).t().to(result.dtype)
        if result.ndim == 2:
            return result.addmm_(low, up)
        return torch.addmm(result.flatten(0, -2), low.flatten(0, -2), up).unflatten(0, result.shape[:-1])
