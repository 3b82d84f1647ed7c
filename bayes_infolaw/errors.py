"""What can go wrong, as the exit codes of the command line name it."""

__all__ = ["InfeasibleError", "InputError", "RefusedError"]


class InputError(ValueError):
    """Bad input: the message names the field, the rule and the value (exit code 2)."""


class InfeasibleError(InputError):
    """A set of constraints that no recipe satisfies; the message names those that clash."""


class RefusedError(RuntimeError):
    """A valid request that the fit's verdict or the law's domain does not allow (exit code 4)."""
