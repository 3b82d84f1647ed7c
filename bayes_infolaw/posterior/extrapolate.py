"""A table -> a plan that carries its largest run onwards."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_infolaw.tables.runs import RunTable

__all__ = ["scaled_largest_run"]


def scaled_largest_run(table: RunTable, factors: Sequence[float]) -> RunTable:
    """A plan of one run a factor: the largest-compute run with that factor on its compute.

    Size, tokens and source tokens all grow by the factor's root; recipe, repetition, overtraining
    degree and groups stay that run's own.

    Parameters
    ----------
    factors : sequence of float
        On the compute C = M K, > 0.
    """
    largest = table.subset([int(np.argmax(table.arrays().compute))]).frame
    frame = pd.concat([largest] * len(factors), ignore_index=True)
    root = np.sqrt(np.asarray(factors, dtype=float))
    scaled = ["params_nonembedding", "tokens", "source_tokens", "flops_per_token"]
    for name in [*scaled, *(f"unique_{bucket}" for bucket in table.buckets)]:
        frame[name] = frame[name].to_numpy(dtype=float) * root
    frame["run"] = [f"largest compute x {factor:g}" for factor in factors]
    facts = {**table.provenance, "plan": True}
    return replace(table, frame=frame.drop(columns="loss"), provenance=facts, notes=())
