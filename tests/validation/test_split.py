import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.validation.split import split


@pytest.fixture
def table():
    """Ten runs: five sizes twice, compute rising with the row, two corpora, one odd column name."""
    params = np.repeat([1e8, 2e8, 4e8, 8e8, 1.6e9], 2)
    frame = pd.DataFrame(
        {
            "run": [f"r{i}" for i in range(10)],
            "loss": np.linspace(3.2, 2.3, 10),
            "params_nonembedding": params,
            "tokens": np.linspace(1e10, 2e10, 10),
            "source_tokens": 1e11,
            "w_all": 1.0,
            "share_all": 1.0,
            "unique_all": np.linspace(1e10, 2e10, 10),
            "repetition_all": 1.0,
            "flops_per_token": 6 * params,
            "overtraining": 3.6,
            "loss_se": 0.0,
            "corpus": ["c4"] * 6 + ["rpj"] * 4,
            "batch": ["a", "b"] * 5,
            "seed": [0, 1] * 5,
            "warm-up": [100, 200] * 5,
        }
    )
    given = ("loss", "params_nonembedding", "tokens")
    table = RunTable(
        frame,
        ("all",),
        groups=("batch",),
        corpus="corpus",
        notes=("shares rescaled",),
        simulated=True,
        provenance={"given": given},
    )
    return table.subset(np.arange(10))


def held(table, hold_out):
    return split(table, hold_out)[1].frame["run"].tolist()


@pytest.mark.parametrize(
    ("hold_out", "rows"),
    [
        ("largest-compute", [8, 9]),
        ("largest-compute:0.4", [6, 7, 8, 9]),
        ("largest-compute:0.01", [9]),
        ("largest-size", [8, 9]),
        ("largest-size:2", [6, 7, 8, 9]),
        ("group=b", [1, 3, 5, 7, 9]),
        ("group=rpj", [6, 7, 8, 9]),
        ("corpus=rpj", [6, 7, 8, 9]),
        ("corpus = 'rpj'", [6, 7, 8, 9]),
        ("seed=1", [1, 3, 5, 7, 9]),
        ("warm-up=200", [1, 3, 5, 7, 9]),
        ("params_nonembedding=1.6e9", [8, 9]),
        ("params_nonembedding > 7e8", [6, 7, 8, 9]),
        ("corpus == 'rpj' and seed == 0", [6, 8]),
        ("not (corpus == 'c4') or loss >= 3.2", [0, 6, 7, 8, 9]),
        ("4e8 <= params_nonembedding < 1e9", [4, 5, 6, 7]),
        ("corpus in ['rpj', 'rw'] and run != 'r9'", [6, 7, 8]),
        ("`warm-up` > 150 and tokens / params_nonembedding < 30", [7, 9]),
        ("(seed == 1) & ~(corpus == 'c4')", [7, 9]),
    ],
)
def test_rule_names_the_runs(table, hold_out, rows):
    assert held(table, hold_out) == [f"r{i}" for i in rows]


@pytest.mark.parametrize("hold_out", ["largest-compute", "params_nonembedding > 7e8"])
def test_the_two_sides_make_the_table(table, hold_out):
    fit, left = split(table, hold_out)
    both = pd.concat([fit.frame, left.frame]).sort_values("run").reset_index(drop=True)
    pd.testing.assert_frame_equal(both, table.frame)


def test_fields_stay_rows_are_numbered_anew_and_hashes_are_their_own(table):
    fit, left = split(table, "group=b")
    for part in (fit, left):
        assert list(part.frame.index) == list(range(5))
        assert (part.buckets, part.groups, part.corpus) == (("all",), ("batch",), "corpus")
        assert part.notes == ("shares rescaled",)
        assert part.simulated
        assert part.data_hash == part.compute_hash()
    assert len({table.data_hash, fit.data_hash, left.data_hash}) == 3


def test_runs_of_equal_compute_are_not_parted(table):
    # Two runs at each size, hence at each compute up to the last bit.
    frame = table.frame.assign(tokens=1.5e10 * (1 + 1e-15 * np.tile([0, 1], 5)))
    tied = RunTable(frame, ("all",), provenance=table.provenance)
    assert held(tied, "largest-compute:0.1") == ["r8", "r9"]
    assert held(tied, "largest-compute:0.3") == ["r6", "r7", "r8", "r9"]


@pytest.mark.parametrize(
    ("hold_out", "message"),
    [
        ("parameters > 1e9", "unknown column 'parameters'"),
        ("`warm up` > 1", "unknown column 'warm up'"),
        ("colour=red", "unknown column 'colour'"),
        ("corpus=pile", "no run has the value 'pile'"),
        ("seed=one", "no run has the value 'one'"),
        ("group=z", "no run has the value 'z'"),
        ("loss >", "is not an expression"),
        ("", "is not an expression"),
        ("loss = ", "is not an expression"),
        ("loss > @limit", "is not allowed|is not an expression"),
        ("@pd.eval", "is not an expression"),
        ("abs(loss) > 2", "Call is not allowed"),
        ("loss.__class__ == 1", "Attribute is not allowed"),
        ("__import__ == 1", "unknown column '__import__'"),
        ("loss[0] > 1", "Subscript is not allowed"),
        ("9 ** 9 ** 9 > loss", "Pow is not allowed"),
        ("[x for x in loss]", "is not allowed"),
        ("corpus > 3", "cannot be evaluated"),
        ("loss + 1", "must be true or false"),
        ("1 > 0", "must be true or false"),
        ("loss > 0", "both sides need runs, got 10 of 10"),
        ("loss < 0", "both sides need runs, got 0 of 10"),
        ("largest-size:5", "both sides need runs, got 10 of 10"),
        ("largest-size:0", "whole number >= 1, got 0"),
        ("largest-size:1.5", "whole number >= 1, got 1.5"),
        ("largest-size:two", "needs a number of sizes after the colon, got 'two'"),
        ("largest-compute:20", "between 0 and 1, got 20"),
        ("largest-compute:nan", "between 0 and 1, got nan"),
    ],
)
def test_bad_rules_are_one_clear_error(table, hold_out, message):
    with pytest.raises(InputError, match=message) as caught:
        split(table, hold_out)
    assert str(caught.value).startswith(f"hold-out {hold_out!r}: ")
    assert "\n" not in str(caught.value)


def test_a_group_rule_needs_a_grouping_column(table):
    plain = RunTable(table.frame, ("all",), provenance=table.provenance)
    with pytest.raises(InputError, match="no grouping column"):
        split(plain, "group=b")
