"""Stacked models against the single ones they stand for, run by run."""

from dataclasses import replace

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from bayes_infolaw.harness.settings import RunSettings  # noqa: E402
from bayes_infolaw.harness.shapes import Shape  # noqa: E402
from bayes_infolaw.harness.training.optimiser import make_optimiser, set_learning_rate  # noqa: E402
from bayes_infolaw.harness.training.stacked.model import (  # noqa: E402
    StackedAdamW,
    StackedTransformer,
    clip_by_run,
    norms_by_run,
)
from bayes_infolaw.harness.training.transformer import Transformer  # noqa: E402

SHAPE = Shape(layers=2, hidden=16, heads=2, mlp=40, vocab_size=50, seq_len=12)
SEEDS = (3, 1, 2)
STEPS = 20


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def batch(step: int, runs: int = 3):
    """(R, 4, s + 1): each run has its own rows, with its own habits."""
    generator = torch.Generator().manual_seed(step)
    drawn = torch.randint(SHAPE.vocab_size, (runs, 4, SHAPE.seq_len + 1), generator=generator)
    return drawn // torch.arange(2, runs + 2).view(-1, 1, 1)


def single(seed: int, shape: Shape = SHAPE) -> Transformer:
    made = Transformer(shape)
    made.initialise(seed)
    return made


def stack(shape: Shape = SHAPE) -> StackedTransformer:
    made = StackedTransformer(shape, len(SEEDS))
    made.initialise(SEEDS)
    return made


def settings(**changes) -> RunSettings:
    whole = {"name": "a", "shape": SHAPE, "recipe": {"0": 1.0}, "source_tokens": 10_000}
    fixed = {"tokens": STEPS * 48, "batch_tokens": 48, "learning_rate": 1e-2}
    return RunSettings(**{**whole, **fixed, **changes})


@pytest.mark.parametrize("tied", [False, True])
def test_losses_and_gradients_are_those_of_the_single_models(tied):
    shape, rows = replace(SHAPE, tied=tied), batch(0)
    stacked = stack(shape)
    losses = stacked(rows[..., :-1], rows[..., 1:])
    losses.sum().backward()
    for run, seed in enumerate(SEEDS):
        alone = single(seed, shape)
        loss = alone(rows[run, :, :-1], rows[run, :, 1:])
        loss.backward()
        torch.testing.assert_close(losses[run], loss)
        for name, weight in alone.named_parameters():
            found = dict(stacked.named_parameters())[name]
            assert torch.equal(found[run], weight)
            torch.testing.assert_close(found.grad[run], weight.grad, rtol=1e-4, atol=1e-7)


def test_autocast_takes_the_other_way_to_the_same_loss():
    rows, stacked = batch(0), stack()
    expected = stacked(rows[..., :-1], rows[..., 1:])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = stacked(rows[..., :-1], rows[..., 1:])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)


def train_alone(run: int, how: RunSettings) -> tuple[list[float], Transformer]:
    model, losses = single(SEEDS[run]), []
    optimiser = make_optimiser(model, how)
    for step in range(STEPS):
        rows = batch(step)[run]
        set_learning_rate(optimiser, how.budget.learning_rate_at(step, how))
        loss = model(rows[:, :-1], rows[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), how.clip)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses, model


def train_stacked(hows: list[RunSettings], stacked: StackedTransformer) -> list[list[float]]:
    decays = torch.tensor([how.weight_decay for how in hows])
    optimiser = StackedAdamW(stacked, decays, (hows[0].beta1, hows[0].beta2))
    bounds, losses = torch.tensor([how.clip for how in hows]), []
    for step in range(STEPS):
        rows = batch(step)
        loss = stacked(rows[..., :-1], rows[..., 1:])
        loss.sum().backward()
        clip_by_run([p.grad for p in stacked.parameters()], bounds)
        optimiser.step([how.budget.learning_rate_at(step, how) for how in hows])
        optimiser.zero_grad()
        losses.append(loss.tolist())
    return losses


ALIKE = [settings() for _ in SEEDS]
RATES = [settings(learning_rate=rate) for rate in (1e-2, 3e-3, 2e-2)]
ALL = [
    settings(learning_rate=1e-2, weight_decay=0.1, clip=0.1),
    settings(learning_rate=2e-2, weight_decay=3.0, clip=1e3),
    settings(learning_rate=5e-3, weight_decay=0.0, warmup_fraction=0.5, final_lr_fraction=0),
]


@pytest.mark.parametrize("hows", [ALIKE, RATES, ALL], ids=["alike", "rates", "all"])
def test_training_is_that_of_the_single_models(hows):
    stacked = stack()
    losses = torch.tensor(train_stacked(hows, stacked))
    assert losses[0].min() - losses[-1].max() > 0.2  # they do learn
    for run, how in enumerate(hows):
        expected, alone = train_alone(run, how)
        torch.testing.assert_close(losses[:, run], torch.tensor(expected), rtol=2e-5, atol=0)
        found = single(0)
        stacked.copy_run(run, found)
        for name, weight in alone.named_parameters():
            difference = (dict(found.named_parameters())[name] - weight).abs().max()
            assert difference < 1e-3 * weight.abs().max()


def test_one_that_diverges_leaves_no_trace_in_the_others():
    sound, broken = stack(), stack()
    with torch.no_grad():
        broken.blocks[0].qkv.weight[1] = float("nan")
    expected, found = train_stacked(RATES, sound), train_stacked(RATES, broken)
    assert all(torch.tensor(row)[1].isnan() for row in found)
    assert [[row[0], row[2]] for row in found] == [[row[0], row[2]] for row in expected]
    for weight, other in zip(sound.parameters(), broken.parameters(), strict=True):
        assert torch.equal(weight[[0, 2]], other[[0, 2]])


def test_a_cleared_run_is_finite_and_stays():
    stacked, rows = stack(), batch(0)
    with torch.no_grad():
        stacked.head.weight[1] = float("inf")
    optimiser = StackedAdamW(stacked, torch.full((3,), 0.1), (0.9, 0.95))
    for rates in ([1e-2] * 3, [1e-2, 0.0, 1e-2]):
        losses = stacked(rows[..., :-1], rows[..., 1:])
        losses.sum().backward()
        optimiser.step(rates)
        optimiser.zero_grad()
        optimiser.clear(1)
    assert losses.isfinite().all()
    for weight in stacked.parameters():
        assert weight.isfinite().all()
        assert not weight[1].any()
        assert weight[0].any()


def test_norms_and_clipping_are_by_run():
    gradients = [torch.full((2, 3), 2.0), torch.tensor([[[0.0]], [[4.0]]])]
    torch.testing.assert_close(norms_by_run(gradients), torch.tensor([12.0, 28.0]).sqrt())
    clip_by_run(gradients, torch.tensor([10.0, 1.0]))
    expected = torch.tensor([12.0**0.5, 1.0])
    torch.testing.assert_close(norms_by_run(gradients), expected, rtol=1e-5, atol=0)


def test_a_run_can_be_put_in_and_taken_out():
    stacked, given, taken = stack(), single(9), single(0)
    stacked.load_run(2, given)
    stacked.copy_run(2, taken)
    for weight, other in zip(given.parameters(), taken.parameters(), strict=True):
        assert torch.equal(weight, other)
