"""Which models may score a document, and what makes their scores comparable."""

import hashlib

import numpy as np

__all__ = ["draw", "fold_of", "held_out_scale"]


def fold_of(text: str, folds: int, seed: int) -> int:
    """The fold of a document, drawn from its text: the same in every process and every order."""
    return draw(text, seed) % folds


def draw(text: str, seed: int) -> int:
    """A number of 64 bits that depends on the text and the seed alone."""
    content = text.encode("utf-8", "surrogatepass")
    salt = seed.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, salt=salt).digest(), "little")


def held_out_scale(
    scores: np.ndarray, is_reference: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each model over the corpus chunks of its own fold.

    The models of the folds saw different text and, where the reference is small, come out on
    different scales. Each fold is a random part of the corpus, so its scores must have the same
    distribution as the others'.

    Parameters
    ----------
    scores : ndarray, shape (chunks, folds)
        Of every chunk under every model.
    is_reference : ndarray of bool, shape (chunks,)
    folds : ndarray of int, shape (chunks,)

    Returns
    -------
    mean, sd : ndarray, shape (folds,)
        Over all chunks of the corpus where a fold has fewer than two, or no spread.
    """
    n_folds = scores.shape[1]
    own = [scores[(folds == fold) & ~is_reference, fold] for fold in range(n_folds)]
    every = [scores[~is_reference, fold] for fold in range(n_folds)]
    used = [
        mine if len(mine) > 1 and mine.std() > 0 else all_
        for mine, all_ in zip(own, every, strict=True)
    ]
    sd = np.array([values.std() for values in used])
    return np.array([values.mean() for values in used]), np.where(sd > 0, sd, 1.0)
