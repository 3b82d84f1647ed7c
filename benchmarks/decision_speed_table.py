"""What the benchmark of the decisions' searches measured -> the tables of decisions.md."""

from typing import Any

from decision_speed import N_DRAWS, N_RANDOM, N_RECIPES, D


def as_text(found: dict[str, Any]) -> str:
    """The tables of decisions.md."""
    ours, plain = found["kernel"], found["numpy"]
    lines = [
        "# Decisions: time and memory on two cores",
        "",
        f"By `python benchmarks/decisions.py`; load of the machine when it began: "
        f"{found['machine']['load_before'][0]}. {N_DRAWS:,} draws, {D} buckets; after compilation.",
        "",
        f"## {N_RECIPES:,} recipes under all draws",
        "",
        "| sum over the draws | seconds | CPU seconds |",
        "|---|---|---|",
        *(
            f"| {name} | {taken['seconds']:.2f} | {taken['cpu_seconds']:.2f} |"
            for name, taken in (ours["times"] | plain["times"]).items()
        ),
        "",
        f"Peak memory of the process {ours['peak_memory_gib']:.2f} GiB. Largest difference from "
        f"numpy {plain['largest_difference']:.0e}, of improvements up to "
        f"{plain['largest_value']:.1e}.",
        "",
        f"## Largest expected improvement (half of the draws choose, the best of {N_RANDOM:,} "
        "random recipes beside it)",
        "",
        "EI in nats per token over the half that chooses, in 1e-6; `told` over the other half.",
        "",
        "| forms | incumbent | set | seconds | CPU | EI | best random | best random near it "
        "| bound | told | batch of 4: seconds | CPU | EI | greedy |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(search_line(row) for row in found["search"]),
        "",
        "## Optimum of every draw",
        "",
        "| set | targets | seconds | CPU seconds | largest relative gap |",
        "|---|---|---|---|---|",
        *(
            f"| {row['set']} | {row['targets']} | {row['seconds']:.2f} | "
            f"{row['cpu_seconds']:.2f} | {row['largest_relative_gap']:.0e} |"
            for row in found["optima"]
        ),
    ]
    return "\n".join(lines) + "\n"


def search_line(row: dict[str, Any]) -> str:
    """One row of the table of searches."""
    micro = [
        f"{1e6 * row[key]:.2f}"
        for key in (
            "expected_improvement_choosing",
            "best_of_random",
            "best_of_random_near",
            "upper_bound",
        )
    ]
    told = row["expected_improvement"]
    cells = [
        str(row["forms"]),
        row["incumbent"],
        "ordered" if row["ordering"] else "free",
        f"{row['seconds']:.2f}",
        f"{row['cpu_seconds']:.2f}",
        *micro,
        f"{1e6 * told['value']:.2f} ± {1e6 * told['se']:.2f}",
        f"{row['batch_of_4']['seconds']:.2f}",
        f"{row['batch_of_4']['cpu_seconds']:.2f}",
        f"{1e6 * row['batch_of_4_choosing']:.2f}",
        f"{1e6 * row['batch_of_4_greedy']:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"
