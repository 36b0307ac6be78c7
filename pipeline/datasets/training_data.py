"""What a worker trains with, from a dataset and a training config: window sets, the model."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.arrays import Float32
from pipeline.audio.spectra.input_kinds import (
    FeatureInput,
    MelInput,
    SamplesInput,
)
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.stacked import row_scaling
from pipeline.datasets.model_plan import ModelPlan
from pipeline.errors import UsageError
from pipeline.models.model import Tagger, check_logits
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.parts.embedding import embedding_layer
from pipeline.models.networks.probe import PROBE
from pipeline.store.store_errors import store_errors
from pipeline.training.augmenting.augment_examples import TrainingInput
from pipeline.training.augmenting.randomise.windows import RandomisedWindows
from pipeline.training.data.mapped import mapped_clips
from pipeline.training.data.window_set import WindowSet
from pipeline.training.data.windows import load_windows, row_moments
from pipeline.training.selection import DEFAULT, check_selection
from pipeline.training.spectra.logmel import BandSpec, SamplesToLogMel, with_margins
from pipeline.training.step.gradients import SamplesToInput
from pipeline.training.transfer.distillation import Distiller, with_soft_targets
from pipeline.training.transfer.teaching import Teaching


@dataclass(frozen=True)
class TrainingData(ModelPlan):
    """What a training learns from: a dataset, through a config's front end and split."""

    @property
    def about(self) -> dict[str, Any]:
        """What model.json says of the data beyond its windows; found out where it is read."""
        return {}

    def check_model(self) -> None:
        """Raise UsageError where the model cannot be: a wrong size, weights of another network.

        Here, as what a worker raises is a failure that Ray Train tries again.
        """
        model = self.untrained_model()
        check_logits(model)
        if self.config.loss == "triplet" and embedding_layer(model.backbone) is None:
            raise UsageError(f"--loss triplet: {self.config.model} has no embedding")
        if self.teaching is not None:
            self.teaching.check(self._front_end, self.vocabulary.codes, self.config.model)
        if self.config.loss == "softmax":
            self._check_one_label()
        if self.config.select != DEFAULT and self.config.folds is None:
            check_selection(self.config.select, self._val_targets())

    def _check_one_label(self) -> None:
        """Raise UsageError unless each clip to learn from has exactly one class of several."""
        splits = ("train",) if self.config.folds is None else ("train", "val")
        unknown = {clip for split in splits for clip in self.dataset.unknown(split)}
        n_others = sum(
            len(set(row["classes"])) != 1 or row["segment_id"] in unknown
            for row in self._rows_to_learn_from()
        )
        if n_others or len(self.vocabulary.codes) < 2:
            raise UsageError(
                f"--loss softmax: {n_others:,d} clips to learn from have no class or several of "
                f"{len(self.vocabulary.codes)}, or unknown ones; it takes one label a clip: give "
                "--loss sigmoid"
            )

    def _val_targets(self) -> Float32:
        """Return the classes of the validation clips, `[n_clips, n_classes]`, without the audio.

        1 there, 0 not there, NaN unknown.
        """
        rows = [
            row
            for table in self.dataset.features("val", ["segment_id", "classes"])
            for row in table.to_pylist()
        ]
        codes, unknown = self.vocabulary.codes, self.dataset.unknown("val")
        targets = np.array([[code in row["classes"] for code in codes] for row in rows], np.float32)
        for target, row in zip(targets, rows, strict=True):
            target[[code in unknown.get(row["segment_id"], ()) for code in codes]] = np.nan
        return targets

    @property
    def cache(self) -> Path:
        """This user's folder, on this machine, for the dataset's memory-mapped features."""
        name = self.meta.fingerprint.removeprefix("sha256:")[:16]
        folder = self.config.cache_dir or tempfile.gettempdir()
        return Path(folder) / f"timbre-{os.getuid()}" / name

    @contextmanager
    def kept(self, *, is_last: bool = True) -> Iterator[None]:
        """Keep the cache for as long as the block runs; after that the last one out deletes it.

        Others are the ranks of this run, and other trainings on the same data; `is_last` says
        whether this run itself has no more use for it.
        """
        path = self.cache.with_suffix(".lock")
        with store_errors("write", str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield
            if is_last:
                with suppress(BlockingIOError):  # somebody else is at it
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(self.cache, ignore_errors=True)

    @property
    def trains_on_samples(self) -> bool:
        """Whether a model of bands or a feature trains on samples, so that those can be changed."""
        wanted = {"noise", "pitch"} & set(self.config.augment)
        return (bool(wanted) and self._made_spec is not None) or self.is_randomised

    @property
    def _made_spec(self) -> BandSpec | None:
        """What a training on samples makes of them: bands or a feature; None of other inputs."""
        front_end = self._front_end
        if isinstance(front_end, FeatureInput):
            return None if self.config.model in CLASSICAL else front_end
        return front_end.spec if isinstance(front_end, MelInput) else None

    @property
    def is_randomised(self) -> bool:
        """Whether training windows are made other recordings of (`augmenting.randomise`)."""
        fits = isinstance(self._front_end, MelInput | SamplesInput)
        return "randomise" in self.config.augment and fits and self.config.model not in CLASSICAL

    def randomised_windows(self, *, gpu: bool = False) -> RandomisedWindows | None:
        """Return what randomises the training set's windows; None where nothing does.

        Bands are made of them there too, unless a GPU does that (`samples_to_log_mel`), or samples
        are disturbed after it as well.
        """
        if not self.is_randomised:
            return None
        if self.teaching is not None:  # student and teachers get the same other recording
            cut = self.teaching.cut(self._front_end, self.config.window_s)
            return RandomisedWindows(cut.rate_hz, cut.n_samples, None, cut.margins)
        n_samples = round(self.config.window_s * self.input_spec.sample_rate_hz)
        return RandomisedWindows.input_spec_of(
            self._front_end, n_samples, on_device=self._makes_bands_on_device(gpu=gpu)
        )

    def _makes_bands_on_device(self, *, gpu: bool) -> bool:
        """Whether bands or features of training windows of samples are made in the training."""
        if not (self.trains_on_samples and self._made_spec is not None):
            return False
        return gpu or not self.is_randomised or bool({"noise", "pitch"} & set(self.config.augment))

    def _samples_of(self, part: str, sample_rate_hz: int) -> WindowSet:
        """Return the windows of a part as samples, prepared and filled up where the model's are."""
        own = self._front_end
        is_heard = isinstance(own, SamplesInput) and own.sample_rate_hz == sample_rate_hz
        samples = self._after_steps(own if is_heard else SamplesInput(sample_rate_hz))
        return self.part(part, partial(self._windows_of, samples))

    def train_set(self, *, gpu: bool = False) -> WindowSet:
        """Return the windows to learn from: those of the model's input, or of samples."""
        input_spec = self._front_end
        if self.teaching is not None:
            windows = self._taught_windows("train", self.teaching)
            if (randomised := self.randomised_windows(gpu=gpu)) is not None:
                windows = replace(windows, margins=randomised.margins, places_short=True)
        elif (randomised := self.randomised_windows(gpu=gpu)) is not None:
            samples = self._samples_of("train", input_spec.sample_rate_hz)
            windows = replace(samples, margins=randomised.margins, places_short=True)
        elif self.trains_on_samples and (spec := self._made_spec) is not None:
            samples = self._samples_of("train", input_spec.sample_rate_hz)
            windows = with_margins(samples, spec)
        else:
            windows = self._stored_train_set()
        self.check_not_silent(windows)
        return windows

    def _stored_train_set(self) -> WindowSet:
        """Return the windows to learn from as the model's input, nothing of them changed."""
        return self.part("train", partial(self._windows_of, self.input_spec))

    def check_not_silent(self, windows: WindowSet) -> None:
        """Raise UsageError where no window to learn from is left."""
        if not len(windows):
            raise UsageError(
                f"{self.dataset.folder.uri}: all windows to learn from are silence or noise; "
                "--no-activity takes them"
            )

    def val_set(self) -> WindowSet:
        """Return the windows that choose the epoch."""
        return self.part("val", partial(self._windows_of, self.input_spec))

    def soft_val_set(
        self, val_set: WindowSet, samples: SamplesToInput | None, device: torch.device
    ) -> WindowSet:
        """Return validation as it is, or with the teachers' scores where no clip has labels."""
        if self.teaching is None or not isinstance(samples, Distiller):
            return val_set
        windows = self._taught_windows("val", self.teaching)
        return with_soft_targets(val_set, windows, samples, self.config.aggregation, device)

    def _taught_windows(self, part: str, teaching: Teaching) -> WindowSet:
        """Return windows of samples for student and teachers, with what frames see beyond them."""
        cut = teaching.cut(self.input_spec, self.config.window_s)
        front_end = self._front_end
        mirrors = isinstance(front_end, MelInput) and front_end.spec.mirrors
        samples = self._samples_of(part, cut.rate_hz)
        return replace(samples, margins=cut.margins, mirrors=mirrors)

    def held_out(self) -> WindowSet:
        """Return the windows of the fold that this run is measured on."""
        return self.part("held_out", partial(self._windows_of, self.input_spec))

    def part(self, part: str, windows_of: Callable[[list[str]], WindowSet]) -> WindowSet:
        """Return train, val or held_out of this run, from what gives the windows of splits."""
        if self.config.folds is None:
            return windows_of([part]).without(self.without_clips)
        both = windows_of(["train", "val"])
        data = both.subset(getattr(self._fold(both.segment_ids), part))
        return data if part == "held_out" else data.without(self.without_clips)

    def _windows_of(self, input_spec: InputSpec, splits: list[str]) -> WindowSet:
        active = self.windows if self.config.activity else None
        tables = [
            table
            for split in splits
            for table in mapped_clips(self.dataset, split, input_spec, self.cache, active)
        ]
        return load_windows(
            tables, codes=self.vocabulary.codes, windows=self.windows, input_spec=input_spec
        )

    def new_model(self, train_set: WindowSet) -> Tagger:
        """Return the model before its first step: of the seed, its rows scaled as they are here."""
        torch.manual_seed(self.config.seed)  # the first weights: the same on every rank and run
        model = self.untrained_model()
        if self.config.model == PROBE:
            return model
        if self.init is not None:
            return model  # scaled as it has learned
        if not model.architecture.below_peak and not model.is_classical:
            mean, deviation = self._row_scaling(model, train_set)
            model.row_mean.copy_(torch.from_numpy(mean))
            model.row_deviation.copy_(torch.from_numpy(deviation))
        return model

    def _row_scaling(self, model: Tagger, train_set: WindowSet) -> tuple[Float32, Float32]:
        """Return what each row is scaled by, `[n_rows, 1]`: the front end's own, or measured."""
        mean, deviation = (values[:, None] for values in row_scaling(self.input_spec))
        if not (unknown := np.isnan(mean)).any():
            return mean, deviation
        if isinstance(self._front_end, FeatureInput) and self.trains_on_samples:
            train_set = self._stored_train_set()
        measured = row_moments(train_set, model.levelled)
        return np.where(unknown, measured[0], mean), np.where(unknown, measured[1], deviation)

    def samples_to_log_mel(
        self, train_set: WindowSet, *, gpu: bool = False
    ) -> SamplesToInput | None:
        """Return what makes the model's input of the training set, where that has samples."""
        input_spec = self._front_end
        if self.teaching is not None:
            moments = [torch.from_numpy(values) for values in row_moments(train_set)]
            return self.teaching.distiller(
                input_spec, self.vocabulary.codes, self.config.window_s, *moments
            )
        if not self._makes_bands_on_device(gpu=gpu):
            return None
        spec = self._made_spec
        assert spec is not None
        mean, deviation = map(torch.from_numpy, row_moments(train_set))
        return SamplesToLogMel(spec, mean=mean, deviation=deviation)

    def training_input(self, model: Tagger, samples: SamplesToInput | None) -> TrainingInput:
        """Return what becomes of samples on their way into the network (`augment_examples`)."""
        samples = None if isinstance(samples, Distiller) else samples
        spec = self.drawn_spec or LogMelSpec.from_dict(self.meta.feature_spec)
        return TrainingInput(
            self.config, model, self._front_end, self.windows, spec, samples, self.steps
        )
