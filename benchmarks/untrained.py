"""A model with random weights: how fast it is does not depend on what it has learnt."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.model import Architecture, ModelCard, Tagger, save_model
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder


def write_untrained(folder: Path, name: str, size: int = 256) -> Path:
    """Write a model for log-mels resized to `size` by `size`, unless it is there."""
    vocabulary = default_vocabulary()
    architecture = Architecture(name, len(vocabulary.codes), (size, size))
    card = ModelCard(
        architecture, vocabulary, LogMelInput(), WindowSpec(), "s2", {}, "none", {"history": []}, {}
    )
    if not (folder / "model.json").exists():
        torch.manual_seed(0)
        save_model(Folder(str(folder)), Tagger(architecture).state_dict(), card)
    return folder
