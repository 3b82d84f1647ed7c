"""Generated prose and listings, for tests of the scorers."""

import numpy as np

__all__ = ["listing", "prose"]

NOUNS = ["river", "garden", "winter", "letter", "council", "harvest", "bridge", "teacher", "market"]
VERBS = ["follows", "remembers", "keeps", "opens", "describes", "carries", "answers", "leaves"]


def prose(rng: np.random.Generator, sentences: int) -> str:
    """Sentences of one form."""
    return " ".join(_sentence(rng) for _ in range(sentences))


def _sentence(rng: np.random.Generator) -> str:
    one, two, three = rng.choice(NOUNS, 3)
    first, second = rng.choice(VERBS, 2)
    return f"The {one} of the {two} {first} what was said, and so it {second} the {three}."


def listing(rng: np.random.Generator, lines: int) -> str:
    """Lines of paths and hexadecimal numbers."""
    return "\n".join(
        f"/usr/{rng.choice(NOUNS)}_{rng.integers(999)}.so  {rng.integers(9**9):x}"
        for _ in range(lines)
    )
