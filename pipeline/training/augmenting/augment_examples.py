"""For a page: windows of a few clips of a training set, as every augmentation makes them.

The windows go through the functions that a training sends its batches through (`epoch_batches`,
`SamplesToLogMel`, `augmented`), one augmentation at a time: what is shown is what is learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.arrays import Float32
from pipeline.audio.decoding.clip import loudest_start_s
from pipeline.audio.description.prepare import Step, apply_steps
from pipeline.audio.spectra.input_kinds import FeatureInput, LogMelInput, SamplesInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.model import Tagger
from pipeline.training.augmenting.augment import MORE, N_MASKS, mask
from pipeline.training.augmenting.augmentations.base import LOG_MELS, SAMPLES
from pipeline.training.augmenting.randomise.windows import RandomisedWindows
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import epoch_batches
from pipeline.training.data.example_clips import Clip
from pipeline.training.data.mapped import samples_of
from pipeline.training.data.window_set import WindowSet
from pipeline.training.data.windows import load_windows, row_moments
from pipeline.training.spectra.logmel import LogMel, SamplesToLogMel, with_margins
from pipeline.training.step.gradients import augmented

ORIGINAL = "original"
ALL_OF_THEM = "all that are used"

_MASKS = {"frequency masks": 1, "time masks": 2}
"""The axis of each; a training has both or none."""
_OF_SAMPLES = {"noise", "pitch"}
"""What is done to samples also where the model's input is a log-mel."""
_N_DRAWS = 9
_MOST_DRAWS = 200  # mixing leaves most windows as they are
_LEAST_PEAK = 1e-6  # of samples: silence is not divided by nothing


@dataclass(frozen=True)
class AugmentedWindow:
    """One window of a clip, and what each augmentation makes of it."""

    segment_id: str
    classes: list[str]
    images: dict[str, Float32]
    """`[n_rows, n_columns]` by augmentation, `ORIGINAL` first: log-mels in dB, or the rows of
    another feature, each in deviations from its mean. What changes nothing is missing."""
    unused: list[str]
    """The augmentations that this training does not use."""

    def to_state(self) -> dict[str, Any]:
        """Return plain values and tensors, for a checkpoint."""
        images = {name: torch.from_numpy(image).half() for name, image in self.images.items()}
        return {**vars(self), "images": images}

    @classmethod
    def from_state(cls, values: Mapping[str, Any]) -> AugmentedWindow:
        """Return the example that `to_state` made plain values of."""
        images = {name: image.float().numpy() for name, image in values["images"].items()}
        return cls(**{**values, "images": images})


@dataclass(frozen=True)
class TrainingInput:
    """What becomes of samples on their way into a network that is trained."""

    config: TrainConfig
    model: Tagger
    input_spec: InputSpec
    windows: WindowSpec
    spec: LogMelSpec
    """The log-mel that samples are drawn as."""
    to_log_mel: SamplesToLogMel | None = None
    """Of a training on samples for a model of log-mels: it knows the level of the noise."""
    steps: tuple[Step, ...] = ()
    """What prepares the samples, before the front end that `input_spec` is."""

    @property
    def names(self) -> list[str]:
        """The augmentations that fit the input; some only where they are used."""
        randomise = ["randomise"] if self.is_used("randomise") else []
        if self.bands is not None:
            usual = ["noise", "pitch", "shift", *_MASKS, "mix", "tilt"]
            return [*usual, *self._more(LOG_MELS), *randomise]
        if isinstance(self.input_spec, SamplesInput):
            return ["noise", "pitch", "shift", "mix", *self._more(SAMPLES), *randomise]
        of_samples = sorted(_OF_SAMPLES) if self.made_spec is not None else []
        in_db = [] if self.input_spec.db_per_unit is None else ["mix", "tilt"]
        return [*of_samples, "shift", *_MASKS, *in_db]

    def _more(self, domain: str) -> list[str]:
        """Return what is used of `augmenting.augmentations` for windows of a kind."""
        return [one.name for one in MORE if one.domain == domain and self.is_used(one.name)]

    @property
    def bands(self) -> Any:
        """The spec of the mel bands that the input is; None of samples and of other features."""
        return getattr(self.input_spec, "spec", None)

    @property
    def made_spec(self) -> Any:
        """What is made of samples: mel bands, or a feature whose samples the training changes."""
        is_feature = isinstance(self.input_spec, FeatureInput)
        changes = is_feature and any(map(self.is_used, _OF_SAMPLES))
        return self.input_spec if changes else self.bands

    def is_used(self, name: str) -> bool:
        """Whether the training uses an augmentation."""
        return ("masks" if name in _MASKS else name) in self.config.augment


def augmented_windows(clips: Sequence[Clip], given: TrainingInput) -> list[AugmentedWindow]:
    """Return the loudest window of every clip, as it is and as each augmentation makes it.

    Of nine draws that change it the middle one is kept, by how much it changes: in training a mask
    may be no wider than nothing, and a pitch move by a twentieth of a semitone. The same config and
    clips give the same windows.
    """
    if not clips:
        return []
    maker = _Maker.of(clips, given)
    used = [name for name in given.names if given.is_used(name)]
    names = [*given.names, *([ALL_OF_THEM] if used else [])]
    images = [{ORIGINAL: image} for image in maker.originals()]
    for name in names:
        for own, image in zip(images, maker.typical(name), strict=True):
            own |= {} if image is None else {name: image}
    unused = [name for name in given.names if name not in used]
    return [
        AugmentedWindow(clip.segment_id, clip.classes, own, unused)
        for clip, own in zip(clips, images, strict=True)
    ]


@dataclass(frozen=True)
class _Maker:
    """One window of each clip, and the steps of a training that it may go through."""

    given: TrainingInput
    stored: WindowSet
    """In the form that the model's input is stored in."""
    samples: WindowSet | None
    """As samples, for a model of log-mels; and what makes log-mels of them:"""
    to_log_mel: SamplesToLogMel | None
    rng: torch.Generator
    recorded: WindowSet | None = None
    """As samples without margins, to be randomised; None of other features."""

    @classmethod
    def of(cls, clips: Sequence[Clip], given: TrainingInput) -> _Maker:
        rate_hz = given.input_spec.sample_rate_hz
        waves = [
            apply_steps(samples_of(clip.wav, rate_hz), given.steps, sample_rate_hz=rate_hz)
            for clip in clips
        ]
        starts_s = [loudest_start_s(wave, rate_hz, given.windows.window_s) for wave in waves]
        stored = window_of_each(waves, starts_s, given.input_spec, given.windows)
        rng = torch.Generator().manual_seed(given.config.seed)
        if (spec := given.made_spec) is None:
            recorded = stored if isinstance(given.input_spec, SamplesInput) else None
            return cls(given, stored, None, None, rng, recorded)
        samples = window_of_each(waves, starts_s, SamplesInput(rate_hz), given.windows)
        mean, deviation = map(torch.from_numpy, row_moments(samples))
        to_log_mel = given.to_log_mel or SamplesToLogMel(spec, mean=mean, deviation=deviation)
        recorded = None if given.bands is None else samples
        return cls(given, stored, with_margins(samples, spec), to_log_mel, rng, recorded)

    def originals(self) -> list[Float32]:
        """Return the windows as they are."""
        return [_image(window) for window in self._drawn(self._plain())]

    def typical(self, name: str) -> list[Float32 | None]:
        """Return each window after an augmentation, the middle one of some draws; None of none."""
        before, _ = self._after(name, is_on=False)
        found: list[list[Tensor]] = [[] for _ in before]
        for _ in range(_MOST_DRAWS):
            after, is_mixed = self._after(name, is_on=True)
            for k, own in enumerate(found):
                is_other = is_mixed[k] if name == "mix" else not torch.equal(after[k], before[k])
                own += [after[k]] if is_other and len(own) < _N_DRAWS else []
            if all(len(own) == _N_DRAWS for own in found):
                break
        middle = [_middle(own, before[k]) if own else None for k, own in enumerate(found)]
        if name not in _MASKS:
            middle = [one if one is None else self._drawn(one[None])[0] for one in middle]
        return [None if one is None else _image(one) for one in middle]

    def _after(self, name: str, *, is_on: bool) -> tuple[Tensor, list[bool]]:
        """Return the windows after an augmentation, and which of them were mixed with another."""
        if name in _MASKS:
            drawn = self._drawn(self._plain())
            for _ in range(N_MASKS if is_on else 0):
                drawn = mask(drawn, _MASKS[name], self.rng)
            return drawn, [False] * len(drawn)
        config = self.given.config
        names = config.augment if name == ALL_OF_THEM else (name,)
        is_of_samples = self.samples is not None and bool(_OF_SAMPLES & set(names))
        return self._trained_on(replace(config, augment=names if is_on else ()), is_of_samples)

    def _trained_on(self, config: TrainConfig, is_of_samples: bool) -> tuple[Tensor, list[bool]]:
        """Send the windows through a training's own steps, up to the network."""
        model, to_log_mel = self.given.model, self.to_log_mel
        if "randomise" in config.augment and self.recorded is not None:
            found = self._randomised(self.recorded, on_device=is_of_samples)
        else:
            data = self.samples if is_of_samples and self.samples is not None else self.stored
            found = np.concatenate(self._batches(data, config))
        windows = torch.from_numpy(found).float()
        if is_of_samples and to_log_mel is not None:
            windows = to_log_mel(windows, self.rng, config.augment)
        labels = torch.eye(len(windows))
        windows, joined = augmented(model, windows, labels, config, self.rng)
        return windows, (joined.sum(dim=1) > 1).tolist()

    def _randomised(self, recorded: WindowSet, *, on_device: bool) -> Float32:
        """Return the windows as other recordings: samples, for bands of the device, or the input.

        They stay where they are in their clips, so that they can be compared.
        """
        spec = self.given.input_spec
        n_samples = round(self.given.windows.window_s * spec.sample_rate_hz)
        work = RandomisedWindows.input_spec_of(spec, n_samples, on_device=on_device)
        data = replace(recorded, margins=work.margins, places_short=True)
        seed = int(torch.randint(1 << 30, (), generator=self.rng))
        return work(data.windows(np.arange(len(data))), [seed]).astype(np.float32)

    def _batches(self, data: WindowSet, config: TrainConfig) -> list[Float32]:
        """Return a batch of each clip alone, of one window: `shift` moves it within the clip."""
        epoch = int(torch.randint(1 << 30, (), generator=self.rng))
        jitter = "shift" in config.augment and self.given.model.architecture.input_shape[0] > 1
        batches = [
            epoch_batches(
                data.subset(np.array([k])),
                epoch=epoch + k,
                seed=config.seed,
                batch_size=1,
                rank=0,
                n_ranks=1,
                jitter=jitter,
            )
            for k in range(len(data))
        ]
        return [batch.windows[batch.weights > 0] for one in batches for batch in one]

    def _plain(self) -> Tensor:
        return torch.from_numpy(self.stored.windows(np.arange(len(self.stored)))).float()

    def _drawn(self, windows: Tensor) -> Tensor:
        """Return windows of the model's input, `[n, n_rows, n_columns]`, as they are to be seen."""
        if isinstance(self.given.input_spec, LogMelInput):
            return windows
        if isinstance(self.given.input_spec, SamplesInput):
            peaks = windows.abs().amax(dim=(1, 2), keepdim=True).clamp(min=_LEAST_PEAK)
            images: Tensor = LogMel(self.given.spec)((windows / peaks)[:, 0])  # at any level
            return images
        return self.given.model.scaled(windows)


def window_of_each(
    waves: Sequence[Float32], starts_s: Sequence[float], input_spec: InputSpec, windows: WindowSpec
) -> WindowSet:
    """Return clips of samples as a set with one window of each: the one that begins nearest."""
    codes = [str(k) for k in range(len(waves))]
    columns = {
        "segment_id": pa.array(codes),
        "classes": pa.array([[code] for code in codes]),
        "matrix": pa.array(
            [input_spec.matrix(wave).tobytes() for wave in waves], pa.large_binary()
        ),
    }
    data = load_windows([pa.table(columns)], codes=codes, windows=windows, input_spec=input_spec)
    columns_a_second = input_spec.sample_rate_hz / input_spec.hop
    away = np.abs(data.start_of - np.array(starts_s)[data.clip_of] * columns_a_second)
    own = [np.flatnonzero(data.clip_of == k) for k in range(len(waves))]
    nearest = [one[away[one].argmin()] for one in own]
    return replace(data, clip_of=np.arange(len(waves)), start_of=data.start_of[nearest])


def _middle(found: Sequence[Tensor], before: Tensor) -> Tensor:
    """Return the window that has changed by the middle amount."""
    return sorted(found, key=lambda one: float((one - before).abs().mean()))[len(found) // 2]


def _image(window: Tensor) -> Float32:
    return window.detach().numpy().astype(np.float32)
