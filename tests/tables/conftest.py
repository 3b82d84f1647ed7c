"""Small good tables, which each test spoils in one place."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def two_buckets() -> pd.DataFrame:
    """Eight good runs over the buckets web and books; nothing measured, M given."""
    params = np.array([1e8, 1e8, 2e8, 2e8, 4e8, 4e8, 8e8, 8e8])
    web = np.array([0.75, 0.25] * 4)
    return pd.DataFrame(
        {
            "run": [f"r{i}" for i in range(8)],
            "loss": np.linspace(3.6, 2.9, 8),
            "params_nonembedding": params,
            "tokens": 20 * params,
            "source_tokens": 10 * params,
            "w_web": web,
            "w_books": 1 - web,
            "share_web": 0.5,
            "share_books": 0.5,
            "flops_per_token": 7 * params,
        }
    )


@pytest.fixture
def one_bucket() -> pd.DataFrame:
    """Six good runs on one corpus, half of them repeated four times."""
    params = np.array([1e8, 1e8, 2e8, 2e8, 4e8, 4e8])
    tokens = 20 * params
    return pd.DataFrame(
        {
            "run": list("abcdef"),
            "loss": [3.5, 3.6, 3.3, 3.4, 3.1, 3.2],
            "params_nonembedding": params,
            "tokens": tokens,
            "unique_tokens": tokens / np.array([0.5, 4.0] * 3),
        }
    )
