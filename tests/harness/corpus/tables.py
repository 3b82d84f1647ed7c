"""Small tables on disk in every format, and all documents that are read from them."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from bayes_infolaw.harness.corpus.documents import read_documents
from bayes_infolaw.harness.corpus.inputs import list_parts
from bayes_infolaw.harness.corpus.readers import BATCH
from bayes_infolaw.harness.corpus.settings import Columns

ROWS = [
    {"id": f"d{i}", "source": "web", "license": "MIT", "text": f"Text {i} é\n", "score": i / 7}
    for i in range(2 * BATCH + 3)
]


def read(path, columns=Columns(), scored=True):  # noqa: B008
    batches = [
        batch
        for part in list_parts([str(path)], "input")
        for batch in read_documents(part, columns, scored)
    ]
    names = ("ids", "texts", "sources", "licences")
    found = {name: [v for batch in batches for v in getattr(batch, name)] for name in names}
    scores = {name: np.concatenate([b.scores[name] for b in batches]) for name in batches[0].scores}
    return found, scores


def write_jsonl(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    half = text.index(b"\n", len(text) // 2) + 1  # two members: what `cat` of two files makes
    pieces = (text[:half], text[half:])
    pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    if path.suffix in pack:
        pieces = tuple(pack[path.suffix](piece) for piece in pieces)
    path.write_bytes(b"".join(pieces))


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
