"""The transformer: its counts, its parts against plain formulas, and what it can see."""

import math

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from bayes_infolaw.harness.shapes import PRESETS, Shape  # noqa: E402
from bayes_infolaw.harness.training.transformer import (  # noqa: E402
    Transformer,
    causal_attention,
    linear_cross_entropy,
    rotary_angles,
    rotate,
    token_cross_entropy,
)

SHAPE = Shape(layers=2, hidden=16, heads=2, mlp=40, vocab_size=50, seq_len=12)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def model(shape: Shape = SHAPE, seed: int = 0) -> Transformer:
    made = Transformer(shape)
    made.initialise(seed)
    return made


def tokens(*shape: int, seed: int = 0):
    return torch.randint(SHAPE.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PRESETS)
def test_nonembedding_count_is_the_shapes(name):
    with torch.device("meta"):
        made = Transformer(PRESETS[name])
    outside = {id(made.embedding.weight), id(made.head.weight)}
    counted = sum(p.numel() for p in made.parameters() if id(p) not in outside)
    assert counted == PRESETS[name].nonembedding


def test_tied_shares_one_matrix():
    made = model(Shape(**{**SHAPE.to_dict(), "tied": True}))
    assert made.head.weight is made.embedding.weight
    assert len(list(made.parameters())) == len(list(model().parameters())) - 1


def test_rotation_depends_on_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(1))
    angles = rotary_angles(30, 8)

    def product(i: int, j: int) -> float:
        return float((rotate(query, angles[i : i + 1]) * rotate(key, angles[j : j + 1])).sum())

    assert product(3, 1) == pytest.approx(product(29, 27), rel=1e-4)
    assert product(3, 1) != pytest.approx(product(3, 2), rel=1e-2)


def test_rotation_is_the_published_matrix():
    x = torch.randn(1, 5, 1, 6, generator=torch.Generator().manual_seed(2))
    turned = rotate(x, rotary_angles(5, 6))
    for position in range(5):
        for pair in range(3):
            angle = position * 10_000 ** (-2 * pair / 6)
            a, b = x[0, position, 0, 2 * pair : 2 * pair + 2].tolist()
            wanted = (
                a * math.cos(angle) - b * math.sin(angle),
                a * math.sin(angle) + b * math.cos(angle),
            )
            found = turned[0, position, 0, 2 * pair : 2 * pair + 2].tolist()
            assert found == pytest.approx(wanted, abs=1e-6)


def test_attention_is_the_plain_formula():
    qkv = torch.randn(2, 7, 3, 2, 8, generator=torch.Generator().manual_seed(3))
    angles = rotary_angles(7, 8)
    query, key = rotate(qkv[:, :, 0], angles), rotate(qkv[:, :, 1], angles)
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(8)
    scores.masked_fill_(torch.ones(7, 7).triu(1).bool(), -math.inf)
    wanted = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), qkv[:, :, 2]).flatten(2)
    torch.testing.assert_close(causal_attention(qkv, angles), wanted)


def test_forward_is_the_plain_formula():
    made = model()
    ids = tokens(2, 12)
    x, angles = made.embedding.weight[ids], made.angles

    def norm(x, gain):
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * gain

    for block in made.blocks:
        qkv = norm(x, block.attention_norm.gain) @ block.qkv.weight.T
        x = x + causal_attention(qkv.view(2, 12, 3, 2, 8), angles) @ block.attention_out.weight.T
        both = norm(x, block.mlp_norm.gain) @ block.gate_value.weight.T
        gate, value = both[..., :40], both[..., 40:]
        x = x + (gate * torch.sigmoid(gate) * value) @ block.mlp_out.weight.T
    wanted = norm(x, made.final_norm.gain) @ made.head.weight.T
    torch.testing.assert_close(made(ids), wanted)


def test_no_position_sees_the_future():
    made, ids = model(), tokens(1, 12)
    changed = ids.clone()
    changed[0, 7:] = (changed[0, 7:] + 1) % SHAPE.vocab_size
    before, after = made(ids), made(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize("rows", [5, 256, 700])
def test_cross_entropy_in_pieces_has_the_loss_and_gradients_of_the_whole(rows):
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 16, generator=generator, requires_grad=True)
    weight = torch.randn(50, 16, generator=generator, requires_grad=True)
    targets = torch.randint(50, (rows,), generator=generator)
    loss = linear_cross_entropy(x, weight, targets)
    wanted = F.cross_entropy(x @ weight.T, targets)
    torch.testing.assert_close(loss, wanted)
    found = torch.autograd.grad(3 * loss, (x, weight))
    for one, other in zip(found, torch.autograd.grad(3 * wanted, (x, weight)), strict=True):
        torch.testing.assert_close(one, other)
    each = token_cross_entropy(x, weight, targets)
    torch.testing.assert_close(each.mean(), wanted)


def test_three_kinds_of_output_agree():
    made, ids, targets = model(), tokens(3, 12), tokens(3, 12, seed=1)
    each = made(ids, targets, each=True)
    torch.testing.assert_close(made(ids, targets), each.mean())
    logits = made(ids)
    torch.testing.assert_close(-logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0], each)


def test_initialisation_is_by_seed_with_the_stated_spread():
    big = Shape(layers=8, hidden=128, heads=4, mlp=344, vocab_size=500, seq_len=8)
    made, again, other = model(big, 1), model(big, 1), model(big, 2)
    for (name, weight), same, differs in zip(
        made.named_parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(weight, same)
        if weight.ndim == 1:
            assert torch.equal(weight, torch.ones_like(weight))
            continue
        assert not torch.equal(weight, differs)
        sd = 0.02 / 4 if name.endswith("out.weight") else 0.02
        error = sd / math.sqrt(2 * weight.numel())
        assert abs(weight.std().item() - sd) < 5 * error
    loss = made(tokens(4, 8), tokens(4, 8, seed=1)).item()
    assert loss == pytest.approx(math.log(500), abs=0.1)
