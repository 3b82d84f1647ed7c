"""One BLAS thread for small matrices: idle ones only fight over the cores."""

from collections.abc import Callable
from functools import wraps

__all__ = ["one_blas_thread"]


def one_blas_thread[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with BLAS on one thread.

    Our matrices are at most some hundred rows: on a busy machine a threaded BLAS made the baselines
    a hundred times slower.
    """

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        # Imported here because threadpoolctl changes the environment when it is.
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
