"""Scores of clips in, how right they are out; by source, as a source that is learned from flatters.

Clips of unseen sources: soundfonts that nothing is learned from (their licences do not let it), and
recordings or windows of a source that a student was trained without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, f1_score

from pipeline.arrays import Bools, Float32
from pipeline.audio.spectra.windows import cut_windows, window_starts
from pipeline.evaluation.labels.thresholds import tuned
from pipeline.models.model import Tagger
from starter_steps.notes import CODES
from starter_steps.pool import INPUT_SPEC, WINDOWS, Clip
from starter_steps.student import scores_of


@dataclass(frozen=True)
class Figures:
    """How right scores are, of the classes that are there."""

    n_clips: int
    n_classes: int
    macro_f1: float
    mean_average_precision: float

    def line(self) -> str:
        """Return them in a line."""
        return (
            f"{self.n_clips} clips of {self.n_classes} classes: macro F1 {self.macro_f1:.3f}, "
            f"mAP {self.mean_average_precision:.3f}"
        )


def truth_of(clips: list[Clip]) -> Bools:
    """Return what clips are of, `[n_clips, n_classes]`; others and drums are of no class."""
    labels = np.array([clip.label for clip in clips])
    return np.asarray(labels[:, None] == np.arange(len(CODES)))


def clip_scores(tagger: Tagger, clips: list[Clip]) -> Float32:
    """Return a model's scores of clips, the mean over windows, `[n_clips, n_classes]`."""
    n_frames, rows = WINDOWS.n_frames(INPUT_SPEC), []
    for clip in clips:
        matrix = INPUT_SPEC.matrix(clip.samples)
        starts = window_starts(matrix.shape[1], WINDOWS, INPUT_SPEC)
        windows = cut_windows(matrix, starts, n_frames, silence=INPUT_SPEC.silence)
        rows.append(scores_of(tagger, windows).mean(axis=0))
    return np.stack(rows)


def figures(truth: Bools, scores: Float32, thresholds: npt.ArrayLike) -> Figures:
    """Return macro F1 at thresholds, one per class or one for all, and mAP."""
    there = np.flatnonzero(truth.any(axis=0))
    named = scores >= np.broadcast_to(np.asarray(thresholds), len(CODES))
    precisions = [average_precision_score(truth[:, k], scores[:, k]) for k in there]
    f1 = f1_score(truth[:, there], named[:, there], average="macro", zero_division=0)
    return Figures(len(truth), len(there), float(f1), float(np.mean(precisions)))


def calibrated(truth: Bools, scores: Float32) -> dict[str, float]:
    """Return one threshold per class: half-way from 0.5 to the largest F1's, as clips are few."""
    best = tuned(truth, scores, class_codes=CODES).values
    return {
        code: round((0.5 + float(np.clip(value, 0.1, 0.9))) / 2, 3) for code, value in best.items()
    }


def confusion(labels: list[str], scores: Float32) -> str:
    """Return a table in Markdown: rows are what clips are of, columns the class scored highest."""
    lines = [f"| | {' | '.join(CODES)} |", "|---" * (len(CODES) + 1) + "|"]
    highest = scores.argmax(axis=1)
    for label in sorted(set(labels), key=[*CODES, *sorted(set(labels) - set(CODES))].index):
        rows = np.array([one == label for one in labels])
        counts = np.bincount(highest[rows], minlength=len(CODES))
        lines.append(f"| {label} | {' | '.join(str(n) if n else '' for n in counts)} |")
    return "\n".join(lines)
