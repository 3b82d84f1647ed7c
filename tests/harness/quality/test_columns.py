"""Score columns by name, and their values as dumps store them."""

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.quality import read_score, score_columns

DCLM = "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob"


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["text", "id", "dump", "score", "int_score", "token_count"], ("score",)),  # FineWeb-Edu
        (["url", "text", DCLM, "language_id_whole_page_fasttext"], (DCLM,)),
        ([DCLM, "score"], ("score", DCLM)),
        (["text", "int_score", "scores"], ()),
    ],
)
def test_score_columns_are_known_by_name(names, known):
    assert score_columns(names) == known


def test_scores_read_as_numbers_and_as_text():
    values = ["0.018", 0.5, np.float32(0.25), 3, " 1e-3 "]
    np.testing.assert_array_equal(read_score(values), [0.018, 0.5, 0.25, 3.0, 0.001])


@pytest.mark.parametrize("bad", [None, "", "high", float("nan"), "inf", [1.0]])
def test_a_value_that_is_no_score_is_named(bad):
    with pytest.raises(InputError, match="score: row 1 must be a finite number, got"):
        read_score([0.5, bad, 0.25])
