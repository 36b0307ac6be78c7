"""What becomes of batches in, the tally of all of them out, with a progress bar meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from pipeline.evaluation.runs.tally import Tally
from pipeline.runs.logs import progress_bar
from pipeline.store.tags.work.work_table import WorkTable
from pipeline.tagging.commit import Committed


def gathered(
    done: Iterator[Committed], *, n_tracks: int, waits: str
) -> tuple[Tally, list[WorkTable]]:
    """Return the tally of all batches, and tables of the tracks whose content was known.

    Parameters
    ----------
    done
        The batches, as they end.
    n_tracks
        How many tracks there are in all, for the bar.
    waits
        What the bar waits for until the first batch.
    """
    tally, same, began = Tally(), [], monotonic()
    with progress_bar(total=n_tracks, unit=" tracks", desc="tag", postfix=waits) as bar:
        for one in done:
            part = one.tally
            part.done_at = monotonic()
            spent_s = sum(part.stages.values())  # of one process
            part.begun_at = max(began, part.done_at - spent_s)
            tally.add(part)
            if one.same.n_rows:
                same.append(one.same)
            bar.set_postfix_str(f"{tally.n_failed} failed", refresh=False)
            bar.update(part.n_tracks)
    return tally, same
