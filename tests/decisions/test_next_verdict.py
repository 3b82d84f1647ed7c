"""Stop or go on: the verdict, and the words that say what to buy, at what price, and why."""

from dataclasses import replace

from bayes_infolaw.decisions.next_run.answer import CandidateValue, NextRun, decided


def answer(**changes):
    """An answer of two candidates, to be judged by their worth."""
    common = dict(runs=("r",), standard_error=0.0, form_information_gain=0.0, ess=1e3, refit=False)
    common |= dict(repetition=1.0, beyond={}, rows=())
    rows = [
        CandidateValue(
            run=run,
            flop=flop,
            regret_reduction=gain,
            regret_reduction_low=gain,
            information_gain=nats,
            value_per_flop=gain / flop,
            information_per_flop=nats / flop,
            benefit_per_cost=gain * 1e23 / flop,
            **common,
        )
        for run, flop, gain, nats in (("small", 1e19, 1e-6, 0.5), ("large", 1e20, 2e-3, 0.6))
    ]
    found = NextRun(
        stop=True,
        reason="",
        candidates=(),
        batch=(),
        recipe={},
        expected_loss=3.0,
        evpi=4e-3,
        evpi_kept=1.0,
        value_per_nat=1e23,
        value_per_nat_given=False,
        target_flop=1e22,
        loss_unit="bits per byte",
        n_recipes=2,
        draws=10,
    )
    return replace(found, **changes), rows


def test_a_verdict_names_what_to_buy_its_price_and_the_units():
    found, rows = answer()
    go = decided(found, rows, "value")
    assert not go.stop
    assert go.reason == (
        "large costs 1e+20 FLOP and, by a better choice of recipe, lowers the target's expected "
        "loss by 0.002 bits per byte on average, worth 2e+20 FLOP. One bit per byte is taken to be "
        "worth 1e+23 FLOP, the price of buying it with a larger target: by the law's slope there, "
        "1 % more than its 1e+22 FLOP lowers the expected loss by 0.001 bits per byte."
    )
    informed = decided(found, rows, "information")
    assert informed.candidates[0].run == "small"
    assert informed.reason.startswith(
        "small tells most for its price, 0.5 nats about what decides for 1e+19 FLOP. Going on pays:"
        " large costs 1e+20 FLOP"
    )
    both = decided(
        replace(found, batch=tuple(replace(r, regret_reduction=3e-3) for r in rows)), rows, "value"
    )
    assert both.reason.startswith("As a whole, the batch of 2 costs 1.1e+20 FLOP")


def test_a_verdict_to_stop_says_what_is_missing():
    found, rows = answer(value_per_nat=1e22, value_per_nat_given=True)
    stop = decided(found, rows, "value")
    assert stop.stop
    assert stop.reason == (
        "nothing on offer is worth its cost. The best for its price: large costs 1e+20 FLOP and, "
        "by a better choice of recipe, lowers the target's expected loss by 0.002 bits per byte on "
        "average, worth 2e+19 FLOP. Perfect information would lower it by 0.004 bits per byte, "
        "worth 4e+19 FLOP. One bit per byte is taken to be worth 1e+22 FLOP, as given."
    )
    idle = [replace(row, regret_reduction=0.0) for row in rows]
    assert "no candidate's outcome would change the recipe" in decided(found, idle, "value").reason
