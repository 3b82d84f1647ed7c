"""LayerMix against the law's own counts and against a slow reading of the paper's algorithm."""

import hashlib
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.layermix import (
    PackedSet,
    PackSettings,
    _generator,
    matching_source,
    pack,
)
from bayes_infolaw.harness.shards import TokenWriter, token_dtype
from bayes_infolaw.harness.store import Corpus, write_manifest

SEQ = 16
VOCAB = 60_000


def build_corpus(folder: Path, sizes: tuple[int, ...] = (2_000, 6_000, 12_000)) -> Corpus:
    """Documents whose tokens name them: token = 100 x document (over all buckets) + position."""
    rng = np.random.default_rng(1)
    (folder / "tokenizer.json").write_text("{}")
    document, buckets = 0, []
    for name, size in enumerate(sizes):
        with TokenWriter(folder, f"buckets/{name}", VOCAB, shard_tokens=3_000) as writer:
            left = size
            while left:
                length = min(left, int(rng.integers(5, 90)))
                writer.add(100 * document + np.arange(length))
                document, left = document + 1, left - length
        buckets.append({"name": f"b{name}", "shards": writer.entries, "tokens": size})
    facts = {"file": "tokenizer.json", "sha256": "-", "vocab_size": VOCAB, "end_of_text": 0}
    facts["dtype"] = token_dtype(VOCAB).str
    write_manifest(folder, {"tokenizer": facts, "buckets": buckets, "evaluation": []})
    return Corpus.open(folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_corpus(tmp_path_factory.mktemp("corpus"))


BASE = PackSettings(
    recipe={"b0": 0.6, "b1": 0.3, "b2": 0.1},
    tokens=SEQ * 500,
    source_tokens=10_000,
    subsample=0,
    order_seed=0,
    seq_len=SEQ,
)


def whole_stream(packed: PackedSet) -> np.ndarray:
    """The packed tokens, from the sequences as training reads them."""
    return packed.batch(range(packed.n_sequences))[:, :-1].ravel()


def test_counts_are_what_the_sequences_hold(corpus: Corpus) -> None:
    """Counted a second time, token by token: each token id names its document and place."""
    packed = pack(corpus, BASE)
    seen = Counter(whole_stream(packed).tolist())
    first = 0
    for name in corpus.buckets:
        documents = range(first, first + corpus.bucket(name).documents)
        mine = {t: n for t, n in seen.items() if t // 100 in documents}
        assert sum(mine.values()) == packed.counts[name].packed
        assert len(mine) == packed.counts[name].unique
        assert len({t // 100 for t in mine}) == packed.counts[name].documents
        first = documents.stop
    assert sum(seen.values()) == BASE.tokens


def test_the_laws_counts_hold(corpus: Corpus) -> None:
    """n_d = w_d K, s_d = v_d S, U_d = min(n_d, s_d), T_d = n_d / U_d (design.md section 1)."""
    packed = pack(corpus, BASE)
    for share, name, v in zip(BASE.recipe.values(), corpus.buckets, corpus.shares, strict=True):
        count = packed.counts[name]
        assert abs(count.packed - share * BASE.tokens) < 1
        assert abs(count.source - v * BASE.source_tokens) < 1
        assert count.unique == min(count.packed, count.source)
        assert count.repetition == count.packed / count.unique


def test_repetition_is_as_even_as_documents_allow(corpus: Corpus) -> None:
    packed = pack(corpus, BASE)
    times = Counter(whole_stream(packed).tolist())
    whole = packed.counts["b0"].packed // packed.counts["b0"].source
    documents = corpus.bucket("b0").documents
    assert {n for t, n in times.items() if t // 100 < documents} == {whole, whole + 1}
    assert whole == 4


def test_targets_are_the_inputs_one_further(corpus: Corpus) -> None:
    packed = pack(corpus, BASE)
    stream = packed.stream(0, BASE.tokens)
    for index in range(packed.n_sequences):
        sequence = packed.sequence(index)
        start = int(packed.order[index]) * SEQ
        np.testing.assert_array_equal(
            sequence, np.take(stream, np.arange(start, start + SEQ + 1), mode="wrap")
        )


@pytest.mark.parametrize("field", ["tokens", "source_tokens"])
def test_subsamples_and_draws_are_nested(corpus: Corpus, field: str) -> None:
    """What a smaller run sees, a larger one sees too, whatever the order seed."""
    small = pack(corpus, replace(BASE, **{field: getattr(BASE, field) // 2}))
    large = pack(corpus, replace(BASE, order_seed=7))
    assert set(whole_stream(small).tolist()) <= set(whole_stream(large).tolist())


def test_recipes_share_their_source(corpus: Corpus) -> None:
    other = pack(corpus, replace(BASE, recipe={"b0": 0.9, "b1": 0.05, "b2": 0.05}))
    base = pack(corpus, BASE)
    top = range(100 * corpus.bucket("b0").documents)
    mine, its = (set(whole_stream(p).tolist()) & set(top) for p in (base, other))
    assert mine == its


def test_pieces_spread_a_small_source_over_more_documents(corpus: Corpus) -> None:
    """Pieces of 10 tokens: the same counts, more documents, and each piece in its own order."""
    small = replace(BASE, source_tokens=2_000)
    whole, pieces = pack(corpus, small), pack(corpus, replace(small, unit_tokens=10))
    seen = Counter(whole_stream(pieces).tolist())
    for name in ("b1", "b2"):
        a, b = whole.counts[name], pieces.counts[name]
        assert (a.source, a.packed, a.unique) == (b.source, b.packed, b.unique)
        assert b.documents > 2 * a.documents
    assert len(seen) == sum(count.unique for count in pieces.counts.values())
    stream = pieces.stream(0, BASE.tokens)
    breaks = np.flatnonzero(np.diff(stream) != 1) + 1
    assert max(np.diff(breaks)) <= 20  # two pieces of one document may meet
    everything = pack(
        corpus,
        replace(
            BASE,
            source_tokens=20_000,
            tokens=SEQ * 1250,
            unit_tokens=10,
            recipe=dict(zip(corpus.buckets, corpus.shares, strict=True)),
        ),
    )
    assert max(Counter(whole_stream(everything).tolist()).values()) == 1


def test_seeds_decide_and_nothing_else(corpus: Corpus, tmp_path: Path) -> None:
    again = pack(build_corpus(tmp_path), BASE)
    base = whole_stream(pack(corpus, BASE))
    np.testing.assert_array_equal(base, whole_stream(again))
    shuffled = whole_stream(pack(corpus, replace(BASE, order_seed=1)))
    assert (base != shuffled).any()
    assert Counter(base.tolist()) == Counter(shuffled.tolist())
    assert set(base.tolist()) != set(
        whole_stream(pack(corpus, replace(BASE, subsample=1))).tolist()
    )


def test_draws_are_those_of_the_records(corpus: Corpus) -> None:
    """Published records are packed again by their settings alone: the draws must never change."""
    for unit, known in ((None, "c7535ee9a84b8141"), (10, "b4187b6ac0b15de3")):
        packed = pack(corpus, replace(BASE, subsample=3, order_seed=5, unit_tokens=unit))
        sequences = packed.batch(range(packed.n_sequences)).astype("<i8")
        assert hashlib.sha256(sequences.tobytes()).hexdigest()[:16] == known


def test_no_two_streams_share_their_random_numbers() -> None:
    """SeedSequence joins 32-bit words: [2**32 + 5, 2] alone would be [5, 1, 2], another stream."""
    seeds = [0, 1, 5, 2**32 - 1, 2**32, 2**32 + 5, 2 * 2**32 + 5, 2**64 + 5, 2**96 + 5]
    streams = [(1, 0), (1, 1), (1, 2), (1, 3), (2,), (3,)]
    drawn = [
        tuple(_generator(seed, *stream).integers(2**62, size=3))
        for seed in seeds
        for stream in streams
    ]
    assert len(set(drawn)) == len(drawn)


def test_a_small_source_of_many_documents_takes_little_memory() -> None:
    """Some 24 bytes a document for its length, its place in the order and the end of its units."""
    documents = 1_000_000
    lengths = np.full(documents, 600)
    store = SimpleNamespace(lengths=lengths, tokens=600 * documents, name="b0")
    large = SimpleNamespace(buckets=("b0",), bucket=lambda _: store)
    small = replace(BASE, recipe={"b0": 1.0})
    tracemalloc.start()
    packed = pack(large, small)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert packed.counts["b0"].unique == BASE.tokens
    assert peak < 40 * documents


def test_training_order_is_not_the_streams(corpus: Corpus) -> None:
    """Sequences that follow each other in training rarely follow each other in the stream."""
    packed = pack(corpus, BASE)
    follows = [
        packed.sequence(i)[-1] == packed.sequence(i + 1)[0] for i in range(packed.n_sequences - 1)
    ]
    assert np.mean(follows) < 0.03


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    shares=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    sequences=st.integers(1, 900),
    source=st.integers(200, 20_000),
)
def test_every_token_is_accounted_for(
    corpus: Corpus, shares: list[float], sequences: int, source: int
) -> None:
    recipe = dict(zip(corpus.buckets, np.array(shares) / sum(shares), strict=True))
    settings = replace(BASE, recipe=recipe, tokens=SEQ * sequences, source_tokens=source)
    packed = pack(corpus, settings)
    assert sum(count.packed for count in packed.counts.values()) == settings.tokens
    assert sum(count.source for count in packed.counts.values()) == source
    assert all(count.unique <= count.source for count in packed.counts.values())
    assert len(whole_stream(packed)) == settings.tokens


def test_a_smaller_source_matches_the_targets_repetition(corpus: Corpus) -> None:
    target = pack(corpus, BASE)
    tokens = BASE.tokens // 4
    source = matching_source(BASE.source_tokens, BASE.tokens, tokens)
    proxy = pack(corpus, replace(BASE, tokens=tokens, source_tokens=source))
    for name in corpus.buckets:
        assert proxy.counts[name].repetition == pytest.approx(
            target.counts[name].repetition, rel=1e-2
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": {"b0": 0.5}}, "must sum to 1, got 0.5"),
        ({"recipe": {"b0": 1.5, "b1": -0.5}}, r"share of 'b0' must be in \[0, 1\], got 1.5"),
        ({"recipe": {"best": 1.0}}, "among b0, b1, b2, got 'best'"),
        ({"tokens": 100}, "multiple of the sequence length 16, got 100"),
        ({"source_tokens": 30_000}, "at most the corpus's 20000 tokens, got 30000"),
        ({"source_tokens": 0}, "must be at least 1, got 0"),
        ({"subsample": -1}, "subsample: must be at least 0, got -1"),
        ({"order_seed": -2}, "order_seed: must be at least 0, got -2"),
        ({"unit_tokens": 0}, "unit_tokens: must be at least 1, got 0"),
        ({"source_tokens": 2, "recipe": {"b0": 1.0}}, "'b0' must have source tokens"),
    ],
)
def test_bad_settings_are_named(corpus: Corpus, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack(corpus, replace(BASE, **change))
