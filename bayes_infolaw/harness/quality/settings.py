"""What the two quality scorers are trained with."""

from dataclasses import asdict, dataclass
from typing import Any

from bayes_infolaw.errors import InputError

__all__ = ["QualitySettings"]


@dataclass(frozen=True)
class QualitySettings:
    """Settings of the scorers; the defaults suit corpora from some 10 MB to some TB.

    Attributes
    ----------
    seed : int
        Draws the training samples and the folds.
    reference_chunks, corpus_chunks : int
        Most chunks of each class that are trained on; more are thinned by a seeded reservoir.
    chunk_characters : int
        Documents are cut into equal chunks of about this size and score the mean of their chunks,
        so that a document's length doesn't decide its score.
    chunks_per_document : int
        Most chunks of a document that are looked at, evenly spaced over it.
    n_features : int
        Hashed word uni- and bigrams of the linear classifier.
    l2 : float
        Strength of its penalty: C of scikit-learn's `LogisticRegression` is 1 / l2.
    statistics_l2 : float
        Strength of the penalty of the text statistics' model.
    range_tail : float
        Share of the reference beyond either border of a statistic's range.
    folds : int
        A document is scored by the models that were trained without its fold.
    """

    seed: int = 0
    reference_chunks: int = 10_000
    corpus_chunks: int = 20_000
    chunk_characters: int = 2000
    chunks_per_document: int = 32
    n_features: int = 2**18
    l2: float = 10.0
    statistics_l2: float = 1.0
    range_tail: float = 0.05
    folds: int = 4

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(
                    f"{name}: must be a whole number of at least {least}, got {value!r}"
                )
        for name in ("l2", "statistics_l2"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name}: must be positive, got {getattr(self, name)!r}")
        if not 0 <= self.range_tail < 0.5:
            raise InputError(f"range_tail: must be in [0, 0.5), got {self.range_tail!r}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "QualitySettings":
        """Read what `to_dict` wrote.

        Raises
        ------
        InputError
            A name is unknown or a value out of bounds.
        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(f"quality settings: unknown names {unknown}")
        return cls(**values)


_LEAST = {
    "seed": 0,
    "reference_chunks": 1,
    "corpus_chunks": 1,
    "chunk_characters": 100,
    "chunks_per_document": 1,
    "n_features": 2,
    "folds": 2,
}
