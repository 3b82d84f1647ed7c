"""Training and applying the two scorers, on generated text."""

import numpy as np
import pytest

from bayes_infolaw.harness.quality import QualitySettings, Scorers, fit_scorers, score_documents

pytestmark = pytest.mark.train

SETTINGS = QualitySettings(n_features=2**12, chunk_characters=300, folds=2)
NOUNS = [
    "river",
    "garden",
    "winter",
    "letter",
    "council",
    "harvest",
    "bridge",
    "teacher",
    "market",
    "window",
    "mountain",
    "story",
]
VERBS = ["follows", "remembers", "keeps", "opens", "describes", "carries", "answers", "leaves"]


def prose(rng: np.random.Generator, sentences: int) -> str:
    return " ".join(
        f"The {rng.choice(NOUNS)} of the {rng.choice(NOUNS)} {rng.choice(VERBS)} what was said, "
        f"and so it {rng.choice(VERBS)} the {rng.choice(NOUNS)}."
        for _ in range(sentences)
    )


def listing(rng: np.random.Generator, lines: int) -> str:
    return "\n".join(
        f"/usr/{rng.choice(NOUNS)}_{rng.integers(999)}.so  {rng.integers(9**9):x}"
        for _ in range(lines)
    )


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[str]]:
    rng = np.random.default_rng(5)
    return {
        "reference": [prose(rng, 12) for _ in range(40)],
        "prose": [prose(rng, int(n)) for n in rng.integers(4, 60, 60)],
        "listing": [listing(rng, int(n)) for n in rng.integers(8, 120, 60)],
    }


@pytest.fixture(scope="module")
def scorers(corpus) -> Scorers:
    return fit_scorers(corpus["reference"], corpus["prose"] + corpus["listing"], SETTINGS)


def test_each_scorer_tells_prose_from_listings(scorers, corpus):
    good = score_documents(scorers, corpus["prose"])
    bad = score_documents(scorers, corpus["listing"])
    assert good.shape == (60, 2)
    assert (good.min(axis=0) > bad.max(axis=0)).all()
