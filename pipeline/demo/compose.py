"""Sections in, one MIDI file out: what plays from when to when becomes parts on channels. PURE.

Tempo, key, register, programs, dynamics, place, room and tuning are drawn anew for every section,
so that nothing but the timbre tells which instrument plays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from pipeline.demo.idioms import DRUM_CHANNEL, SOUNDS, Idiom, Voice
from pipeline.demo.phrases import Note, play
from pipeline.demo.song import Song, random_song

TICKS_PER_S = 1000  # a quarter note of one second, a thousand ticks each
REFERENCE_DB = -37.0  # a voice of this level gets REFERENCE_VOLUME
REFERENCE_VOLUME = 96
RELEASE_S = 0.1  # a section's notes end so long before its end
CONTROL_STEP_S = 0.03
CENTS_PER_BEND = 200 / 8192  # the default range: two semitones each way
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, BEND = 0x80, 0x90, 0xB0, 0xC0, 0xE0
MODULATION, VOLUME, PAN, EXPRESSION, REVERB, CHORUS = 1, 7, 10, 11, 91, 93


@dataclass(frozen=True)
class Section:
    """What sounds from `start_s` to `end_s`: keys of `SOUNDS`."""

    start_s: float
    end_s: float
    sounds: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    """A MIDI message at its time; those of one moment go by rank."""

    at_s: float
    rank: int
    message: bytes


def compose(sections: Sequence[Section], *, seed: str) -> bytes:
    """Return the bytes of a MIDI file that plays the sections and ends with the last one."""
    rng = Random(f"compose/{seed}")
    channels = [channel for channel in range(16) if channel != DRUM_CHANNEL]
    events: list[Event] = []
    n_parts = 0
    for section in sections:
        song = random_song(rng, section.start_s, section.end_s - RELEASE_S)
        for sound in section.sounds:
            channel = DRUM_CHANNEL if sound == "dru" else channels[n_parts % len(channels)]
            n_parts += 1
            events += _part(rng, song, SOUNDS[sound], channel)
    return _midi_file(events, end_s=max(section.end_s for section in sections))


def _part(rng: Random, song: Song, idiom: Idiom, channel: int) -> Iterator[Event]:
    voice = rng.choice(idiom.voices)
    notes = _cut_repeats(play(rng, song, voice, rng.choice(idiom.textures)))
    yield from _settings(rng, song.start_s, voice, idiom.gain_db, channel)
    tuning_cents = rng.gauss(0, 8)
    yield Event(song.start_s, 1, _bend(channel, tuning_cents))
    if idiom.bends:
        yield from _swell(rng, song, channel)
        yield from _shake(rng, notes, channel, tuning_cents)
    for note in notes:
        yield Event(note.start_s, 3, bytes((NOTE_ON | channel, note.pitch, note.velocity)))
        yield Event(note.end_s, 0, bytes((NOTE_OFF | channel, note.pitch, 0)))


def _settings(
    rng: Random, at_s: float, voice: Voice, gain_db: float, channel: int
) -> Iterator[Event]:
    """Yield program, volume, place and room; the synthesizer's gain goes as the volume squared."""
    level_db = gain_db + REFERENCE_DB - voice.level_db + rng.uniform(-3, 3)
    controls = {
        VOLUME: min(127, round(REFERENCE_VOLUME * 10 ** (level_db / 40))),
        PAN: round(max(10, min(117, rng.gauss(64, 22)))),
        EXPRESSION: 127,
        REVERB: rng.choice((0, 20, 40, 70, 110)),
        CHORUS: rng.choice((0, 0, 0, 30, 80)),
    }
    yield Event(at_s, 1, bytes((PROGRAM | channel, voice.program)))
    for control, value in controls.items():
        yield Event(at_s, 1, _control(channel, control, value))


def _swell(rng: Random, song: Song, channel: int) -> Iterator[Event]:
    """Yield expression that wanders between soft and full from bar to bar."""
    step_s = 8 * CONTROL_STEP_S
    goal = value = rng.uniform(80, 127)
    for k in range(int((song.end_s - song.start_s) / step_s)):
        if k % 8 == 0:
            goal = rng.uniform(72, 127)
        value += (goal - value) / 4
        yield Event(song.start_s + k * step_s, 2, _control(channel, EXPRESSION, round(value)))


def _shake(
    rng: Random, notes: Sequence[Note], channel: int, tuning_cents: float
) -> Iterator[Event]:
    """Yield vibrato: by the modulation wheel, by bending long notes (with a scoop), or none."""
    kind = rng.choice(("wheel", "bend", "bend", "none"))
    depth_cents, scoop_cents = rng.uniform(8, 38), rng.choice((0, 0, -40, -90))
    rate_hz = rng.uniform(4.5, 6.5)
    if kind == "wheel":
        yield Event(notes[0].start_s, 2, _control(channel, MODULATION, rng.randint(20, 90)))
    if kind != "bend":
        return
    for note in notes:
        for k in range(int(min(note.end_s - note.start_s, 3.0) / CONTROL_STEP_S)):
            age_s = k * CONTROL_STEP_S
            depth = depth_cents * min(1.0, max(0.0, (age_s - 0.15) / 0.3))
            scoop = scoop_cents * max(0.0, 1 - age_s / 0.09)
            cents = tuning_cents + scoop + depth * _triangle(age_s * rate_hz)
            yield Event(note.start_s + age_s, 2, _bend(channel, cents))


def _triangle(cycles: float) -> float:
    return 4 * abs((cycles + 0.75) % 1 - 0.5) - 1


def _cut_repeats(notes: Sequence[Note]) -> list[Note]:
    """Return the notes by start, each ended where its own pitch is struck again."""
    struck_again: dict[int, float] = {}
    cut = []
    for note in sorted(notes, key=lambda note: note.start_s, reverse=True):
        end_s = min(note.end_s, struck_again.get(note.pitch, note.end_s))
        if end_s > note.start_s:
            cut.append(replace(note, end_s=end_s))
            struck_again[note.pitch] = note.start_s
    return cut[::-1]


def _control(channel: int, control: int, value: int) -> bytes:
    return bytes((CONTROL | channel, control, value))


def _bend(channel: int, cents: float) -> bytes:
    bend = 8192 + round(cents / CENTS_PER_BEND)
    return bytes((BEND | channel, bend & 0x7F, bend >> 7))


def _midi_file(events: Sequence[Event], *, end_s: float) -> bytes:
    """Return a standard MIDI file of one track."""
    track = bytearray(b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3))  # a second a quarter note
    tick = 0
    for event in sorted(events, key=lambda event: (event.at_s, event.rank)):
        at_tick = round(event.at_s * TICKS_PER_S)
        track += _variable_length(at_tick - tick) + event.message
        tick = at_tick
    track += _variable_length(round(end_s * TICKS_PER_S) - tick) + b"\xff\x2f\x00"
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS_PER_S)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def _variable_length(number: int) -> bytes:
    """Return MIDI's form of a number: seven bits a byte, the last one without the high bit."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))
