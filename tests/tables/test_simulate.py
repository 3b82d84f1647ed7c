"""Simulated losses follow the published law, and say that they are simulated."""

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables import read_plan, read_runs, simulate, write_runs

PUBLISHED = {"theta": 0.922, "a": 0.140, "b": 0.018, "alpha": 3.7373, "beta": 0.0441}
ORDER = ("web", "books")


@pytest.fixture
def plan(two_buckets):
    frame = two_buckets.assign(source_tokens=4e9).drop(columns="loss")
    return read_plan(frame.iloc[2:], buckets=ORDER)


def by_hand(params, tokens, weights, source, theta=0.922, alpha=3.7373, k_0=1e9):
    """The published formulas in scalar arithmetic, for two buckets of equal share."""
    rate = 0.140 * np.log(6 * params / 1e9) + 0.018
    level = np.log10(tokens / k_0)
    info = 0.0
    for d, weight in enumerate(weights):
        packed, available = weight * tokens, 0.5 * source
        unique = min(packed, available)
        exposure = 1 - np.exp(-rate * packed / unique / level)
        info += unique / 1e9 * np.exp(-theta * d) * level * exposure
    return alpha * info**-0.0441


def test_without_noise_the_law_by_hand(plan):
    table = simulate(plan, PUBLISHED, seed=1, noise_sd=0.0)
    expected = [
        by_hand(row.params_nonembedding, row.tokens, (row.w_web, row.w_books), 4e9)
        for row in plan.frame.itertuples()
    ]
    np.testing.assert_allclose(table.arrays().loss, expected, rtol=1e-12)


def test_K_0_and_alphas_by_degree(plan):
    degrees = np.where(np.arange(6) < 3, 3.6, 22.0)
    both = read_plan(plan.frame.assign(overtraining=degrees), buckets=ORDER)
    parameters = PUBLISHED | {"alpha": {"3.7": 3.0, 21.5: 4.0}, "K_0": 1e8, "sigma": 0.0}
    losses = simulate(both, parameters, seed=1).arrays().loss
    row = plan.frame.iloc[0]
    weights = (row["w_web"], row["w_books"])
    size = (row["params_nonembedding"], row["tokens"])
    assert losses[0] == pytest.approx(by_hand(*size, weights, 4e9, alpha=3.0, k_0=1e8))
    flat = simulate(both, parameters | {"alpha": 3.0}, seed=1).arrays().loss
    np.testing.assert_allclose(losses / flat, [1, 1, 1, 4 / 3, 4 / 3, 4 / 3])


def test_noise_has_the_stated_sd_and_seed(one_bucket):
    frame = one_bucket.loc[np.repeat(5, 4000)].assign(run=[f"r{i}" for i in range(4000)])
    design = read_plan(frame.reset_index(drop=True), buckets=["all"])
    without_theta = {k: v for k, v in PUBLISHED.items() if k != "theta"} | {"sigma": 0.02}
    noise = np.log(simulate(design, without_theta, seed=3).arrays().loss)
    clean = np.log(simulate(design, without_theta, seed=3, noise_sd=0.0).arrays().loss)
    # Four standard errors of a mean and of an sd.
    assert abs(np.mean(noise - clean)) < 4 * 0.02 / np.sqrt(4000)
    assert np.std(noise - clean) == pytest.approx(0.02, rel=4 / np.sqrt(8000))
    again = simulate(design, without_theta, seed=3)
    np.testing.assert_array_equal(np.log(again.arrays().loss), noise)
    other = simulate(design, without_theta, seed=4)
    assert other.data_hash != again.data_hash


def test_evaluation_error_is_added_in_quadrature(plan):
    parameters = PUBLISHED | {"sigma": 0.003}
    clean = simulate(plan, parameters, seed=5, noise_sd=0.0).arrays().loss
    noisy = simulate(plan, parameters, seed=5).arrays().loss
    with_se = read_plan(plan.frame.assign(loss_se=0.004 * clean), buckets=ORDER)
    more = simulate(with_se, parameters, seed=5).arrays().loss
    np.testing.assert_allclose(np.log(more / clean), np.log(noisy / clean) * 5 / 3, rtol=1e-9)


def test_simulated_is_said_in_table_file_and_provenance(plan, tmp_path):
    table = simulate(plan, PUBLISHED | {"sigma": 0.001}, seed=7)
    assert table.simulated
    assert table.notes[0] == "the losses are simulated."
    assert table.provenance["parameters"]["theta"] == 0.922
    assert table.provenance["parameters"]["seed"] == 7
    write_runs(table, tmp_path / "simulated.csv")
    again = read_runs(tmp_path / "simulated.csv", buckets=ORDER)
    assert again.simulated
    assert again.data_hash == table.data_hash
    assert again.frame["simulated"].all()


BAD = [
    ({"gamma": 1.0}, "got 'gamma'"),
    ({"sigma": -1.0}, "sigma (sd of log loss) must be at least 0"),
    ({"b": -1.0}, r"row 1 (run 'r2'), column params_nonembedding: lambda(N) must be positive"),
    ({"K_0": 5e9}, "row 1 (run 'r2'), column tokens: must exceed K_0, got 4e+09"),
    ({"alpha": {3.6: 3.7}}, "column overtraining: alpha must be given for the degree within 5%"),
]


@pytest.mark.parametrize(("change", "said"), BAD)
def test_bad_parameters_are_named(plan, change, said):
    with pytest.raises(InputError) as caught:
        simulate(plan, PUBLISHED | {"sigma": 0.001} | change, seed=1)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["theta", "a", "b", "alpha", "beta", "sigma"])
def test_every_parameter_is_needed(plan, name):
    parameters = {k: v for k, v in (PUBLISHED | {"sigma": 0.001}).items() if k != name}
    with pytest.raises(InputError, match=f"parameters: {name}"):
        simulate(plan, parameters, seed=1)
