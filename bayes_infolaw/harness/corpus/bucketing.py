"""The stage that cuts the scores of all chunks into buckets."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.buckets import Scored, assign, find_borders
from bayes_infolaw.harness.corpus.chunks import read_column
from bayes_infolaw.harness.corpus.clusters import KEPT
from bayes_infolaw.harness.corpus.work import Work

__all__ = ["bucket_documents"]


def bucket_documents(work: Work, _: None) -> dict[str, Any]:
    """Save the bucket of each document kept; tell the documents of each bucket."""
    settings = work.settings
    borders = find_borders(lambda: _stream(work), settings.percentiles)
    documents = np.zeros(len(settings.bucket_names), dtype=np.int64)
    for chunk, (first, scores, _bytes) in zip(work.chunks, _stream(work), strict=True):
        buckets = assign(first, scores, borders)
        work.save("buckets", chunk, buckets)
        documents += np.bincount(buckets, minlength=len(documents))
    if not documents.all():
        empty = settings.bucket_names[int(np.argmin(documents))]
        rule = "every bucket must have a document; take wider ones or more input"
        raise InputError(f"percentiles: {rule}, bucket {empty!r} has none")
    return {"documents": documents.tolist()}


def _stream(work: Work) -> Iterator[Scored]:
    """Scores and bytes of the documents kept, numbered among themselves."""
    first = 0
    for chunk in work.chunks:
        kept = work.array("fates", chunk) == KEPT
        scores = work.array("quality", chunk)
        yield first, scores, read_column(work.documents(chunk), "bytes")[0][kept]
        first += len(scores)
