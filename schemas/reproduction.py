"""reproduction.json: a study done again, its experiments, its figures and what it claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self

from schemas.record import Record

State = Literal["done", "failed", "skipped"]
"""What became of an experiment: skipped ones cannot be done here, and say why."""
Verdict = Literal["holds", "fails", "undecided", "not tested"]
"""Of a claim: it holds, it does not, the clips cannot say, or an experiment is missing."""


@dataclass(frozen=True)
class TrainingRow:
    """A model of the study, and what its training took."""

    name: str
    """Name of the experiment, and of its folder in `models/`."""
    dataset: str
    """What it was trained on: irmas or audioset."""
    about: str
    """What sets it apart, in words."""
    state: State
    """Whether it is done, skipped or failed."""
    reason: str = ""
    """Why it is not done; empty where it is."""
    model_id: str | None = None
    """The model's id: its network's name and a hash of its weights."""
    n_parameters: int | None = None
    """How many numbers of the network are learned."""
    report_parameters: int | None = None
    """Those that the report prints, rounded as there; None where it prints none."""
    seconds: float | None = None
    """How long the training took, in s."""
    peak_memory_mib: float | None = None
    """The most memory of one worker, in MiB: resident on a CPU, torch's own on a GPU."""
    n_epochs: int | None = None
    """How many epochs were trained."""
    best_epoch: int | None = None
    """The epoch that is kept: the smallest validation loss after S2."""


@dataclass(frozen=True)
class ResultRow:
    """What one model, or an ensemble, says of one test split. Figures are 0 to 1."""

    name: str
    """Name of the result, and of its folder in `evaluations/`."""
    models: list[str]
    """The experiments whose models were scored; several are an ensemble."""
    dataset: str
    """Whose test split was scored: irmas or audioset."""
    state: State
    """Whether it is done, skipped or failed."""
    reason: str = ""
    """Why it is not done; empty where it is."""
    n_items: int | None = None
    """How many clips were scored."""
    figures: dict[str, float | None] = field(default_factory=dict)
    """Of the classes that are there: hamming_score, exact_match, macro_f1_present, ..."""
    intervals: dict[str, list[float | None]] = field(default_factory=dict)
    """Low and high end of the 95 % bootstrap interval of figures."""


@dataclass(frozen=True)
class ClaimRow:
    """Something that the report says, and whether it is so here."""

    figure: str
    """Name of the figure that it belongs to."""
    text: str
    """The claim, as a sentence."""
    verdict: Verdict
    """Whether the claim holds here."""
    detail: str = ""
    """What was found, in words."""
    difference: float | None = None
    """Macro F1 of what is claimed to be better less that of the other."""
    low: float | None = None
    """Low end of the 95 % interval of the difference."""
    high: float | None = None
    """High end of that interval."""
    p_value: float | None = None
    """Of the difference, two-sided, from paired resamples."""
    p_holm: float | None = None
    """The same, corrected for the number of the figure's claims (Holm)."""


@dataclass(frozen=True)
class DifferenceRow:
    """How far a result of a figure is from the best one on the same test split, in macro F1."""

    figure: str
    """Name of the report's figure."""
    name: str
    """Name of the result compared."""
    best: str
    """Name of the best result of the figure on that split."""
    difference: float | None
    """Macro F1 less that of the best."""
    low: float | None
    """Low end of the 95 % interval of the difference."""
    high: float | None
    """High end of that interval."""
    p_value: float | None
    """Of the difference, two-sided, from paired resamples."""
    p_holm: float | None
    """The same, corrected for the number of the figure's results on that split (Holm)."""


@dataclass(frozen=True)
class FigureRow:
    """A figure of the report: which results it shows."""

    name: str
    """Its name, as `--only` takes it."""
    title: str
    """What it shows, in words."""
    results: list[str] = field(default_factory=list)
    """Names of the results, in the figure's order."""
    trainings: list[str] = field(default_factory=list)
    """Names of the models, in the figure's order."""
    note: str = ""
    """What has to be known to read it."""


@dataclass(frozen=True)
class ReproductionRecord(Record):
    """reproduction.json: all numbers of the page. Nothing in it is NaN."""

    study: str
    """The study that is done again: harmony."""
    identity: dict[str, Any]
    """The options that results depend on; a folder holds one set of them."""
    complete: bool = False
    """Whether the run has ended: every experiment is done, skipped or failed."""
    trainings: list[TrainingRow] = field(default_factory=list)
    """The models that were trained, or were to be."""
    results: list[ResultRow] = field(default_factory=list)
    """What they say of the test splits."""
    figures: list[FigureRow] = field(default_factory=list)
    """The figures that were asked for."""
    claims: list[ClaimRow] = field(default_factory=list)
    """What the report says of them."""
    differences: list[DifferenceRow] = field(default_factory=list)
    """Each result against the best of its figure."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions of the code and its packages, the datasets."""

    rows: ClassVar[Mapping[str, type]] = {
        "trainings": TrainingRow,
        "results": ResultRow,
        "figures": FigureRow,
        "claims": ClaimRow,
        "differences": DifferenceRow,
    }
    """The kind of row of each list."""

    def to_dict(self) -> dict[str, Any]:
        """Return what is written as json: rows as dicts."""
        lists = {name: [asdict(row) for row in getattr(self, name)] for name in self.rows}
        return super().to_dict() | lists

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the record that was written; ValueError where it is of a later version or cut."""
        lists = {
            name: [kind(**row) for row in values.get(name, ())] for name, kind in cls.rows.items()
        }
        return super().from_dict({**values, **lists})

    @property
    def n_failed(self) -> int:
        """How many trainings and evaluations have failed."""
        states = [row.state for row in self.trainings] + [row.state for row in self.results]
        return states.count("failed")
