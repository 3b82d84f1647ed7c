"""What can go wrong, as the exit codes of the command line name it."""

__all__ = ["InfeasibleError", "InputError", "RefusedError", "require_probability"]


class InputError(ValueError):
    """Bad input: the message names the field, the rule and the value (exit code 2)."""


class InfeasibleError(InputError):
    """A set of constraints that no recipe satisfies; the message names those that clash."""


class RefusedError(RuntimeError):
    """A valid request that the fit's verdict or the law's domain does not allow (exit code 4)."""


def require_probability(name: str, value: float) -> None:
    """Raise InputError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise InputError(f"{name}: must lie between 0 and 1, got {value!r}")
