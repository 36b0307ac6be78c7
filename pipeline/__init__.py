"""timbre: AudioSet rows go in at the top, instrument tags over catalogues come out below.

What docs/api.md shows is importable from here; a name is loaded when it is asked for, as torch and
Ray take seconds.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.2.0"
"""Of the code; pyproject.toml reads it here, so that no installed copy can say another."""

if "RAY_ADDRESS" not in os.environ:  # what follows may start a Ray of its own: on loopback only,
    # which Ray must know before it is imported; on Linux, too, whatever the name says
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

_FUNCTIONS = (
    *(
        "dry_run",
        "build",
        "extract_features",
        "explore",
        "fit",
        "cross_validate",
        "learn_corrections",
        "import_model",
    ),
    *("quantize", "evaluate", "evaluate_regression", "compare_evaluations", "compare_tags"),
    "reproduce",
    *("plan_tagging", "tag_catalog", "retag", "export_tags", "undo_file_tags", "search"),
    *("browse", "take_in"),
    *("checkup", "submit"),
)
_ROOM_OF = {
    **dict.fromkeys(_FUNCTIONS, "api"),
    "BuildConfig": "configs.build",
    "Access": "audio.fetching.access",
    "Dataset": "store.dataset",
    "ExtractConfig": "configs.extract",
    "ExploreConfig": "configs.explore",
    "TrainConfig": "training.config",
    "FitConfig": "configs.train",
    "preset": "training.presets",
    "ImportConfig": "models.pretrained.import_config",
    "QuantizeConfig": "configs.quantize",
    "EvaluateConfig": "configs.evaluate",
    "CompareConfig": "configs.compare",
    "CompareTagsConfig": "configs.compare",
    "ReproduceConfig": "configs.reproduce",
    "TagConfig": "configs.tag",
    "RetagConfig": "configs.retag",
    "ExportConfig": "configs.export",
    "SearchConfig": "configs.search",
    "TaggedCatalogue": "searching.catalogue",
    "DoctorConfig": "configs.doctor",
    "LearnCorrectionsConfig": "configs.learn_corrections",
    "CorrectConfig": "configs.correct",
    "BrowseConfig": "configs.browse",
    "SubmitConfig": "configs.submit",
    "TrackTagger": "inference.tagger",
    "describe": "inference.described",
    "inference_config": "inference.inference_config",
    "list_tracks": "store.catalogue",
    "LogMelSpec": "audio.spectra.logmel",
    "log_mel": "audio.spectra.logmel",
    "separate": "audio.description.separation",
    "decode": "audio.decoding.decode",
}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, so that tools complete them."""
    return __all__
