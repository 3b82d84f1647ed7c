"""Held-out losses: which tokens are predicted from what, and the errors over documents."""

import math

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from bayes_infolaw.errors import InputError  # noqa: E402
from bayes_infolaw.harness.shapes import Shape  # noqa: E402
from bayes_infolaw.harness.store import Corpus  # noqa: E402
from bayes_infolaw.harness.training.evaluate import (  # noqa: E402
    DocumentLosses,
    EvaluationSet,
    chosen_documents,
    paired_difference,
    ratio_and_error,
    read_document_losses,
    write_document_losses,
)
from bayes_infolaw.harness.training.strategy import SingleProcess  # noqa: E402
from bayes_infolaw.harness.training.transformer import Transformer  # noqa: E402

from ..generated import generate_corpus  # noqa: E402

SHAPE = Shape(layers=1, hidden=16, heads=2, mlp=40, vocab_size=300, seq_len=24)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return Corpus.open(generate_corpus(tmp_path_factory.mktemp("corpus") / "c", 120))


@pytest.fixture(scope="module")
def model() -> Transformer:
    made = Transformer(SHAPE)
    made.initialise(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(8.0 if weight.ndim > 1 else 1.0)  # far from uniform predictions
    return made


def evaluation_set(corpus: Corpus, max_tokens: int | None = None, seq_len: int = 24):
    store = corpus.evaluation["heldout"]
    return EvaluationSet(store, corpus.end_of_text, seq_len, max_tokens)


class Echo(torch.nn.Module):
    """A "model" whose loss of a token is the input (or the target) at its place."""

    def __init__(self, of_target: bool) -> None:
        super().__init__()
        self.of_target, self.unused = of_target, torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, targets, each):
        return (targets if self.of_target else inputs).float()


def test_every_token_of_a_text_is_predicted_once(corpus):
    store = corpus.evaluation["heldout"]
    found = evaluation_set(corpus).losses(Echo(of_target=True))
    assert len(found.nats) == store.documents
    for place, document in enumerate(found.document):
        text = store.read(int(document))
        assert text[-1] == corpus.end_of_text
        assert found.nats[place] == text[:-1].sum()
        assert found.tokens[place] == len(text) - 1


def test_every_token_is_predicted_after_the_one_before_it(corpus):
    found = evaluation_set(corpus).losses(Echo(of_target=False))
    for place, document in enumerate(found.document):
        text = corpus.evaluation["heldout"].read(int(document))
        assert found.nats[place] == corpus.end_of_text + text[:-2].sum()


def test_losses_are_those_of_each_window_alone(corpus, model):
    found = evaluation_set(corpus).losses(model)
    store = corpus.evaluation["heldout"]
    for place in range(0, len(found.document), 5):
        text = store.read(int(found.document[place]))
        stream = torch.from_numpy(np.concatenate([[corpus.end_of_text], text[:-1]]))
        total = 0.0
        for start in range(0, len(stream) - 1, 24):
            window = stream[start : start + 25]
            chances = model(window[None, :-1]).double().log_softmax(-1)[0]
            total -= chances.gather(1, window[1:, None]).sum().item()
        assert found.nats[place] == pytest.approx(total, rel=1e-5)


def test_batching_changes_nothing_but_rounding(corpus, model, monkeypatch):
    wanted = evaluation_set(corpus).losses(model).nats
    monkeypatch.setattr("bayes_infolaw.harness.training.evaluate.BATCH_TOKENS", {"cpu": 30})
    np.testing.assert_allclose(evaluation_set(corpus).losses(model).nats, wanted, rtol=1e-5)


def test_the_model_trains_on_after_an_evaluation(corpus, model):
    model.train()
    evaluation_set(corpus).losses(model)
    assert model.training
    assert torch.is_grad_enabled()


class OneOf(SingleProcess):
    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world


@pytest.mark.parametrize("world", [2, 3, 50])
def test_batches_dealt_to_processes_sum_to_the_whole(corpus, model, monkeypatch, world):
    monkeypatch.setattr("bayes_infolaw.harness.training.evaluate.BATCH_TOKENS", {"cpu": 400})
    made = evaluation_set(corpus)
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    parts, counts = [], []
    for rank in range(world):
        calls.clear()
        parts.append(made.losses(model, OneOf(rank, world)).nats)
        counts.append(len(calls))
    np.testing.assert_allclose(sum(parts), made.losses(model).nats, rtol=1e-12)
    assert len(set(counts)) == 1, "sharded models need as many calls in every process"


def test_bits_per_byte_are_of_the_same_nats(corpus, model):
    found = evaluation_set(corpus).losses(model)
    summary = found.summary()
    store = corpus.evaluation["heldout"]
    assert summary.documents == store.documents
    assert summary.tokens == store.tokens - store.documents
    per_byte = summary.nats_per_token * summary.tokens / store.document_bytes.sum() / math.log(2)
    assert summary.bits_per_byte == pytest.approx(per_byte)


def test_subsets_are_nested_and_the_same_for_all(corpus):
    lengths = corpus.evaluation["heldout"].lengths
    few, more = (chosen_documents(lengths, n) for n in (300, 1500))
    assert set(few) < set(more) < set(chosen_documents(lengths, None))
    for chosen, wanted in ((few, 300), (more, 1500)):
        assert wanted <= (lengths[chosen] - 1).sum() < wanted + lengths.max()
    assert np.array_equal(few, chosen_documents(lengths, 300))


def test_losses_on_a_subset_are_part_of_the_whole(corpus, model):
    subset = evaluation_set(corpus, 500)
    part = evaluation_set(corpus).losses(model).only(subset.documents)
    np.testing.assert_allclose(part.nats, subset.losses(model).nats, rtol=1e-5)
    assert np.array_equal(part.bytes, subset.bytes)


def test_texts_without_a_token_are_left_out():
    assert list(chosen_documents(np.array([1, 5, 1, 2]), None)) == [1, 3]


def test_a_ratios_error_is_its_spread_over_samples():
    rng = np.random.default_rng(0)
    n, samples = 80, 3000
    sizes = rng.lognormal(4, 0.8, (samples, n))
    totals = sizes * rng.normal(3.0, 0.4, (samples, n)) + 5 * rng.normal(size=(samples, n))
    found = np.array([ratio_and_error(x, y) for x, y in zip(totals, sizes, strict=True)])
    spread = found[:, 0].std()
    # The spread is known to 1/sqrt(2 samples) = 1.3 %; the linear form is 2 % low at n = 80.
    assert np.sqrt((found[:, 1] ** 2).mean()) == pytest.approx(spread, rel=0.07)
    inside = np.abs(found[:, 0] - 3.0) < 1.96 * found[:, 1]
    assert 0.92 < inside.mean() < 0.97


def test_one_document_has_no_error():
    assert math.isnan(ratio_and_error(np.array([3.0]), np.array([2.0]))[1])


def losses(nats, tokens) -> DocumentLosses:
    tokens = np.asarray(tokens)
    return DocumentLosses(np.arange(len(tokens)), tokens, 3 * tokens, np.asarray(nats, float))


def test_a_paired_difference_is_without_what_documents_share():
    rng = np.random.default_rng(1)
    tokens = rng.integers(50, 500, size=200)
    hardness = rng.normal(3, 0.5, size=200)
    one = losses(tokens * (hardness + 0.01), tokens)
    other = losses(tokens * hardness, tokens)
    difference, error = paired_difference(one, other)
    assert difference == pytest.approx(0.01)
    assert error < 1e-9 < one.summary().nats_per_token_se
    with pytest.raises(InputError, match="same documents"):
        paired_difference(one, one.only(np.arange(10)))


def test_document_losses_survive_their_file(tmp_path):
    wanted = losses([1.25, 1 / 3], [4, 9])
    names = write_document_losses(tmp_path, {"heldout": wanted})
    found = read_document_losses(tmp_path / names["heldout"])
    for field in ("document", "tokens", "bytes", "nats"):
        assert np.array_equal(getattr(found, field), getattr(wanted, field))


def test_the_error_of_three_documents_is_worked_out_by_hand():
    """R = 12 / 6; residuals -1, 1, 0; se^2 = 3 / 2 x 2 / 36: few enough that n - 1 shows."""
    ratio, error = ratio_and_error(np.array([1.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert ratio == 2.0
    assert error == pytest.approx(math.sqrt(3 / 2 * 2) / 6, rel=1e-12)
