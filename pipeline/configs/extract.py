"""What an extraction of features is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.configs.cluster import ClusterConfig
from pipeline.errors import UsageError
from pipeline.flags import Count, Flag, Uri, described, words
from pipeline.seams import declaring

FEATURES = (
    *("logmel", "mfcc", "descriptors", "zcr", "rms", "centroid", "bandwidth", "contrast"),
    *("rolloff", "flatness", "flux", "poly", "chroma_stft", "chroma_cqt", "chroma_cens"),
    *("tonnetz", "cqt", "tempogram", "yin", "pyin", "crepe", "pitch_roll", "nmf_components"),
    *("nmf_activations", "crepe_small", "crepe_medium", "crepe_large", "crepe_full"),
    *declaring("pipeline.audio.description.more_features", "FEATURE"),
)
"""Names in the feature catalogue (`audio.feature_table`), in its order."""
STATISTICS = ("mean", "var")
"""What `--pool` may name of a clip's columns."""


@described
@dataclass(frozen=True)
class ExtractConfig(ClusterConfig):
    """Which features, of what, to where."""

    dataset: Uri
    """A dataset's folder, from build_subset."""
    features: Annotated[tuple[str, ...], words("NAMES", ", ".join(FEATURES))]
    """Names with commas between: {known}."""
    out: Uri
    """The folder for the tables."""
    pool: Annotated[tuple[str, ...], words("mean,var")] = ()
    """Statistics of a clip over its frames, instead of the frames: mean, var or both."""
    prepare: Annotated[str, Flag("STEPS")] = ""
    """Steps before the features, with commas between: lowpass:HZ, denoise, denoise:FILE (a clip of
    noise), standardise (by the training split)."""
    n_fft: Count = 2048
    """Length of a frame in samples."""
    hop: Count = 512
    """Distance of frames in samples."""

    def __post_init__(self) -> None:
        if not self.features or len(set(self.features)) < len(self.features):
            raise UsageError(f"--features {','.join(self.features)}: expected names, each once")
        if unknown := sorted(set(self.pool) - set(STATISTICS)):
            raise UsageError(f"--pool {','.join(unknown)}: expected mean, var or mean,var")
