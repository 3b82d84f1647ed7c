"""Training: the steps against plain formulas, what it teaches, what it records and refuses."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from bayes_infolaw.errors import InputError  # noqa: E402
from bayes_infolaw.harness.layermix import pack  # noqa: E402
from bayes_infolaw.harness.record import DivergedError, read_record, write_record  # noqa: E402
from bayes_infolaw.harness.store import Corpus  # noqa: E402
from bayes_infolaw.harness.training.batches import _ahead  # noqa: E402
from bayes_infolaw.harness.training.log import LOG  # noqa: E402
from bayes_infolaw.harness.training.optimiser import make_optimiser, set_learning_rate  # noqa: E402
from bayes_infolaw.harness.training.trainer import train_run  # noqa: E402
from bayes_infolaw.harness.training.transformer import Transformer  # noqa: E402

from ..generated import generate_corpus  # noqa: E402
from .training_run import TINY, outcome, tiny_settings  # noqa: E402


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return Corpus.open(generate_corpus(tmp_path_factory.mktemp("corpus") / "c"))


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def statuses():
    return []


@pytest.fixture(scope="module")
def record(corpus, work, statuses):
    def watch(done, total, *, status):
        statuses.append(status)

    return train_run(tiny_settings(log_seconds=1e-6), corpus, work, progress=watch)


def plain_adamw(settings, batches, steps):
    """Training written out: textbook AdamW in float64 moments, clipping by hand."""
    model = Transformer(settings.shape)
    model.initialise(settings.seed)
    named = dict(model.named_parameters())
    first = {n: torch.zeros_like(p) for n, p in named.items()}
    second = {n: torch.zeros_like(p) for n, p in named.items()}
    losses, norms = [], []
    for step in range(steps):
        rows = torch.from_numpy(batches[step])
        loss = torch.nn.functional.cross_entropy(
            model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()
        )
        grads = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
        norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in grads.values()))
        losses.append(loss.item())
        norms.append(norm)
        rate = settings.budget.learning_rate_at(step, settings)
        for name, weight in named.items():
            grad = grads[name] * min(1.0, settings.clip / norm)
            first[name] = settings.beta1 * first[name] + (1 - settings.beta1) * grad
            second[name] = settings.beta2 * second[name] + (1 - settings.beta2) * grad**2
            mean = first[name] / (1 - settings.beta1 ** (step + 1))
            square = second[name] / (1 - settings.beta2 ** (step + 1))
            decay = settings.weight_decay if weight.ndim > 1 and name != "embedding.weight" else 0
            with torch.no_grad():
                weight.mul_(1 - rate * decay).sub_(rate * mean / (square.sqrt() + 1e-8))
    return losses, norms


def test_steps_are_those_of_the_plain_formulas(corpus, record, statuses):
    settings = tiny_settings()
    packed = pack(corpus, settings.packing)
    batches = [packed.batch(range(8 * step, 8 * step + 8)) for step in range(6)]
    losses, norms = plain_adamw(settings, batches, 6)
    assert [s.loss for s in statuses[:6]] == pytest.approx(losses, rel=2e-5)
    assert [s.grad_norm for s in statuses[:6]] == pytest.approx(norms, rel=2e-4)


def test_the_learning_rate_warms_up_and_falls(statuses):
    rates = np.array([status.learning_rate for status in statuses])
    assert rates[:2] == pytest.approx([5e-3, 1e-2])  # 3 % of 64 steps are two
    assert np.all(np.diff(rates[2:]) < 0)
    assert rates[-1] == pytest.approx(1e-3)


def test_a_run_learns_more_than_the_tokens_frequencies(corpus, record):
    clean = [t for d in corpus.bucket("0") for t in d.tolist()]
    counts = Counter(clean)
    held_out = [t for d in corpus.evaluation["heldout"] for t in d[:-1].tolist()]
    chance = sum(-math.log((counts[t] + 1) / (len(clean) + 300)) for t in held_out) / len(held_out)
    assert record.losses["heldout"].nats_per_token < chance
    points = [point["losses"]["heldout"] for point in record.curve]
    assert points[-1] < points[0] < math.log(300)


def test_a_better_recipe_has_the_lower_loss(corpus, tmp_path):
    found = [
        train_run(tiny_settings(recipe={bucket: 1.0}), corpus, tmp_path / bucket)
        for bucket in ("0", "2")
    ]
    good, poor = (record.losses["heldout"].nats_per_token for record in found)
    assert good < poor - 0.1


def test_the_curve_has_a_point_every_eighth(record):
    assert [point["step"] for point in record.curve] == [8, 16, 24, 32, 40, 48, 56, 64]
    assert [point["tokens"] for point in record.curve] == [256 * 8 * k for k in range(1, 9)]


def test_training_losses_on_the_curve_are_means_since_the_point_before(record, statuses):
    for k, point in enumerate(record.curve):
        mean = math.fsum(status.loss for status in statuses[8 * k : 8 * k + 8]) / 8
        assert point["train_loss"] == pytest.approx(mean, rel=1e-12)


def test_the_curves_end_is_the_final_loss_where_all_documents_are_taken(corpus, tmp_path):
    record = train_run(tiny_settings(eval_tokens=None, eval_every=1.0), corpus, tmp_path)
    assert len(record.curve) == 1
    final = record.losses["heldout"].nats_per_token
    assert record.curve[0]["losses"]["heldout"] == pytest.approx(final, rel=1e-12)


def test_same_settings_give_the_same_bits(corpus, record, tmp_path):
    assert outcome(train_run(tiny_settings(), corpus, tmp_path)) == outcome(record)


def test_two_threads_give_the_same_bits_twice(corpus, tmp_path):
    settings = tiny_settings(threads=2, tokens=4 * 256)
    found = [outcome(train_run(settings, corpus, tmp_path / n)) for n in ("a", "b")]
    assert found[0] == found[1]


@pytest.mark.parametrize("seed", ["seed", "order_seed", "subsample"])
def test_each_seed_counts(corpus, record, tmp_path, seed):
    other = train_run(tiny_settings(**{seed: 1}), corpus, tmp_path)
    assert other.losses != record.losses


@pytest.mark.parametrize("rows", [1, 3, 8, 100])
def test_a_batch_in_parts_is_the_same_batch(corpus, record, tmp_path, rows):
    found = train_run(tiny_settings(micro_batch=rows), corpus, tmp_path)
    wanted = record.losses["heldout"].nats_per_token
    assert found.losses["heldout"].nats_per_token == pytest.approx(wanted, rel=1e-4)


def test_a_record_is_whole(corpus, record, work, tmp_path):
    assert (record.status, record.tokens, record.steps) == ("finished", 16384, 64)
    assert record.corpus["hash"] == corpus.hash
    assert sum(count.packed for count in record.counts.values()) == record.tokens
    assert record.resources["tokens_per_second"] > 0
    assert record.resources["seconds"] >= record.resources["train_seconds"] > 0
    assert record.versions["torch"] == torch.__version__.partition("+")[0]
    assert record.started <= record.finished
    assert (work / record.extra["document_losses"]["heldout"]).exists()
    assert read_record(write_record(tmp_path, record)) == record


def test_the_log_tells_what_was_watched(record, work, statuses):
    lines = [json.loads(line) for line in (work / LOG).read_text(encoding="utf-8").splitlines()]
    for line, status in zip(lines, statuses, strict=True):
        assert line["step"] == status.step
        assert line["tokens"] == status.tokens == 256 * status.step
        assert line["loss"] == status.loss
        assert line["mfu"] is None


def test_the_log_has_a_line_now_and_then(corpus, tmp_path):
    train_run(tiny_settings(log_seconds=1e6), corpus, tmp_path)
    lines = (tmp_path / LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [64]


def test_a_loss_that_is_not_finite_ends_the_run(corpus, tmp_path):
    with pytest.raises(
        DivergedError, match=r"run 'tiny': .* must be finite, got (nan|inf) at step"
    ):
        train_run(tiny_settings(learning_rate=1e30), corpus, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": replace(TINY, vocab_size=299)}, "vocab_size: must be at least the corpus's"),
        ({"recipe": {"best": 1.0}}, "recipe: .*'best'"),
        ({"source_tokens": 10**9}, "source_tokens: .*1000000000"),
        ({"final_eval_tokens": 1}, "evaluation set 'heldout': must have at least 2 documents"),
        ({"device": "cuda"}, "device: must be one that torch sees, got 'cuda'"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_work(corpus, tmp_path, change, message):
    if "device" in change and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match=message):
        train_run(tiny_settings(**change), corpus, tmp_path)
    assert not (tmp_path / "checkpoint").exists()


def test_tensorboard_is_written_where_asked_for(corpus, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = tiny_settings(tokens=4 * 256, log_seconds=1e-6)
    train_run(settings, corpus, tmp_path, tensorboard=True)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in found.Scalars("loss")] == [1, 2, 3, 4]


def test_batches_read_ahead_keep_their_order(corpus, monkeypatch):
    monkeypatch.setattr("bayes_infolaw.harness.training.batches._pinned", lambda p, i: p.batch(i))
    packed = pack(corpus, tiny_settings().packing)
    rows = [np.arange(8 * k, 8 * k + 8) for k in range(11)]
    found = list(_ahead(packed, iter(rows)))
    assert len(found) == 11
    for batch, indices in zip(found, rows, strict=True):
        assert np.array_equal(batch, packed.batch(indices))


def test_the_optimiser_decays_matrices_but_neither_gains_nor_the_embedding():
    model = Transformer(TINY)
    model.initialise(0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = make_optimiser(model, tiny_settings())
    set_learning_rate(optimiser, 0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in model.named_parameters():
        kept = 1.0 if parameter.ndim == 1 or name == "embedding.weight" else 1 - 0.5 * 0.1
        torch.testing.assert_close(parameter.detach(), kept * before[name])


def test_bf16_moves_the_loss_by_its_rounding(corpus, record, tmp_path):
    found = train_run(tiny_settings(precision="bf16"), corpus, tmp_path)
    loss, wanted = (r.losses["heldout"].nats_per_token for r in (found, record))
    assert loss != wanted
    assert loss == pytest.approx(wanted, rel=0.01)


@pytest.mark.slow
def test_a_toolchain_that_cannot_compile_is_named(corpus, tmp_path):
    from torch._inductor import config
    from torch._inductor.utils import fresh_cache

    torch._dynamo.reset()
    settings = tiny_settings(compile=True, tokens=2 * 256, shape=replace(TINY, mlp=48))
    # The library's own patch: setting and deleting the attribute hides it from later compilations.
    lacking = config.patch({"cpp.cxx": ("no-such-compiler",)})
    with lacking, fresh_cache(), pytest.raises(InputError, match=r"compile: .*no-such-compiler"):
        train_run(settings, corpus, tmp_path)


@pytest.mark.slow
def test_a_compiled_model_takes_the_same_steps(corpus, record, tmp_path):
    compiled = train_run(tiny_settings(compile=True, tokens=16 * 256), corpus, tmp_path / "c")
    plain = train_run(tiny_settings(tokens=16 * 256), corpus, tmp_path / "p")
    wanted = plain.losses["heldout"].nats_per_token
    assert compiled.losses["heldout"].nats_per_token == pytest.approx(wanted, rel=1e-4)
