"""A Gaussian process on the mixture by BoTorch: its least mean and its LogExpectedImprovement.

Inputs are packed shares, or ``ln(1 + epochs)`` of each bucket, beside ln N, ln K and ln(S / K)
where these are told apart. The mean is a line in these logarithms (a constant one would fall back
to the average size far from the runs), the kernel and its priors BoTorch's default.
"""

import importlib.util
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from decision_answers import Answer
from decision_plain import best_at_largest
from decision_truths import Target

from bayes_infolaw.baselines.base import measured_log_loss
from bayes_infolaw.baselines.mixture_regression import told_apart
from bayes_infolaw.tables.runs import RunArrays

Array = np.ndarray

INPUTS = ("shares", "epochs")
POOL, STARTS, STEPS = 20_000, 8, 100
DRAWS = 500
ABSENT = "botorch is not installed"


def gp_answers(
    runs: RunArrays, targets: Sequence[Target], recipes: Array, seed: int
) -> Iterator[tuple[Target, Answer]]:
    """Least posterior mean and largest logEI at every target, on either kind of inputs."""
    absent = importlib.util.find_spec("botorch") is None
    for kind in INPUTS:
        names = [f"Gaussian process on {kind}, {rule}" for rule in ("least mean", "logEI")]
        if absent:
            yield from ((t, Answer(name, None, note=ABSENT)) for t in targets for name in names)
            continue
        yield from _answers(names, runs, targets, recipes, kind, seed)


def _answers(
    names: list[str],
    runs: RunArrays,
    targets: Sequence[Target],
    recipes: Array,
    kind: str,
    seed: int,
) -> Iterator[tuple[Target, Answer]]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _fitted(_inputs(runs, kind), measured_log_loss(runs), sum(told_apart(runs)))
        for target in targets:
            design = _AtTarget(runs, target, kind)
            draws, mean, noise_sd = _predicted(model, design.at(torch.as_tensor(recipes)))
            for name, rule in zip(names, _rules(model, design, runs, target), strict=True):
                recipe = _maximise(rule, design, runs, seed)
                yield target, Answer(name, recipe, mean, draws, noise_sd)


def _inputs(runs: RunArrays, kind: str):
    """Inputs of measured runs, (n, p): the mixture, then the logarithms told apart."""
    import torch

    epochs = runs.weights * runs.tokens[:, None] / (runs.shares * runs.source_tokens[:, None])
    mixture = runs.weights if kind == "shares" else np.log1p(epochs)
    logs = _logarithms(runs.flops, runs.tokens, runs.source_tokens)[:, told_apart(runs)]
    return torch.as_tensor(np.column_stack([mixture, logs]))


class _AtTarget:
    """Recipes at a target as inputs of the process."""

    def __init__(self, runs: RunArrays, target: Target, kind: str) -> None:
        import torch

        self.kind = kind
        here = _logarithms(6.0 * target.params, target.tokens, target.source_tokens)
        self.here = torch.as_tensor(here[0, told_apart(runs)])
        self.capacity = torch.as_tensor(target.shares * target.source_tokens / target.tokens)

    def at(self, recipes):
        """Inputs (..., p) of recipes (..., D), differentiable."""
        import torch

        mixture = recipes if self.kind == "shares" else torch.log1p(recipes / self.capacity)
        here = self.here.expand(*recipes.shape[:-1], len(self.here))
        return torch.cat([mixture, here], dim=-1)


def _logarithms(flops, tokens, source) -> Array:
    return np.log(np.column_stack([flops, tokens, np.divide(source, tokens)]))


def _fitted(x, log_loss: Array, n_logs: int):
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from gpytorch.means import LinearMean
    from gpytorch.mlls import ExactMarginalLogLikelihood

    class SizeMean(LinearMean):
        """A line in the logarithms, the last columns."""

        def forward(self, x):
            return super().forward(x[..., -n_logs:])

    y = torch.as_tensor(-log_loss)[:, None]  # BoTorch maximises
    scaled = {"input_transform": Normalize(x.shape[-1]), "outcome_transform": Standardize(1)}
    model = SingleTaskGP(x, y, mean_module=SizeMean(n_logs), **scaled)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def _predicted(model, x) -> tuple[Array, Array, float]:
    """Draws of noise-free log loss (S, R), its mean (R,), and the noise sd."""
    import torch

    with torch.no_grad():
        posterior = model.posterior(x)
        draws = -posterior.rsample(torch.Size([DRAWS]))[..., 0].numpy()
        mean = -posterior.mean[:, 0].numpy()
        noise = model.likelihood.noise.mean().sqrt() * model.outcome_transform.stdvs.mean()
    return draws, mean, float(noise)


def _rules(model, design: _AtTarget, runs: RunArrays, target: Target) -> tuple:
    """Posterior mean, and logEI over the predicted loss of the best measured recipe."""
    import torch
    from botorch.acquisition.analytic import LogExpectedImprovement, PosteriorMean

    incumbent = design.at(torch.as_tensor(best_at_largest(runs, target))[None])
    with torch.no_grad():
        level = model.posterior(incumbent).mean[0, 0]
    return PosteriorMean(model), LogExpectedImprovement(model, best_f=level)


def _maximise(rule, design: _AtTarget, runs: RunArrays, seed: int) -> Array:
    """Best of a large random pool, then climbed by Adam on the logits from the best few."""
    import torch

    n_buckets = runs.weights.shape[1]
    rng = np.random.default_rng([17, seed])
    pool = rng.dirichlet(np.ones(n_buckets), POOL)
    pool = torch.as_tensor(np.vstack([pool, np.unique(runs.weights, axis=0), np.eye(n_buckets)]))
    with torch.no_grad():
        value = torch.cat([rule(design.at(part)[:, None, :]) for part in pool.split(2048)])
    top = pool[value.argsort(descending=True)[:STARTS]]
    climbed = _climb(rule, design, top)
    final = torch.cat([top, climbed])
    with torch.no_grad():
        return final[rule(design.at(final)[:, None, :]).argmax()].numpy()


def _climb(rule, design: _AtTarget, starts):
    import torch

    logits = torch.log(starts.clamp_min(1e-4)).requires_grad_(True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = -rule(design.at(torch.softmax(logits, dim=-1))[:, None, :]).sum()
        loss.backward()
        optimiser.step()
    return torch.softmax(logits, dim=-1).detach()
