"""Build a corpus of N files and print the peak memory: run by `test_engines`, in a process.

The samples that scorers and tokenizer learn from have a fixed size; here they are small enough
for the smallest corpus to fill them, so that what is left to grow is what depends on the corpus.
"""

import json
import resource
import sys
from contextlib import contextmanager
from pathlib import Path

from bayes_infolaw.harness.corpus.build import Inputs, Where, build_corpus
from bayes_infolaw.harness.corpus.settings import CorpusSettings, TokenizerSettings
from bayes_infolaw.harness.quality import QualitySettings

SETTINGS = CorpusSettings(
    tokenizer=TokenizerSettings(vocab_size=400, sample_mb=1),
    reference_sources=("primer",),
    chunk_mb=1,
    quality=QualitySettings(reference_chunks=100, corpus_chunks=400, n_features=2**14).to_dict(),
)


@contextmanager
def silent(label):
    yield lambda done, total: None


def main(folder: Path, n: int) -> None:
    documents = tuple(str(folder / f"{i:02d}.parquet") for i in range(n))
    inputs = Inputs(documents, heldout=(("heldout", (str(folder / "test.parquet"),)),))
    where = Where("local", 2)
    build_corpus(folder / f"out{n}", inputs, SETTINGS, where=where, progress=silent)
    uses = {"main": resource.RUSAGE_SELF, "worker": resource.RUSAGE_CHILDREN}
    peaks = {name: resource.getrusage(who).ru_maxrss / 1024 for name, who in uses.items()}
    print(json.dumps(peaks))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
