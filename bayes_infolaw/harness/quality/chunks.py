"""Documents -> equal chunks, and samples of them that no order changes."""

import heapq
from collections.abc import Iterable, Iterator

import numpy as np

from bayes_infolaw.harness.quality.folds import draw, fold_of
from bayes_infolaw.harness.quality.settings import QualitySettings

__all__ = ["chunks_of", "sample_chunks"]


def chunks_of(text: str, size: int, most: int) -> list[str]:
    """Cut a text into equal chunks of about ``size`` characters.

    Parameters
    ----------
    text : str
    size : int
        Characters; a text shorter than 1.5 times this is one chunk.
    most : int
        Of a longer text, this many chunks evenly spaced over it.

    Returns
    -------
    list of str
        At least one.
    """
    pieces = max(1, round(len(text) / size))
    if pieces == 1:
        return [text]
    edges = [len(text) * i // pieces for i in range(pieces + 1)]
    kept = (
        range(pieces)
        if pieces <= most
        else [pieces * (2 * i + 1) // (2 * most) for i in range(most)]
    )
    return [text[edges[i] : edges[i + 1]] for i in kept]


def sample_chunks(
    texts: Iterable[str], most: int, settings: QualitySettings
) -> tuple[list[str], np.ndarray]:
    """A seeded sample of the chunks of a stream, without replacement.

    The chunks with the smallest draws are kept, so that the sample depends on what the stream
    contains and not on its order; no more than ``most`` are ever held.

    Returns
    -------
    chunks : list of str
    folds : ndarray of int, shape (chunks,)
        Fold of the document that each chunk comes from.
    """
    kept: list[tuple[int, str, int]] = []
    for number, chunk, fold in _draws(texts, settings):
        if len(kept) < most:
            heapq.heappush(kept, (-number, chunk, fold))
        elif -number > kept[0][0]:
            heapq.heapreplace(kept, (-number, chunk, fold))
    kept.sort(reverse=True)
    return [chunk for _, chunk, _ in kept], np.array([fold for *_, fold in kept], dtype=int)


def _draws(texts: Iterable[str], settings: QualitySettings) -> Iterator[tuple[int, str, int]]:
    for text in texts:
        fold = fold_of(text, settings.folds, settings.seed)
        for chunk in chunks_of(text, settings.chunk_characters, settings.chunks_per_document):
            # Another salt than the folds': else a thinned sample would have uneven folds.
            yield draw(chunk, settings.seed + 1), chunk, fold
