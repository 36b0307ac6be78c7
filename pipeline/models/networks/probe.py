"""Frozen encoders and a head on what they make of a clip: the mean and the maximum over time.

A window of the probe is a clip. Each encoder takes it in windows of its own length, here called
patches, and gives an embedding of each. Their mean and their maximum over the patches, side by side
over all encoders and standardised, go through a linear layer or an MLP. Only that head is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.models.names import PROBE as PROBE
from pipeline.models.networks.parts.embedding import embedding_hook

_LEAST_SOUND = 0.05
"""How far a value must be from silence's, in the probe's scaled units, to be sound: bfloat16 moves
silence by 0.02 at most."""
_NONE = -1e30  # less than any embedding; bfloat16 has such numbers, too


class PatchEncoder(nn.Module):
    """One frozen encoder: windows in, the mean and the maximum of its patches' embeddings out.

    Parameters
    ----------
    tagger
        The encoder: `prepared` scales stored patches, `backbone` is the network. It has an
        embedding.
    rows
        The first of the probe's rows that the encoder takes, and the one behind the last.
    starts
        Columns of the window at which a patch begins.
    n_frames
        Columns of a patch.
    scaling
        Mean and deviation that the windows are scaled by.
    silence
        Scaled value of what stands beyond the end of a clip.
    is_prepared
        Whether the windows are scaled as the encoder's own are, so that nothing is to be done.
    """

    def __init__(
        self,
        tagger: nn.Module,
        *,
        rows: Sequence[int],
        starts: Sequence[int],
        n_frames: int,
        scaling: tuple[float, float],
        silence: float,
        is_prepared: bool,
    ) -> None:
        super().__init__()
        self.tagger = tagger
        self.rows, self.starts, self.n_frames = tuple(rows), tuple(starts), n_frames
        self.scaling, self.silence, self.is_prepared = scaling, silence, is_prepared
        self.hook = embedding_hook(tagger.backbone)  # type: ignore[arg-type]

    def forward(self, windows: Tensor) -> Tensor:
        """Return the pooled embeddings, `[n, n_features]`, of `[n, all rows, n_columns]`."""
        patches = self.patches(windows)
        vectors, n_patches = self.embedded(patches), len(self.starts)
        if n_patches == 1:
            return vectors  # each is its own mean and maximum
        counts = self.has_sound(patches).reshape(-1, n_patches)
        return pooled(vectors.reshape(-1, n_patches, vectors.shape[1]), counts)

    def patches(self, windows: Tensor) -> Tensor:
        """Return the patches of all windows, `[n * n_patches, own rows, n_frames]`."""
        first, last = self.rows
        cut = [windows[:, first:last, start : start + self.n_frames] for start in self.starts]
        return torch.stack(cut, dim=1).flatten(0, 1)

    def has_sound(self, patches: Tensor) -> Tensor:
        """Return which patches are not silence alone, as those beyond a clip's end are."""
        return (patches - self.silence).abs().amax(dim=(1, 2)) > _LEAST_SOUND

    def embedded(self, patches: Tensor) -> Tensor:
        """Return the embedding of each patch, `[n, n_features]`."""
        if not self.is_prepared:
            mean, deviation = self.scaling
            patches = self.tagger.prepared(patches * deviation + mean)  # type: ignore[operator]
        self.tagger.backbone(patches)  # type: ignore[operator]
        return self.hook.take()[0]


def pooled(vectors: Tensor, counts: Tensor) -> Tensor:
    """Return the mean and the maximum over the patches that count, side by side.

    Parameters
    ----------
    vectors
        `[n, n_patches, n_features]`.
    counts
        Which patches do, `[n, n_patches]`; where none does, all do.

    Returns
    -------
    Tensor
        `[n, 2 * n_features]`.
    """
    counts = (counts | ~counts.any(dim=1, keepdim=True)).unsqueeze(2)
    weights = counts.to(vectors.dtype)
    mean = (vectors * weights).sum(dim=1) / weights.sum(dim=1)
    highest = torch.where(counts, vectors, torch.full_like(vectors, _NONE)).amax(dim=1)
    return torch.cat([mean, highest], dim=1)


@torch.no_grad()
def n_features_of(tagger: nn.Module, shape: tuple[int, int]) -> int | None:
    """Return how wide an encoder's embedding is, by a window of zeros; None where it has none."""
    hook = embedding_hook(tagger.backbone)  # type: ignore[arg-type]
    tagger(torch.zeros(1, *shape))
    found = hook.take()
    return found[0].shape[1] if found else None


class Head(nn.Module):
    """What is fitted: standardised embeddings to logits, by a linear layer or an MLP."""

    def __init__(self, n_features: int, n_classes: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))
        layers = [nn.Linear(n_features, hidden), nn.ReLU()] if hidden else []
        self.hidden = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden or n_features, n_classes)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, of pooled embeddings, `[n, n_features]`."""
        standardised = (vectors - self.mean) / self.deviation
        logits: Tensor = self.classifier(self.dropout(self.hidden(standardised)))
        return logits


class Probe(nn.Module):
    """Encoders side by side, and the head.

    Parameters
    ----------
    encoders
        Each takes its own rows of the windows.
    head
        Of all their embeddings together.
    """

    def __init__(self, encoders: Sequence[PatchEncoder], head: Head) -> None:
        super().__init__()
        self.encoders, self.head = nn.ModuleList(encoders), head
        for weight in self.encoders.parameters():
            weight.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Probe:
        """Train the head: encoders are frozen, running statistics too."""
        super().train(mode)
        self.encoders.eval()
        return self

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for windows, `[n, n_rows, n_columns]`."""
        logits: Tensor = self.head(self.embedded(windows))
        return logits

    def embedded(self, windows: Tensor) -> Tensor:
        """Return the pooled embeddings of all encoders, `[n, n_features]`."""
        return torch.cat([encoder(windows) for encoder in self.encoders], dim=1)

    @classmethod
    def of(
        cls,
        sizes: Mapping[str, Any],
        taggers: Sequence[nn.Module],
        *,
        n_classes: int,
        dropout: float,
    ) -> Probe:
        """Build a probe from `Architecture.sizes` and its encoders, in their order."""
        known = ("rows", "starts", "n_frames", "scaling", "silence", "is_prepared")
        encoders = [
            PatchEncoder(tagger, **{key: one[key] for key in known})
            for tagger, one in zip(taggers, sizes["encoders"], strict=True)
        ]
        head = Head(sizes["n_features"], n_classes, hidden=sizes["hidden"], dropout=dropout)
        return cls(encoders, head)

    def get_classifier(self) -> nn.Module:
        """Return the head: all that is fitted of a probe."""
        return self.head

    def embedding_layer(self) -> nn.Module:
        """Return the last layer: what it sees is the embedding that tagging keeps."""
        return self.head.classifier
