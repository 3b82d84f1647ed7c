"""The command line: every command is a thin call of the Python API."""

import os

__all__ = ["main"]


def main() -> None:
    """Run the command ``bayes-infolaw``; leaves by SystemExit with the exit code.

    0 fine; 2 bad input; 3 fit written but not converged; 4 refused.
    """
    # Before numpy is loaded: BLAS threads on matrices of this size only wait for one another.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from bayes_infolaw.cli.app import app

    app()
