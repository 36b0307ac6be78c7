"""What several features of a clip share: spectra, mel bands, tunings, each computed once.

Frame `t` is centred at sample `t * hop`, the ends are padded with zeros, so there are
`1 + n_samples // hop` frames, as in `pipeline.audio.spectra.logmel`. Silence and input shorter
than a frame are as good as any other: nothing here warns or gives NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import librosa
import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.spectra.input_spec import Spec
from pipeline.errors import UsageError

Matrix = Float32

N_MELS = 128
"""librosa's mel bands below MFCC and onset strength; the log-mel of the models has its own 256."""
# The notes by formula: to ask librosa for them imports numba, a second of CPU for every process.
PITCH_MIN_HZ = 440.0 * 2.0 ** ((36 - 69) / 12)
"""Lowest pitch that YIN and pYIN look for: C2, as in librosa's example."""
PITCH_MAX_HZ = 440.0 * 2.0 ** ((96 - 69) / 12)
"""Highest pitch that YIN and pYIN look for: C7."""
F_MIN_HZ = 440.0 * 2.0 ** ((24 - 69) / 12)
"""Lowest bin of the constant-Q transforms: C1."""
N_OCTAVES = 7
"""How many octaves the constant-Q transforms span, from `F_MIN_HZ` up."""
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
"""The rows of a chroma, in librosa's order."""
N_COMPONENTS = 16
"""How many components a spectrum is factored into."""
NMF_ITERATIONS = 100
"""Steps of the NMF: a fixed number, so that none stops early and none warns."""
_LEAST_LEVEL = 1e-6  # of a frame, 1 for a full-scale sine: less is silence, and stays it
_LEAST_SHARE = 1e-3  # of the peak of a full-scale sine: 60 dB, below it lies the recorder's noise
_LEAST_POWER = 1e-5  # with librosa's 1e-10 a digital silence is an outlier that classifiers learn


@dataclass(frozen=True)
class FrameSpec(Spec):
    """Everything that decides the frames of a feature; travels in the metadata of its table."""

    called = "frame"

    sample_rate_hz: int = 44_100
    """Sample rate of the audio."""
    n_fft: int = 2048
    """Length of a frame, in samples: an even number."""
    hop: int = 512
    """Distance of frames, in samples."""

    def __post_init__(self) -> None:
        if self.hop <= 0 or self.n_fft < self.hop or self.n_fft % 2:
            raise ValueError(
                f"0 < hop <= n_fft, n_fft even: found hop={self.hop}, n_fft={self.n_fft}"
            )

    @property
    def n_bins(self) -> int:
        """How many bins a spectrum has: n_fft / 2 + 1."""
        return 1 + self.n_fft // 2

    @property
    def pitch_length(self) -> int:
        """Length of a frame for YIN, in samples: `n_fft`, doubled until it holds two periods."""
        length = self.n_fft
        while self.sample_rate_hz / PITCH_MIN_HZ >= length // 2:
            length *= 2
        return length

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames `n_samples` samples give (frames are centred)."""
        return 1 + n_samples // self.hop


@dataclass(frozen=True, eq=False)
class Analysis:
    """One recording, and what its features share. Everything is computed at its first use."""

    samples: Matrix
    """Mono audio at `spec.sample_rate_hz`, `[n_samples]`, at least one sample."""
    spec: FrameSpec
    """Length, distance and sample rate of the frames."""
    is_local: bool = False
    """Whether MFCC, chroma and contrast describe each frame by itself: without librosa's floor of
    80 dB below the recording's loudest value, and without a tuning estimated from all of it."""
    is_levelled: bool = False
    """Whether each frame's spectrum is brought to the level of a full-scale sine, and gets a floor
    60 dB below. Then only RMS and `mel_db`, which gets the level back, say how loud a frame was."""

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or len(self.samples) == 0:
            raise UsageError(
                f"found samples of shape {list(self.samples.shape)}; expected [n_samples] mono "
                "samples, at least one"
            )

    @property
    def n_frames(self) -> int:
        """How many frames there are."""
        return self.spec.n_frames(len(self.samples))

    @cached_property
    def centred(self) -> Matrix:
        """The samples with half a frame of zeros at both ends: the first frame starts at 0."""
        return np.pad(self.samples, self.spec.n_fft // 2)

    @cached_property
    def magnitude(self) -> Matrix:
        """Magnitude of the Hann-windowed STFT, `[n_bins, n_frames]`, in full scale."""
        if not self.is_levelled:
            return self._recorded
        floor = np.float32(_LEAST_SHARE * self.spec.n_fft / 4)
        return np.asarray(np.hypot(self._recorded / self.frame_level, floor))

    @cached_property
    def frame_level(self) -> Matrix:
        """Level of each frame, `[n_frames]`: 1 for a full-scale sine, at least 1e-6."""
        full_scale = self.spec.n_fft / 4 * np.sqrt(1.5)  # of a sine: its peak and the two beside it
        norms = np.sqrt(np.square(self._recorded).sum(axis=0))
        return np.asarray(np.maximum(norms / np.float32(full_scale), np.float32(_LEAST_LEVEL)))

    @cached_property
    def _recorded(self) -> Matrix:
        # Padded above: librosa's own centring warns where the input is shorter than a frame.
        spectrum = librosa.stft(
            self.centred, n_fft=self.spec.n_fft, hop_length=self.spec.hop, center=False
        )
        return np.asarray(np.abs(spectrum))

    @cached_property
    def power(self) -> Matrix:
        """Power of the STFT, `[n_bins, n_frames]`."""
        return np.square(self.magnitude)

    @cached_property
    def mel_db(self) -> Matrix:
        """Mel spectrum, `[128, n_frames]`, in dB, at most 80 dB below the loudest value.

        Where local, at least -50 dB: about what that is for a recording of full scale.
        """
        mel: Matrix = librosa.feature.melspectrogram(
            S=self.power, sr=self.spec.sample_rate_hz, n_mels=N_MELS
        )
        if self.is_local:
            mel_db = np.asarray(librosa.power_to_db(mel, amin=_LEAST_POWER, top_db=None))
            return mel_db + self._level_db if self.is_levelled else mel_db
        return np.asarray(librosa.power_to_db(mel, top_db=80.0))

    @property
    def mel_shape_db(self) -> Matrix:
        """Mel spectrum, `[128, n_frames]`, in dB; where levelled, at each frame's own level."""
        return self.mel_db - self._level_db if self.is_levelled else self.mel_db

    @property
    def _level_db(self) -> Matrix:
        return np.asarray(20 * np.log10(self.frame_level))

    @cached_property
    def stft_tuning(self) -> float:
        """Deviation from A = 440 Hz, in semitones, as `chroma_stft` estimates it."""
        if self.is_local:
            return 0.0
        return _tuning(self.power, self.spec.sample_rate_hz, bins_per_octave=12)

    @cached_property
    def constant_q(self) -> Matrix:
        """Magnitude of the CQT below the chroma, 36 bins per octave, `[252, n_frames]`."""
        tuning = _cqt_tuning(self.samples, self.spec.sample_rate_hz)
        return constant_q(self, bins_per_octave=36, tuning=tuning)

    @cached_property
    def voiced_pitch(self) -> Matrix:
        """PYIN's f0 in Hz, NaN where unvoiced, and probability of voice, `[2, n_frames]`."""
        f0_hz, _, probability = librosa.pyin(
            self.samples,
            sr=self.spec.sample_rate_hz,
            fmin=PITCH_MIN_HZ,
            fmax=PITCH_MAX_HZ,
            frame_length=self.spec.pitch_length,
            hop_length=self.spec.hop,
        )
        return np.stack([f0_hz, probability]).astype(np.float32)

    @cached_property
    def factors(self) -> tuple[Matrix, Matrix]:
        """NMF of the magnitudes: components `[n_bins, 16]`, activations `[16, n_frames]`."""
        return nmf(self.magnitude, N_COMPONENTS)


def constant_q(analysis: Analysis, *, bins_per_octave: int, tuning: float = 0.0) -> Matrix:
    """Return the magnitude of the constant-Q transform, `[7 * bins_per_octave, n_frames]`.

    Parameters
    ----------
    analysis
        The recording. The lowest filters are long (0.5 s at 12 bins per octave, 1.6 s at 36), so
        short input is padded with zeros and the frames are cut back.
    bins_per_octave
        Resolution; seven octaves from C1 (32.7 Hz).
    tuning
        Deviation from A = 440 Hz, in bins.

    References
    ----------
    Schörkhuber and Klapuri, "Constant-Q transform toolbox for music processing", SMC 2010; librosa
    0.11, `cqt`.
    """
    transform = librosa.cqt(
        _at_least(analysis.samples, _longest_s(bins_per_octave), analysis.spec.sample_rate_hz),
        sr=analysis.spec.sample_rate_hz,
        hop_length=analysis.spec.hop,
        fmin=F_MIN_HZ,
        n_bins=N_OCTAVES * bins_per_octave,
        bins_per_octave=bins_per_octave,
        tuning=tuning,
    )
    return np.asarray(np.abs(transform[:, : analysis.n_frames]))


def _longest_s(bins_per_octave: int) -> float:
    # librosa rounds the longest filter (Q / 32.7 Hz) up to a power of two: less than twice as long.
    quality = 1 / (2 ** (1 / bins_per_octave) - 1)
    return 2.1 * quality / F_MIN_HZ


def _at_least(samples: Matrix, length_s: float, sample_rate_hz: int) -> Matrix:
    missing = int(np.ceil(length_s * sample_rate_hz)) - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def _cqt_tuning(samples: Matrix, sample_rate_hz: int) -> float:
    """Return the tuning in thirds of a semitone, from frames of 2048 as in librosa's `cqt`."""
    spectrum = np.abs(librosa.stft(np.pad(samples, 1024), n_fft=2048, center=False))
    return _tuning(spectrum, sample_rate_hz, bins_per_octave=36)


def _tuning(spectrum: Matrix, sample_rate_hz: int, *, bins_per_octave: int) -> float:
    """Return what `librosa.estimate_tuning` does, and 0 without its warning where no pitch is."""
    pitch, height = librosa.piptrack(S=spectrum, sr=sample_rate_hz)
    found = pitch > 0
    if not found.any():
        return 0.0
    strong = found & (height >= np.median(height[found]))
    return float(librosa.pitch_tuning(pitch[strong], bins_per_octave=bins_per_octave))


def nmf(spectrum: Matrix, n_components: int) -> tuple[Matrix, Matrix]:
    """Return the factors of magnitudes: components `[n_bins, n]`, activations `[n, n_frames]`.

    Deterministic; components that short input cannot fill are 0.
    """
    from sklearn.decomposition import NMF  # here, as most features do without it

    n_factors = min(n_components, *spectrum.shape)
    model = NMF(n_factors, init="nndsvd", tol=0, max_iter=NMF_ITERATIONS, random_state=0)
    components = model.fit_transform(spectrum)
    missing = (0, n_components - n_factors)
    return np.pad(components, ((0, 0), missing)), np.pad(model.components_, (missing, (0, 0)))
