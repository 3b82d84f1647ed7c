"""The gradients written by hand against torch's own and against finite differences."""

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from bayes_infolaw.harness.training import cpu_functions  # noqa: E402
from bayes_infolaw.harness.training.cpu_functions import (  # noqa: E402
    ChunkedCrossEntropy,
    GateByHand,
    NormByHand,
    is_eager_cpu,
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def drawn(*size: int, seed: int = 0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=dtype).requires_grad_()


def test_norm_has_the_gradient_of_its_values():
    x, gain = drawn(2, 3, 4), drawn(2, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x, g: NormByHand.apply(x, g, 1e-2), (x, gain))


def test_norm_is_torchs():
    x, gain, weight = drawn(2, 7, 16), drawn(2, 16, seed=1), drawn(2, 7, 16, seed=2).detach()
    ours = NormByHand.apply(x, gain, 1e-5)
    theirs = torch.stack([F.rms_norm(x[r], (16,), gain[r], 1e-5) for r in range(2)])
    torch.testing.assert_close(ours, theirs)
    ours_grads = torch.autograd.grad((ours * weight).sum(), (x, gain))
    torch.testing.assert_close(ours_grads, torch.autograd.grad((theirs * weight).sum(), (x, gain)))


def test_gate_is_torchs():
    x, weight = drawn(2, 3, 10), drawn(2, 3, 5, seed=1).detach()
    ours, theirs = GateByHand.apply(x), F.silu(x[..., :5]) * x[..., 5:]
    torch.testing.assert_close(ours, theirs)
    (ours_grad,) = torch.autograd.grad((ours * weight).sum(), x)
    (theirs_grad,) = torch.autograd.grad((theirs * weight).sum(), x)
    torch.testing.assert_close(ours_grad, theirs_grad)


@pytest.mark.parametrize("rows", [1, 10, 23])
def test_cross_entropy_is_torchs_whatever_the_chunks(monkeypatch, rows):
    monkeypatch.setattr(cpu_functions, "MIN_ROWS", 10)
    monkeypatch.setattr(cpu_functions, "LOGITS", 1)
    x, weight = drawn(rows, 6), drawn(12, 6, seed=1)
    targets = torch.randint(12, (rows,), generator=torch.Generator().manual_seed(2))
    ours, theirs = (
        ChunkedCrossEntropy.apply(x, weight, targets),
        F.cross_entropy(x @ weight.T, targets),
    )
    torch.testing.assert_close(ours, theirs)
    ours_grads = torch.autograd.grad(3 * ours, (x, weight))
    torch.testing.assert_close(ours_grads, torch.autograd.grad(3 * theirs, (x, weight)))


def test_they_serve_eager_fp32_alone():
    x = torch.ones(2)
    assert is_eager_cpu(x)
    assert not is_eager_cpu(x.double())
    assert not is_eager_cpu(x.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_eager_cpu(x)


def test_cross_entropy_of_a_hopeless_guess_is_finite():
    x, weight = torch.tensor([[200.0], [-200.0]]), torch.tensor([[1.0], [-1.0], [0.0]])
    x.requires_grad_()
    loss = ChunkedCrossEntropy.apply(x, weight, torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(400.0)
    loss.backward()
    torch.testing.assert_close(x.grad, torch.tensor([[1.0], [-1.0]]))
