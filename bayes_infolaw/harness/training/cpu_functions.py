"""Parts of a transformer with gradients written by hand, for eager fp32 on the CPU.

There every elementwise kernel is a pass over memory. Autograd's RMSNorm takes fifteen of them, and
a head over a vocabulary thirty times the width is most of a step's traffic. Compilers and GPUs fuse
such passes by themselves, so everything else takes torch's own functions.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ChunkedCrossEntropy", "GateByHand", "NormByHand", "is_eager_cpu"]

MIN_ROWS, LOGITS = 128, 2**19  # a chunk is wide enough for fast products, and stays in cache


def is_eager_cpu(x: Tensor) -> bool:
    """Whether these functions serve: fp32 on the CPU, neither compiled nor under autocast."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32
    return plain and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


class NormByHand(torch.autograd.Function):
    """(R, n, h) inputs, (R, h) gains and epsilon -> (R, n, h); a single model has R = 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        """``x / sqrt(mean x^2 + epsilon) * gain``."""
        mean_square = torch.linalg.vecdot(x, x).div_(x.shape[-1])
        scale = mean_square.add_(epsilon).rsqrt_().unsqueeze(-1)
        normed = x * scale
        ctx.save_for_backward(normed, scale, gain)
        return normed * gain.unsqueeze(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """``dx = scale (g gain - normed mean(g gain normed))``, ``dgain = sum g normed``."""
        normed, scale, gain = ctx.saved_tensors
        product = grads[0] * normed
        inner = torch.bmm(product, gain.unsqueeze(-1)).div_(-normed.shape[-1])
        grad_x = (grads[0] * gain.unsqueeze(1)).addcmul_(normed, inner).mul_(scale)
        return grad_x, product.sum(dim=1), None


class GateByHand(torch.autograd.Function):
    """(..., 2 m) gates and values side by side -> (..., m) ``silu(gate) * value``."""

    @staticmethod
    def forward(ctx: Any, gate_value: Tensor) -> Tensor:
        """SwiGLU's product."""
        gate, value = gate_value.chunk(2, dim=-1)
        opened = F.silu(gate)
        ctx.save_for_backward(gate_value, opened)
        return opened * value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Both halves written where they belong, which autograd would copy together."""
        gate_value, opened = ctx.saved_tensors
        gate, value = gate_value.chunk(2, dim=-1)
        found = torch.empty_like(gate_value)
        of_gate, of_value = found.chunk(2, dim=-1)
        torch.mul(grads[0], opened, out=of_value)
        torch.mul(grads[0], value, out=of_gate)
        torch.ops.aten.silu_backward.grad_input(of_gate, gate, grad_input=of_gate)
        return found


class ChunkedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of ``x @ weight.T``: logits live only some rows at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """(rows, h), (vocabulary, h), (rows,) -> scalar; makes the gradients on the way."""
        total = x.new_zeros((), dtype=torch.float64)
        grad_x, grad_weight = torch.empty_like(x), torch.zeros_like(weight)
        step = max(MIN_ROWS, LOGITS // weight.shape[0])
        for low in range(0, x.shape[0], step):
            rows, wanted = x[low : low + step], targets[low : low + step, None]
            logits = rows @ weight.t()
            error = torch.softmax(logits, dim=-1)
            # The largest probability cannot underflow, and tells the normaliser.
            normaliser = logits.amax(-1, keepdim=True) - error.amax(-1, keepdim=True).log()
            total += (normaliser - logits.gather(1, wanted)).sum()
            error.scatter_add_(1, wanted, error.new_full((), -1.0).expand(wanted.shape))
            torch.mm(error, weight, out=grad_x[low : low + step])
            grad_weight.addmm_(error.t(), rows)
        ctx.save_for_backward(grad_x.div_(x.shape[0]), grad_weight.div_(x.shape[0]))
        return (total / x.shape[0]).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Times the outer gradient."""
        grad_x, grad_weight = ctx.saved_tensors
        return grad_x * grads[0], grad_weight * grads[0], None
