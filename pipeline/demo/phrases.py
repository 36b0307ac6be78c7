"""A song's frame and a voice in, notes out: melodies, chords, arpeggios, strums, bass, drums. PURE.

Every texture fills its song from the first beat to the last without a long rest, and takes all its
chances from the `Random` that it is handed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from pipeline.demo.idioms import Texture, Voice
from pipeline.demo.song import Song, bars, chord, root, scale

CELLS = ((1,), (0.5, 0.5), (0.75, 0.25), (0.25, 0.25, 0.5), (1 / 3,) * 3, (0.25,) * 4, (1.5, 0.5))
LONG_CELLS = ((2,), (1, 1), (3, 1), (4,), (1.5, 0.5))
LONGEST_REST_S = 0.4
KICK, SNARE, CLOSED_HAT, OPEN_HAT, RIDE = 36, 38, 42, 46, 51


@dataclass(frozen=True)
class Note:
    """One note: from when to when, how high, how hard."""

    start_s: float
    end_s: float
    pitch: int
    velocity: int


def melody(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return a line of steps and a few leaps that meets the chord on every bar's first beat."""
    low = rng.randint(voice.low, max(voice.low, voice.high - 17))
    ladder = scale(song, low, min(voice.high, low + rng.randint(12, 19)))
    rung, notes = rng.randrange(len(ladder)), []
    cells = rng.choice((CELLS, CELLS, LONG_CELLS))
    for bar, bar_start_s in bars(song):
        if bar % 2 == 0:
            gate, loudness = rng.choice((0.45, 0.8, 0.95, 0.98)), rng.uniform(62, 104)
        rung = _nearest(ladder, chord(song, bar, ladder[0], ladder[-1]), rung)
        for beat, n_beats in _rhythm(rng, song, cells, voice):
            start_s = bar_start_s + beat * song.beat_s
            arc = 10 * math.sin(math.pi * (bar % 2 + beat / song.beats_per_bar) / 2)
            end_s = _gated(start_s, n_beats * song.beat_s, gate)
            notes.append(Note(start_s, end_s, ladder[rung], _hit(rng, loudness + arc)))
            rung = _reflect(rung + rng.choice((-2, -1, -1, 0, 1, 1, 2, 4, -3)), len(ladder))
    return notes


def chords(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return three or four notes at a time, held or repeated."""
    cells = rng.choice((CELLS, LONG_CELLS, LONG_CELLS))
    low, gate, loudness = _floor(rng, voice, 16), rng.choice((0.6, 0.95, 0.98)), rng.uniform(58, 98)
    n_notes = rng.randint(3, 4)
    return [
        Note(start_s, _gated(start_s, length_s, gate), pitch, _hit(rng, loudness))
        for bar, start_s, length_s in _hits(rng, song, cells, voice)
        for pitch in chord(song, bar, low, voice.high)[:n_notes]
    ]


def held(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return one chord a bar, from its first beat to its last."""
    low, loudness = _floor(rng, voice, 16), rng.uniform(58, 90)
    bar_s = song.beats_per_bar * song.beat_s
    return [
        Note(start_s, start_s + bar_s, pitch, _hit(rng, loudness))
        for bar, start_s in bars(song)
        for pitch in chord(song, bar, low, voice.high)[:3]
    ]


def arpeggio(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return broken chords in even notes that ring into each other."""
    low, loudness = _floor(rng, voice, 22), rng.uniform(60, 100)
    order = rng.choice((_up, _down, _up_and_down, _alberti))
    step, ring_s, notes = rng.choice((1 / 2, 1 / 3, 1 / 4)), rng.uniform(0.3, 1.6), []
    for bar, bar_start_s in bars(song):
        pitches = order(chord(song, bar, low, voice.high)[: rng.randint(3, 6)])
        for k in range(round(song.beats_per_bar / step)):
            start_s = bar_start_s + k * step * song.beat_s
            pitch = pitches[k % len(pitches)]
            notes.append(Note(start_s, start_s + ring_s, pitch, _hit(rng, loudness)))
    return notes


def strum(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return guitar chords of four to six strings, struck down and up."""
    low, spread_s = voice.low + rng.randint(0, 8), rng.uniform(0.006, 0.028)
    loudness, gate = rng.uniform(62, 104), rng.choice((0.5, 0.9, 1.0, 1.0))
    n_strings, notes = rng.randint(4, 6), []
    for stroke, (bar, start_s, length_s) in enumerate(_hits(rng, song, CELLS, voice)):
        strings = chord(song, bar, low, low + 26)[:n_strings]
        for k, pitch in enumerate(reversed(strings) if stroke % 2 else strings):
            struck_s = start_s + k * spread_s
            end_s = max(struck_s + 0.05, _gated(start_s, length_s, gate))
            notes.append(Note(struck_s, end_s, pitch, _hit(rng, loudness)))
    return notes


def riff(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return power chords, root, fifth and octave, in driving rhythms."""
    low, loudness = voice.low + rng.randint(0, 5), rng.uniform(70, 108)
    gate, notes = rng.choice((0.4, 0.7, 0.95)), []
    for bar, start_s, length_s in _hits(rng, song, CELLS[1:], voice):
        foot = root(song, bar, low)
        end_s = _gated(start_s, length_s, gate)
        notes += [Note(start_s, end_s, foot + up, _hit(rng, loudness)) for up in (0, 7, 12)]
    return notes


def hands(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return a keyboard's two hands: chords or arpeggios below, a melody above."""
    split = rng.randint(56, 66)
    below = rng.choice((chords, arpeggio))
    left = below(rng, song, replace(voice, low=max(voice.low, split - 22), high=split))
    return left + melody(rng, song, replace(voice, low=split, high=voice.high))


def bass(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return notes of a bass: roots and fifths of the chords."""
    loudness = rng.uniform(70, 95)
    return [
        Note(
            start_s,
            start_s + 0.9 * length_s,
            root(song, bar, voice.low) + rng.choice((0, 0, 0, 7, 12)),
            _hit(rng, loudness),
        )
        for bar, start_s, length_s in _hits(rng, song, CELLS[:3], voice)
    ]


def drums(rng: Random, song: Song, voice: Voice) -> list[Note]:
    """Return a beat: kick on the first, snare on the others, cymbals in eighths."""
    cymbal, loudness, notes = rng.choice((CLOSED_HAT, OPEN_HAT, RIDE)), rng.uniform(65, 100), []
    for _, bar_start_s in bars(song):
        for half in range(2 * song.beats_per_bar):
            start_s = bar_start_s + half * song.beat_s / 2
            struck = [cymbal]
            if half % 4 == 0 or rng.random() < 0.12:
                struck.append(KICK)
            if half % 4 == 2:
                struck.append(SNARE)
            notes += [Note(start_s, start_s + 0.1, drum, _hit(rng, loudness)) for drum in struck]
    return notes


TEXTURES: dict[Texture, Callable[[Random, Song, Voice], list[Note]]] = {
    "melody": melody,
    "chords": chords,
    "held": held,
    "arpeggio": arpeggio,
    "strum": strum,
    "riff": riff,
    "hands": hands,
    "bass": bass,
    "drums": drums,
}


def play(rng: Random, song: Song, voice: Voice, texture: Texture) -> list[Note]:
    """Return the notes of one part, cut at the song's end."""
    notes = TEXTURES[texture](rng, song, voice)
    return [
        replace(note, end_s=min(note.end_s, song.end_s))
        for note in notes
        if note.start_s < song.end_s - 0.05
    ]


def _hits(
    rng: Random, song: Song, cells: Sequence[tuple[float, ...]], voice: Voice
) -> Iterator[tuple[int, float, float]]:
    """Yield the bar, the start and the length in seconds of every stroke."""
    pattern = _rhythm(rng, song, cells, voice)
    for bar, bar_start_s in bars(song):
        if rng.random() < 0.3:
            pattern = _rhythm(rng, song, cells, voice)
        for beat, n_beats in pattern:
            yield bar, bar_start_s + beat * song.beat_s, n_beats * song.beat_s


def _rhythm(
    rng: Random, song: Song, cells: Sequence[tuple[float, ...]], voice: Voice
) -> list[tuple[float, float]]:
    """Return (beat, length in beats) for one bar; no note is longer than the voice rings."""
    longest = voice.ring_s / song.beat_s
    usable = [c for c in (*cells, (0.25,) * 4) if max(c) <= longest and sum(c) <= 4]
    rhythm, beat = [], 0.0
    while beat < song.beats_per_bar - 1e-6:
        fitting = [c for c in usable if beat + sum(c) <= song.beats_per_bar + 1e-6]
        for length in rng.choice(fitting or [(0.5, 0.5)]):
            rhythm.append((beat, length))
            beat += length
    return rhythm


def _gated(start_s: float, length_s: float, gate: float) -> float:
    """Return the end of a note that fills `gate` of its length and leaves only a short rest."""
    return start_s + max(gate * length_s, length_s - LONGEST_REST_S)


def _hit(rng: Random, loudness: float) -> int:
    return max(20, min(127, round(rng.gauss(loudness, 6))))


def _floor(rng: Random, voice: Voice, width: int) -> int:
    return rng.randint(voice.low, max(voice.low, min(voice.high - width, 64)))


def _nearest(ladder: Sequence[int], pitches: Sequence[int], rung: int) -> int:
    return min((ladder.index(pitch) for pitch in pitches), key=lambda k: abs(k - rung))


def _reflect(rung: int, n_rungs: int) -> int:
    return min(abs(rung), 2 * (n_rungs - 1) - abs(rung)) if n_rungs > 1 else 0


def _up(pitches: list[int]) -> list[int]:
    return pitches


def _down(pitches: list[int]) -> list[int]:
    return pitches[::-1]


def _up_and_down(pitches: list[int]) -> list[int]:
    return pitches + pitches[-2:0:-1]


def _alberti(pitches: list[int]) -> list[int]:
    return [pitches[0], pitches[-1], pitches[len(pitches) // 2], pitches[-1]]
