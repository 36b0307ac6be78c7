"""A dataset and a training config in, the model out: its front end, its classes, its network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from pipeline.audio.description.prepare import Step, parse_steps
from pipeline.audio.spectra.front_ends.prepared import PreparedInput
from pipeline.audio.spectra.input_kinds import (
    LogMelInput,
    SamplesInput,
    adds_up,
    is_below_peak,
    level_rows,
)
from pipeline.audio.spectra.input_spec import InputSpec, unprepared
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.datasets.noise_clip import read_noise
from pipeline.errors import UsageError
from pipeline.models.model import Architecture, Tagger
from pipeline.models.networks.parts.ast_weights import encoder_sizes
from pipeline.models.networks.probe import PROBE
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.dataset import Dataset
from pipeline.training.config import TrainConfig
from pipeline.training.folds import Fold, fold_of
from pipeline.training.recipes import input_spec_of
from pipeline.training.transfer.fine_tuning import Init
from pipeline.training.transfer.probe import ProbeDesign
from pipeline.training.transfer.teaching import Teaching
from pipeline.training.transfer.weight_files import WeightFiles, are_files
from schemas.dataset import DatasetRecord


@dataclass(frozen=True)
class ModelPlan:
    """What a training makes of a dataset: which model, of which input, for which classes."""

    dataset: Dataset
    meta: DatasetRecord
    """The content of the dataset's dataset.json."""
    config: TrainConfig

    def __post_init__(self) -> None:
        if self.config.sampling != "plain" and not adds_up(self.input_spec):
            what = getattr(self._front_end, "name", "several front ends")
            raise UsageError(
                f"--sampling {self.config.sampling}: {self.config.model} takes "
                f"{what}, which do not add up as sounds do; leave it out"
            )
        if self.config.teacher and self.steps:
            raise UsageError(
                "--teacher: teachers take a recording as it is, and this model's is prepared: "
                "leave out --prepare, or take another --init"
            )
        most = self.config.mix_max
        if self.config.sampling != "plain" and most > (n := len(self.vocabulary.codes)):
            raise UsageError(f"--mix-max {most}: the dataset has {n} classes")

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes of the dataset, in their order."""
        return Vocabulary.from_dict(self.meta.classes)

    @property
    def input_spec(self) -> InputSpec:
        """The front end of the model that is trained."""
        if self.config.model == PROBE:
            return self.probe.input_spec
        if self.init is not None:
            return self.init.input_spec
        return self._after_steps(self._network_front_end)

    @property
    def _network_front_end(self) -> InputSpec:
        """The front end of a network that begins anew, before any step."""
        of_dataset = LogMelSpec.from_dict(self.meta.feature_spec)
        return input_spec_of(self.config.model, of_dataset, self.config.input)

    def _after_steps(self, front_end: InputSpec) -> InputSpec:
        """Return a front end behind the steps of --prepare, where there are any."""
        return PreparedInput(front_end, self.steps) if self.steps else front_end

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What prepares the samples; the driver reads a clip of noise, and workers get it so."""
        if self.init is not None:
            return getattr(self.init.input_spec, "steps", ())
        if not self.config.prepare:
            return ()
        rate_hz = self._network_front_end.sample_rate_hz
        return parse_steps(self.config.prepare, partial(read_noise, rate_hz))

    @property
    def _front_end(self) -> InputSpec:
        """The front end itself, of samples that are prepared where they must be."""
        return unprepared(self.input_spec)

    @property
    def drawn_spec(self) -> LogMelSpec | None:
        """The log-mel that the model's windows are drawn as; None for other features."""
        input_spec = self._front_end
        if isinstance(input_spec, SamplesInput):
            return LogMelSpec.from_dict(self.meta.feature_spec)
        return input_spec.spec if isinstance(input_spec, LogMelInput) else None

    @cached_property
    def probe(self) -> ProbeDesign:
        """The encoders of a probe."""
        return ProbeDesign.of(self.config)

    @cached_property
    def init(self) -> Init | None:
        """The model that the training begins from."""
        return None if self.config.init is None else Init.of(self.config)

    @cached_property
    def teaching(self) -> Teaching | None:
        """The models whose scores are soft targets."""
        return Teaching.of(self.config) if self.config.teacher else None

    @cached_property
    def weight_files(self) -> WeightFiles | None:
        """The files of --weights; the driver reads them, and workers get them with this object."""
        weights = self.config.weights
        return WeightFiles.read(str(weights)) if are_files(weights) else None

    @contextmanager
    def weights_path(self) -> Iterator[str | None]:
        """Give what a network begins with: a local path, a word, or None."""
        if self.weight_files is None:
            yield self.config.begins_from
            return
        with self.weight_files.as_path() as path:
            yield path

    @cached_property
    def _encoder_sizes(self) -> dict[str, Any] | None:
        """Settings of a published AST that are not the usual ones."""
        if self.config.model != "ast":
            return None
        with self.weights_path() as weights:
            return encoder_sizes(weights)

    @property
    def named_by(self) -> dict[str, Any]:
        """What a run is named by in place of folders: the models that are there."""
        of_probe = {"encoder": self.probe.model_ids} if self.config.model == PROBE else {}
        init = {} if self.init is None else {"init": self.init.card.model_id}
        teachers = {} if self.teaching is None else {"teacher": self.teaching.model_ids}
        prepare = {"prepare": [str(step) for step in self.steps]} if self.config.prepare else {}
        return of_probe | init | teachers | prepare

    @property
    def windows(self) -> WindowSpec:
        """The windows, side by side."""
        return WindowSpec(self.config.window_s, self.config.window_s)

    @property
    def architecture(self) -> Architecture:
        """What it takes to build the network."""
        if self.config.model == PROBE:
            found = self.probe.architecture(
                len(self.vocabulary.codes), hidden=self.config.hidden, dropout=self.config.dropout
            )
            return replace(found, untrained=self.untrained)
        if self.init is not None:
            n_classes = len(self.vocabulary.codes)
            return self.init.architecture(
                self.config, n_classes=n_classes, untrained=self.untrained
            )
        db_rows, linear_rows = level_rows(self.input_spec)
        return Architecture(
            name=self.config.model,
            n_classes=len(self.vocabulary.codes),
            input_size=self.config.input_size,
            dropout=self.config.dropout,
            input_shape=(self.input_spec.n_rows, self.windows.n_frames(self.input_spec)),
            below_peak=is_below_peak(self.input_spec),
            untrained=self.untrained,
            sizes=self._encoder_sizes,
            db_rows=db_rows,
            linear_rows=linear_rows,
            pool=self.config.pool,
            exclusive=self.config.loss == "softmax",
        )

    @property
    def untrained(self) -> tuple[int, ...]:
        """The classes, by number, that nothing is taught about: by clips, or by a teacher."""
        taught = () if self.teaching is None else self.teaching.taught(self.vocabulary.codes)
        return tuple(k for k in self.without_clips if k not in taught)

    @cached_property
    def without_clips(self) -> tuple[int, ...]:
        """The classes, by number, that no clip to learn from has."""
        there = {code for row in self._rows_to_learn_from() for code in row["classes"]}
        return tuple(k for k, code in enumerate(self.vocabulary.codes) if code not in there)

    def _rows_to_learn_from(self) -> list[dict[str, Any]]:
        """Return `segment_id` and `classes` of the clips that are learned from."""
        config = self.config
        rows = [
            row
            for split in (("train",) if config.folds is None else ("train", "val"))
            for table in self.dataset.features(split, ["segment_id", "classes"])
            for row in table.to_pylist()
        ]
        if config.folds is not None:
            rows = [rows[k] for k in self._fold([row["segment_id"] for row in rows]).train]
        return rows

    def _fold(self, segment_ids: list[str]) -> Fold:
        """Return the parts of this run's fold, of the clips of train and val."""
        config = self.config
        assert config.folds is not None
        groups = self.dataset.groups(segment_ids)
        return fold_of(
            segment_ids, groups, n_folds=config.folds, fold=config.fold, seed=config.seed
        )

    def untrained_model(self) -> Tagger:
        """Return the model as its config makes it; of some configs it has learned elsewhere."""
        if self.config.model == PROBE:
            return self.probe.new_model(self.architecture)
        if self.init is not None:
            return self.init.new_model(self.config, self.architecture, self.vocabulary)
        with self.weights_path() as weights:
            model = Tagger(self.architecture, weights=weights, vocabulary=self.vocabulary)
        model.db_per_unit = self.input_spec.db_per_unit
        return model
