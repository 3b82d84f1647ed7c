"""One small corpus on disk, and how to build it."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bayes_infolaw.harness.corpus.build import Inputs, Where, build_corpus
from bayes_infolaw.harness.corpus.settings import CorpusSettings, HeldOut, TokenizerSettings
from bayes_infolaw.harness.quality import QualitySettings

from ..generated import generate_documents

QUALITY = QualitySettings(
    reference_chunks=200, corpus_chunks=400, n_features=2**12, folds=2
).to_dict()
SETTINGS = CorpusSettings(
    tokenizer=TokenizerSettings(vocab_size=300, sample_mb=1),
    reference_sources=("primer",),
    chunk_mb=1,
    quality=QUALITY,
)
N_COPIES, N_LEAKS, N_QUOTES, N_EXAMPLES = 12, 5, 4, 3


@contextmanager
def silent(label):
    yield lambda done, total: None


def write(path: Path, rows) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def renamed(rows, suffix, **changes):
    return [{**row, "id": row["id"] + suffix, **changes} for row in rows]


@pytest.fixture(scope="session")
def documents():
    """The rows of the input by kind: three files, with copies, leaks and quotes of the test."""
    own = generate_documents(300, seed=1)
    test = renamed(generate_documents(30, 2, "clean"), "", source="library")
    essays = [row for row in own if row["source"] == "essays"]
    copies = renamed([row for row in own if row["source"] == "web"][:N_COPIES], "-copy")
    leaks = renamed(test[:N_LEAKS], "-leak", source="web")
    quotes = [
        {**row, "id": row["id"] + "-quote", "text": row["text"] + " " + quoted["text"][:400]}
        for row, quoted in zip(essays[:N_QUOTES], test[10:], strict=False)
    ]
    primers = [row for row in own if row["source"] == "primer"]
    examples = renamed(primers[:N_EXAMPLES], "-again", source="web")
    copied = {"copies": copies, "leaks": leaks, "quotes": quotes, "examples": examples}
    return {"own": own, **copied, "test": test}


@pytest.fixture(scope="session")
def inputs(documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    kinds = ("copies", "leaks", "quotes", "examples")
    rest = [row for kind in kinds for row in documents[kind]]
    files = [
        write(folder / "a.parquet", documents["own"][:150]),
        write(folder / "b.parquet", documents["own"][150:] + rest),
        write(folder / "c.parquet", [{**documents["own"][0], "id": "blank", "text": " \n"}]),
    ]
    held_out = write(folder / "test.parquet", documents["test"])
    return Inputs(tuple(files), heldout=(("library", (held_out,)),))


@pytest.fixture(scope="session")
def build():
    def run(out, inputs, settings=SETTINGS, where=Where("inline"), **changes):  # noqa: B008
        settings = replace(settings, **changes)
        return build_corpus(out, inputs, settings, where=where, progress=silent)

    return run


@pytest.fixture(scope="session")
def built(build, inputs, tmp_path_factory):
    """The folder and its manifest."""
    folder = tmp_path_factory.mktemp("corpus") / "built"
    return folder, build(folder, inputs)


@pytest.fixture(scope="session")
def split_settings():
    return replace(SETTINGS, heldout=HeldOut(fraction=0.2), reference_sources=("primer",))
