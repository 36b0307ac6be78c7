"""The figures that the page of a tagging run compares, from the run's record. PURE."""

from __future__ import annotations

from schemas.tagging_run import TaggingRun


def tried(run: TaggingRun | None) -> tuple[int, int]:
    """Return how many tracks failed, of how many that were tried."""
    return (run.failed, run.tagged + run.failed) if run else (0, 0)


def n_new(run: TaggingRun) -> int:
    """Return how many tracks no run has seen before."""
    known = run.changed + run.retried + run.undescribed - run.touched
    return int(max(0, run.tagged + run.failed - known))


def n_renamed(run: TaggingRun) -> int:
    """Return how many tracks have a new name and the content of a track that is known."""
    return int(run.same_content - run.touched)


def speed_of(run: TaggingRun | None) -> float | None:
    """Return the seconds of audio a second of wall time; None where there was no audio."""
    if not run or not run.audio_s or not run.seconds:
        return None
    return float(run.audio_s / run.seconds)


def cost_of(run: TaggingRun, stage: str) -> float:
    """Return a stage's seconds of work for an hour of audio."""
    return float(3600 * run.stages.get(stage, 0.0) / run.audio_s)


def engine_of(run: TaggingRun) -> str:
    """Return what the model ran by: engine and precision; nothing where it scored nothing."""
    return " ".join(run.engine[key] for key in ("name", "precision") if run.engine.get(key))


def ratio(part: float, whole: float) -> float | None:
    """Return a share; None of nothing."""
    return part / whole if whole else None
