"""Shapes of decoder-only transformers and what the law counts in them."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.overtraining import flops_per_token

__all__ = ["PAPER", "PRESETS", "SMALL", "Shape", "find_shape"]


@dataclass(frozen=True)
class Shape:
    """Sizes of one model: RoPE, SwiGLU, RMSNorm with gain, no bias.

    Attributes
    ----------
    layers, hidden, heads, mlp : int
        Blocks, width h, attention heads (h / heads must be even, for RoPE), width of SwiGLU's gate.
    vocab_size, seq_len : int
        Token ids, tokens in a training sequence.
    tied : bool
        Whether the output projection is the embedding's own matrix.
    """

    layers: int
    hidden: int
    heads: int
    mlp: int
    vocab_size: int
    seq_len: int
    tied: bool = False

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "mlp", "vocab_size", "seq_len"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name}: must be a whole number of at least 1, got {value!r}")
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            rule = "must be an even multiple of heads (RoPE turns pairs of coordinates)"
            raise InputError(f"hidden: {rule}, got {self.hidden} for {self.heads} heads")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def matrices(self) -> int:
        """Weights of the blocks' matrices: attention 4 h^2, SwiGLU 3 h mlp, a layer."""
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.mlp)

    @property
    def nonembedding(self) -> int:
        """All the module's weights but the embedding and the output projection: gains included."""
        return self.matrices + (2 * self.layers + 1) * self.hidden

    @property
    def nominal(self) -> int:
        """``12 L h^2``, the paper's count; near the true one where mlp is about 8 h / 3."""
        return 12 * self.layers * self.hidden**2

    @property
    def flops_per_token(self) -> float:
        """``M = 72 L h^2 + 12 L h s``: training FLOP per token with attention."""
        return float(flops_per_token(self.layers, self.hidden, self.seq_len))

    def to_dict(self) -> dict[str, Any]:
        """Plain fields, for a record."""
        return asdict(self)


def _family(rows: tuple[tuple[str, int, int, int, int], ...], vocab: int, seq: int) -> dict:
    return {name: Shape(layers, h, heads, mlp, vocab, seq) for name, layers, h, heads, mlp in rows}


# Paper table 3; 2048 tokens a sequence, a vocabulary of 250k.
PAPER: dict[str, Shape] = _family(
    (
        ("252M", 20, 1024, 16, 2752),
        ("302M", 24, 1024, 16, 2752),
        ("392M", 20, 1280, 20, 3392),
        ("470M", 24, 1280, 20, 3392),
        ("566M", 20, 1536, 24, 4096),
        ("680M", 24, 1536, 24, 4096),
        ("850M", 22, 1792, 28, 4800),
        ("1B", 24, 1920, 30, 5120),
        ("1.2B", 24, 2048, 16, 5440),
        ("1.5B", 24, 2304, 36, 6144),
        ("1.8B", 28, 2304, 36, 6144),
        ("2.5B", 32, 2560, 40, 6848),
        ("7.7B", 32, 4096, 32, 14336),
    ),
    vocab=250_000,
    seq=2048,
)
# Named by 12 L h^2; mlp is 8 h / 3 to the next multiple of 8 (16 and 64 where wide).
SMALL: dict[str, Shape] = _family(
    (
        ("31k", 2, 36, 2, 96),
        ("55k", 2, 48, 3, 128),
        ("83k", 3, 48, 3, 128),
        ("147k", 3, 64, 4, 168),
        ("249k", 4, 72, 4, 192),
        ("442k", 4, 96, 6, 256),
        ("753k", 5, 112, 7, 296),
        ("1.2M", 6, 128, 8, 344),
        ("1.8M", 6, 160, 10, 424),
        ("3.5M", 8, 192, 6, 512),
        ("6.3M", 8, 256, 8, 680),
        ("12M", 10, 320, 10, 848),
        ("21M", 12, 384, 12, 1024),
        ("34M", 14, 448, 14, 1192),
        ("50M", 16, 512, 16, 1360),
    ),
    vocab=2048,
    seq=256,
)
PRESETS: dict[str, Shape] = PAPER | SMALL


def find_shape(name: str, **changes: Any) -> Shape:
    """A preset by name, with fields such as ``vocab_size`` and ``seq_len`` changed.

    Raises
    ------
    InputError
        There is no preset of this name, or a field breaks its rule.
    """
    if name not in PRESETS:
        raise InputError(f"size: must be one of {', '.join(PRESETS)}, got {name!r}")
    return replace(PRESETS[name], **changes)
