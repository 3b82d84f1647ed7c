"""A run's checkpoint -> its model, to be evaluated further."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.training.checkpoint import open_checkpoint
from bayes_infolaw.harness.training.device import require_device
from bayes_infolaw.harness.training.transformer import Transformer

__all__ = ["TrainedModel", "load_trained"]


@dataclass(frozen=True)
class TrainedModel:
    """A model as a checkpoint has it.

    Attributes
    ----------
    model : Transformer
        On the device asked for, in evaluation mode.
    settings : RunSettings
        Of its run.
    step : int
        Optimiser steps taken, of ``settings.budget.steps``.
    """

    model: Transformer
    settings: RunSettings
    step: int

    @property
    def finished(self) -> bool:
        """Whether it has taken all its steps."""
        return self.step == self.settings.budget.steps

    def precision(self) -> AbstractContextManager[object]:
        """The arithmetic that it was trained in, for forward passes inside."""
        if self.settings.precision == "fp32":
            return nullcontext()
        device = self.model.embedding.weight.device.type
        return torch.autocast(device, dtype=torch.bfloat16)


def load_trained(path: str | Path, corpus: Corpus, device: str = "cpu") -> TrainedModel:
    """Load a model that was trained on a corpus.

    Parameters
    ----------
    path : str or Path
        A run's folder, whose newest checkpoint is taken, or a checkpoint's.
    corpus : Corpus
        That the run was trained on: its token ids are the model's.
    device : str
        "cpu" or "cuda".

    Raises
    ------
    InputError
        There is no whole checkpoint, it is of another corpus, or torch sees no such device.
    """
    require_device(device)
    found = open_checkpoint(path)
    settings = RunSettings.from_dict(found.progress["settings"])
    own = found.progress["identity"]["corpus"]
    if own != corpus.hash:
        rule = f"must be the one that run {settings.name!r} was trained on ({own})"
        raise InputError(f"corpus: {rule}, got {corpus.hash}")
    model, weights = Transformer(settings.shape), found.weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    return TrainedModel(model.to(device).eval(), settings, int(found.progress["step"]))
