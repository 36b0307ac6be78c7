"""Tracks of a tagging run in, examples to hear and to see out.

The tracks are decoded again, in a process of their own, and the model scores them again. One that
cannot be decoded any more is left out, and it is said why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.arrays import Float32, Int64
from pipeline.audio.decoding.decode import decode
from pipeline.audio.decoding.fingerprint import fingerprint_like
from pipeline.audio.decoding.guard import Guard
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.input_spec import context_columns, unprepared
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.audio.spectra.windows import WindowSpec, cut_windows, window_starts
from pipeline.errors import DecodeError, ItemFault, Reason, TimbreError
from pipeline.evaluation.runs.example_picker import Candidate
from pipeline.inference.track_front_end import TrackFrontEnd
from pipeline.models.engines.engines import Engine, kept_threads, make_engine
from pipeline.models.model import ModelCard, load_card
from pipeline.report.listening import (
    Example,
    Stretch,
    best_start_s,
    data_uri,
    encoded,
    time_line,
    title_of,
    windows_within,
    words_of,
)
from pipeline.store.track import open_track
from pipeline.tagging.page.kept_examples import Examples, choose, key_of
from schemas.tagging_run import TaggingRun

_log = logging.getLogger(__name__)

Row = Mapping[str, Any]

CLIP_S = 8.0
"""Length of an example in s."""
SPAN_S = 30.0
"""What is decoded of it: the clip is the stretch with the largest score."""
_TIMEOUT_S = 30.0
_LEAD_FRAMES = 8  # more than half a frame's length on either side
_LEAST_S = 0.2


def find_examples(
    slots: Sequence[Sequence[Candidate]],
    run: TaggingRun,
    model_uri: str,
    kept: Examples,
    engine: Callable[[], Engine] | None = None,
) -> tuple[Examples, list[str]]:
    """Return an example a slot, and what must be said of those that are left out.

    `kept` are examples that have been made before; they are not made again. `engine` gives the
    model; without it, it is loaded.
    """
    try:
        with kept_threads():
            model, card = engine() if engine else make_engine(model_uri), load_card(model_uri)
    except TimbreError as error:
        return {}, [f"No examples: {error}"]
    with kept_threads(), Guard(timeout_s=_TIMEOUT_S) as guard:
        listener = Listener(model, card, run, guard)
        return choose(slots, run, lambda one: kept.get(key_of(one, run)) or _tried(listener, one))


def _tried(listener: Listener, candidate: Candidate) -> Example | str:
    """Return an example, or why there is none: the page is worth more than one of them."""
    try:
        return listener.example(candidate)
    except ItemFault as fault:
        return fault.detail
    except Exception as error:
        _log.exception("no example of %s", candidate.row["uri"])
        return f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class Listener:
    """What makes an example of a candidate."""

    engine: Engine
    """What scores the examples' windows."""
    card: ModelCard
    """The network's card: its front end and classes."""
    run: TaggingRun
    """run.json: windows, thresholds and names."""
    guard: Guard
    """The process in which files are decoded."""

    def example(self, candidate: Candidate) -> Example:
        """Return a candidate's example; ItemFault where it cannot be decoded."""
        row, names = candidate.row, self.run.class_names
        thresholds = self.run.identity["thresholds"]
        stretch = self.stretch(row, candidate.code)
        data, media_type = encoded(stretch.samples, sample_rate_hz=stretch.sample_rate_hz)
        return Example(
            title=title_of(candidate, thresholds=thresholds, name=names[candidate.code]),
            uri=row["uri"],
            words=words_of(row, names),
            labels=tuple(row["labels"]),
            audio_uri=data_uri(data, media_type),
            picture=time_line(stretch, labels=row["labels"], class_names=names),
        )

    def stretch(self, row: Row, code: str) -> Stretch:
        """Return the stretch of a track, from its middle, with a class's largest scores."""
        input_spec, codes = self.card.input_spec, self.card.vocabulary.codes
        rate_hz, window_s = input_spec.sample_rate_hz, self._front_end.windows.window_s
        samples, matrix, starts, span_s = self._span(row)
        n_frames = self._front_end.windows.n_frames(input_spec)
        cut = cut_windows(matrix, starts, n_frames, silence=input_spec.silence)
        scores, _ = self.engine.scores(cut)
        starts_s = starts * input_spec.hop / rate_hz
        at_s = best_start_s(
            scores[:, codes.index(code)], starts_s, window_s=window_s, length_s=CLIP_S
        )
        inside = windows_within(starts_s, at_s=at_s, window_s=window_s, length_s=CLIP_S)
        clip = samples[round(at_s * rate_hz) :][: round(CLIP_S * rate_hz)]
        own = unprepared(input_spec)
        spec = own.spec if isinstance(own, LogMelInput) else LogMelSpec(sample_rate_hz=rate_hz)
        return Stretch(
            samples=clip,
            sample_rate_hz=rate_hz,
            start_s=span_s + at_s,
            logmel=log_mel(clip, spec),
            spec=spec,
            middles_s=starts_s[inside] + window_s / 2 - at_s,
            hop_s=self._front_end.windows.hop_s,
            scores=scores[inside],
            active=self._front_end.active(samples, starts[inside]),
            codes=codes,
        )

    def _span(self, row: Row) -> tuple[Float32, Float32, Int64, float]:
        """Return samples of a track's middle, the front end's matrix of them, and where they begin.

        The windows are the track's own: its frames begin at the same samples, and those at the ends
        of what is decoded, which lack what lies beyond, are left out.
        """
        input_spec, windows = self.card.input_spec, self._front_end.windows
        middle_s = max(0.0, (row["duration_s"] - SPAN_S) / 2)
        first = round(
            middle_s // windows.hop_s * windows.hop_s * input_spec.sample_rate_hz / input_spec.hop
        )
        n_lead = max(_LEAD_FRAMES, context_columns(input_spec) or 0)
        lead = min(first, n_lead)
        frame_s = input_spec.hop / input_spec.sample_rate_hz
        samples = self._decoded(
            row, start_s=(first - lead) * frame_s, duration_s=SPAN_S + 2 * n_lead * frame_s
        )
        n_frames = input_spec.n_frames(round(SPAN_S * input_spec.sample_rate_hz))
        matrix = input_spec.matrix(samples)[:, lead : lead + n_frames]
        starts = window_starts(first + matrix.shape[1], windows, input_spec) - first
        return samples[lead * input_spec.hop :], matrix, starts[starts >= 0], first * frame_s

    def _decoded(self, row: Row, *, start_s: float, duration_s: float) -> Float32:
        source, known = open_track(row["uri"]), row["fingerprint"]
        if self.guard(fingerprint_like, source, known) != known:
            raise DecodeError(Reason.UNREADABLE, "its audio has changed since it was tagged")
        rate_hz = self.card.input_spec.sample_rate_hz
        samples = self.guard(
            decode, source, sample_rate_hz=rate_hz, start_s=start_s, duration_s=duration_s
        )
        if len(samples) < _LEAST_S * rate_hz:
            raise DecodeError(
                Reason.EMPTY, f"less than {_LEAST_S:g} s is heard from {start_s:.0f} s on"
            )
        return samples

    @property
    def _front_end(self) -> TrackFrontEnd:
        identity = self.run.identity
        rule = identity.get("activity")
        first = next(iter(identity.get("members", ())), identity)  # whose windows are drawn
        return TrackFrontEnd(
            self.card.input_spec,
            WindowSpec(first["window_s"], first["hop_s"]),
            None if rule is None else Activity(**rule),
        )
