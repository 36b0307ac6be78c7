"""A reproduction of the report in, its `Page` out: figures, claims and tables. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pipeline.evaluation.statistics.bootstrap import N_RESAMPLES
from pipeline.report.page import Block, Cell, Page, Points, Table, Tile
from pipeline.report.pages.comparison_page import p_text
from pipeline.report.pages.reproduction_data import ClipsShown as ClipsShown
from pipeline.report.pages.reproduction_data import anova_blocks, clip_blocks
from pipeline.report.plots.reproduction_plots import FIGURES, cost_bars, result_bars
from pipeline.report.wording import duration_text
from schemas.exploration import ExplorationRecord
from schemas.reproduction import (
    ClaimRow,
    DifferenceRow,
    FigureRow,
    ReproductionRecord,
    ResultRow,
    TrainingRow,
)

VERDICTS = {
    "holds": "holds",
    "fails": "does not hold",
    "undecided": "these clips cannot say",
    "not tested": "not tested",
}
"""By verdict, what the page says."""
_RESULT_COLUMNS = (
    *("trained on", "tested on", "clips"),
    *(*FIGURES.values(), "exact match", "micro F1", "mAP"),
)
_RESULT_KEYS = (*FIGURES, "exact_match", "micro_f1", "mean_average_precision")


def reproduction_page(
    record: ReproductionRecord, explored: ExplorationRecord | None, clips: Sequence[ClipsShown]
) -> Page:
    """Return the page of a reproduction.

    `explored` has the ANOVA, `clips` those of the datasets that the data figures are of; either is
    empty where it was not asked for.
    """
    return Page(
        title="The Harmony report, done again",
        lead=_lead(record),
        tiles=_tiles(record),
        blocks=[
            *_left_out(record),
            claims_table("What the report says, and what came out here", record.claims),
            *(block for one in clips for block in clip_blocks(one)),
            *(
                block
                for figure in record.figures
                for block in _figure_blocks(figure, record, explored)
            ),
            _results_table("All results", record.results, record),
            _trainings_table("All models", record.trainings),
        ],
        notes=_notes(record),
        provenance=record.provenance,
    )


def claims_table(title: str, claims: Sequence[ClaimRow]) -> Table:
    """Return claims with what came of them."""
    rows = [
        (
            claim.figure,
            claim.text,
            VERDICTS[claim.verdict],
            claim.difference,
            range_text(claim.low, claim.high),
            p_text(claim.p_holm, N_RESAMPLES),
            claim.detail,
        )
        for claim in claims
    ]
    columns = ("figure", "the report", "here", "difference", "from to", "p", "what was found")
    note = (
        "The difference is in macro F1, of the claimed better one less the other, with its 95 % "
        "bootstrap interval; p is two-sided, from paired resamples, and corrected for the figure's "
        "claims (Holm)."
    )
    return Table(title, columns, rows, note).filled()


def range_text(low: float | None, high: float | None) -> str | None:
    """Return '-0.012 to +0.034'; None where there is no interval.

    >>> range_text(-0.0123, 0.034)
    '-0.012 to +0.034'
    """
    return None if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def _lead(record: ReproductionRecord) -> str:
    n_by = Counter(claim.verdict for claim in record.claims)
    claims = f"{n_by['holds']} of {len(record.claims)} claims that our notes have of it hold here"
    n_done = sum(row.state == "done" for row in record.trainings)
    return f"{n_done} of {len(record.trainings)} models were trained; {claims}."


def _tiles(record: ReproductionRecord) -> list[Tile]:
    n_by = Counter(claim.verdict for claim in record.claims)
    done = [row for row in record.results if row.state == "done" and row.dataset == "irmas"]
    tiles = [
        Tile("claims that hold", n_by["holds"], f"of {len(record.claims)}"),
        Tile("claims that do not", n_by["fails"]),
        Tile("undecided", n_by["undecided"] + n_by["not tested"]),
        Tile("experiments failed", record.n_failed),
    ]
    if not done:
        return tiles
    best = max(done, key=lambda row: row.figures["macro_f1_present"] or 0.0)
    return [*tiles, Tile("best macro F1", best.figures["macro_f1_present"], best.name)]


def _left_out(record: ReproductionRecord) -> Iterator[Points]:
    """Yield what was not done, each with its reason; nothing where all was."""
    missing = {row.name: row for row in record.trainings if row.state != "done"}
    results = [
        row
        for row in record.results
        if row.state != "done" and not missing.keys() & set(row.models)
    ]
    models = [f"{row.name}: {row.state}: {row.reason}" for row in missing.values()]
    if points := models + [f"{row.name}: {row.state}: {row.reason}" for row in results]:
        yield Points("Not done", points)


def _figure_blocks(
    figure: FigureRow, record: ReproductionRecord, explored: ExplorationRecord | None
) -> Iterator[Block]:
    title = figure.title[0].upper() + figure.title[1:]
    claims = [claim for claim in record.claims if claim.figure == figure.name]
    if figure.name == "descriptors" and explored is not None and explored.anova:
        yield from anova_blocks(explored.anova, title=title, note=figure.note)
    trainings = {row.name: row for row in record.trainings}
    if figure.name == "cost":
        rows = [trainings[name] for name in figure.trainings]
        yield cost_bars(rows, title=title)
        yield _trainings_table(f"{title}: numbers", rows, figure.note)
    if figure.results:
        by_name = {row.name: row for row in record.results}
        results = [by_name[name] for name in figure.results]
        if any(row.state == "done" for row in results):
            yield result_bars(results, title=title)
        yield _results_table(f"{title}: numbers", results, record, figure.note)
        if found := [row for row in record.differences if row.figure == figure.name]:
            yield _differences_table(f"{title}: against the best", found)
    if claims:
        yield claims_table(f"{title}: the report's claims", claims)


def _results_table(
    title: str, rows: Sequence[ResultRow], record: ReproductionRecord, note: str = ""
) -> Table:
    trained_on = {row.name: row.dataset for row in record.trainings}
    cells: list[tuple[Cell, ...]] = [
        (
            row.name,
            ", ".join(sorted({trained_on[name] for name in row.models})),
            row.dataset,
            row.n_items,
            *(row.figures.get(key) for key in _RESULT_KEYS),
        )
        for row in rows
    ]
    return Table(title, ("model", *_RESULT_COLUMNS), cells, note)


def _differences_table(title: str, rows: Sequence[DifferenceRow]) -> Table:
    cells = [
        (
            row.name,
            row.best,
            row.difference,
            range_text(row.low, row.high),
            p_text(row.p_value, N_RESAMPLES),
            p_text(row.p_holm, N_RESAMPLES),
        )
        for row in rows
    ]
    columns = ("model", "less the best", "macro F1", "from to", "p", "p (Holm)")
    return Table(title, columns, cells, "On the same test clips, by paired resamples of songs.")


def _trainings_table(title: str, rows: Sequence[TrainingRow], note: str = "") -> Table:
    cells = [
        (
            row.name,
            row.about,
            row.dataset,
            row.n_parameters,
            row.report_parameters,
            None if row.seconds is None else duration_text(row.seconds),
            None if row.peak_memory_mib is None else f"{row.peak_memory_mib:,.0f} MiB",
            row.best_epoch,
            row.n_epochs,
        )
        for row in rows
    ]
    columns = (
        *("model", "what it is", "trained on", "parameters", "the report's", "training"),
        *("peak memory", "best epoch", "epochs"),
    )
    return Table(title, columns, cells, note, numbers=("training", "peak memory"))


def _notes(record: ReproductionRecord) -> list[str]:
    options: Mapping[str, object] = record.identity
    by = "by song" if options.get("irmas_split") == "song" else "by file, as in the report"
    limit = options.get("limit")
    notes = [
        "The report is a study of 2023 on instrument recognition (docs/models.md). Claims are "
        "those that our notes on it state; they name no figure's number, so figures are named by "
        "what they show.",
        f"IRMAS's testing clips are shared out to validation (30 %) and test (70 %) {by}. "
        "Resamples draw whole songs.",
        "A clip's labels are those that S2 gives at 0.5, as in the report: S2 names at least one.",
        "A claim holds where its corrected p is below 0.05 and the difference has its sign. One "
        "seed per model: another seed may change small differences.",
        "The report's parameters are rounded, and those of AST are of inputs of 10 s; ours hears "
        "1 s, and has fewer position embeddings.",
    ]
    if limit is not None:
        notes.append(f"At most {limit} clips of a class in each split: --limit.")
    if (epochs := options.get("epochs")) is not None:
        notes.append(f"Each model was trained for {epochs} epochs; the report's have 35.")
    return notes
