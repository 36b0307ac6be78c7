"""Composing: notes that the instruments have, music without holes, the same for a seed."""

import struct
from importlib import resources
from random import Random

import numpy as np
import pytest

from pipeline.demo.compose import Event, Section, _midi_file, compose
from pipeline.demo.idioms import CLASSES, SOUNDS, Voice
from pipeline.demo.phrases import LONGEST_REST_S, play
from pipeline.demo.render import RATE_HZ, synthesize
from pipeline.demo.song import random_song
from pipeline.selection.vocabulary import default_vocabulary

VOICES = [
    pytest.param(voice, id=f"{sound}-{voice.program}-{voice.low}")
    for sound, idiom in SOUNDS.items()
    for voice in idiom.voices
    if sound != "dru"
]


def level_db(samples: np.ndarray) -> np.ndarray:
    """Return the level of each row."""
    return 10 * np.log10((samples.astype(np.float64) ** 2).mean(axis=1) + 1e-14)


def presets() -> set[tuple[int, int]]:
    """Return (bank, program) of all presets: records of 38 bytes, of which the last is a mark."""
    font = (resources.files("pretty_midi") / "TimGM6mb.sf2").read_bytes()
    at = font.index(b"phdr") + 8
    size = struct.unpack_from("<I", font, at - 4)[0]
    records = (struct.unpack_from("<20sHH", font, at + k) for k in range(0, size - 38, 38))
    return {(bank, program) for _, program, bank in records}


def test_all_classes_can_be_played_and_all_programs_are_there():
    assert list(CLASSES) == default_vocabulary().codes
    there = presets()
    for sound, idiom in SOUNDS.items():
        bank = 128 if sound == "dru" else 0
        assert {(bank, voice.program) for voice in idiom.voices} <= there, sound


@pytest.mark.parametrize("voice", VOICES)
def test_every_pitch_of_a_voice_sounds(voice: Voice):
    pitches = range(voice.low, voice.high + 1)
    events = [Event(0.0, 0, bytes((0xC0, voice.program))), Event(0.0, 0, bytes((0xB0, 91, 0)))]
    for k, pitch in enumerate(pitches):
        events.append(Event(k / 2, 2, bytes((0x90, pitch, 90))))
        events.append(Event(k / 2 + 0.2, 1, bytes((0x80, pitch, 0))))
    duration_s = len(pitches) / 2
    samples = synthesize(_midi_file(events, end_s=duration_s), duration_s=duration_s)
    struck = samples.reshape(len(pitches), RATE_HZ // 2, 2)[:, : RATE_HZ // 5]
    levels_db = level_db(struck.reshape(len(pitches), -1))
    assert levels_db.min() > np.median(levels_db) - 15


@pytest.mark.parametrize("sound", SOUNDS)
def test_notes_stay_in_range_and_rests_are_short(sound: str):
    for seed in range(20):
        rng = Random(f"{sound}/{seed}")
        song = random_song(rng, 5.0, 14.9)
        voice, texture = rng.choice(SOUNDS[sound].voices), rng.choice(SOUNDS[sound].textures)
        notes = sorted(play(rng, song, voice, texture), key=lambda note: note.start_s)
        assert notes[0].start_s == 5.0
        heard_s = 5.0
        for note in notes:
            assert voice.low <= note.pitch <= voice.high
            assert 0 < note.velocity < 128
            assert note.start_s < note.end_s <= 14.9
            if sound != "dru":  # a drum rings longer than its note
                assert note.start_s - heard_s < LONGEST_REST_S + 0.001
            heard_s = max(heard_s, note.end_s)
        assert heard_s > 14.0


@pytest.mark.parametrize("sound", SOUNDS)
def test_no_second_is_silent(sound: str):
    sections = [Section(0.0, 8.0, (sound,)), Section(8.0, 16.0, (sound,))]
    samples = synthesize(compose(sections, seed=f"holes/{sound}"), duration_s=16.0)
    assert 0.003 < np.abs(samples).max() < 0.95
    for half in samples.reshape(2, -1):
        seconds_db = level_db(half.reshape(8, -1))
        assert seconds_db.min() > level_db(half.reshape(1, -1))[0] - 25


def test_the_same_seed_makes_the_same_music():
    sections = [Section(0.0, 5.0, ("pia", "voi")), Section(5.0, 9.0, ("dru", "bas"))]
    midi = compose(sections, seed="a")
    assert compose(sections, seed="a") == midi != compose(sections, seed="b")
    assert midi.startswith(b"MThd")
