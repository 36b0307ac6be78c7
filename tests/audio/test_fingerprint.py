"""What a file is known by: its audio's packets, whatever an editor of tags does around them."""

from __future__ import annotations

import errno
import io
import shutil
from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, ID3, TIT2
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from pipeline.audio.decoding.decode import decode
from pipeline.audio.decoding.fingerprint import byte_fingerprint, fingerprint, packet_fingerprint
from pipeline.errors import DecodeError, FetchFault
from tests.audio.test_decode import encoded, sweep

RATE_HZ = 48_000
SUFFIXES = ("mp3", "flac", "wav", "aiff", "ogg", "opus", "m4a", "webm")
COVER = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300


def audio(suffix: str, seconds: float = 3.0) -> bytes:
    samples = sweep(seconds, RATE_HZ)
    if suffix != "aiff":
        return encoded(samples, suffix, RATE_HZ)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format="AIFF")
    return file.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Write the same music in all formats."""
    folder = tmp_path_factory.mktemp("fingerprints")
    for suffix in SUFFIXES:
        (folder / f"a.{suffix}").write_bytes(audio(suffix))
    return folder


@pytest.fixture
def copy(files, tmp_path):
    """Give a function that returns a file of a format, for the test to edit."""
    return lambda suffix: Path(shutil.copy(files / f"a.{suffix}", tmp_path / f"b.{suffix}"))


def id3(path: Path, **options: int) -> None:
    tags = ID3()
    tags.add(TIT2(text="A title"))
    tags.add(APIC(mime="image/png", data=COVER))
    tags.save(path, **options)


def ape(path: Path) -> None:
    tags = APEv2()
    tags["Title"] = "A title" * 900
    tags.save(path)


def id3_chunk(path: Path) -> None:
    file = {".wav": WAVE, ".aiff": AIFF}[path.suffix](path)
    file.add_tags()
    file.tags.add(TIT2(text="A title"))
    file.tags.add(APIC(mime="image/png", data=COVER))
    file.save()


def list_chunk(path: Path) -> None:
    """Put a LIST chunk before the samples, as editors do."""
    data = path.read_bytes()
    text = b"INFOINAM" + (8).to_bytes(4, "little") + b"A title\0"
    chunk = b"LIST" + len(text).to_bytes(4, "little") + text
    size = int.from_bytes(data[4:8], "little") + len(chunk)
    at = data.index(b"data")
    path.write_bytes(b"RIFF" + size.to_bytes(4, "little") + data[8:at] + chunk + data[at:])


def xiph(path: Path) -> None:
    file = {".flac": FLAC, ".ogg": OggVorbis, ".opus": OggOpus}[path.suffix](path)
    file["title"] = "A title" * 2000  # pages are cut anew
    if path.suffix == ".flac":
        cover = Picture()
        cover.data, cover.mime = COVER, "image/png"
        file.add_picture(cover)
    file.save()


def atoms(path: Path) -> None:
    file = MP4(path)
    file["\xa9nam"] = "A title"
    file["covr"] = [MP4Cover(COVER, MP4Cover.FORMAT_PNG)]
    file.save()


EDITS = {
    "mp3 ID3v2.4": ("mp3", id3),
    "mp3 ID3v2.3 and ID3v1": ("mp3", lambda path: id3(path, v2_version=3, v1=2)),
    "mp3 APEv2": ("mp3", ape),
    "mp3 APEv2, then ID3": ("mp3", lambda path: (ape(path), id3(path, v1=2))),
    "flac": ("flac", xiph),
    "flac ID3v2": ("flac", id3),
    "ogg": ("ogg", xiph),
    "opus": ("opus", xiph),
    "m4a": ("m4a", atoms),
    "wav LIST": ("wav", list_chunk),
    "wav ID3": ("wav", id3_chunk),
    "aiff ID3": ("aiff", id3_chunk),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_keeps_its_fingerprint_when_its_tags_are_edited(copy, name):
    suffix, edit = EDITS[name]
    path = copy(suffix)
    before, bytes_before = fingerprint(path), byte_fingerprint(path)
    edit(path)
    assert byte_fingerprint(path) != bytes_before
    assert fingerprint(path) == before
    assert before.startswith("packets:") and len(before) == len("packets:") + 32


def test_tags_may_be_taken_away_again(copy):
    path = copy("mp3")
    id3(path, v1=2)
    before = fingerprint(path)
    mutagen.File(path).delete()
    assert fingerprint(path) == before


def test_the_head_that_an_encoder_of_mp3_writes_is_no_packet(copy):
    """Tools mend the number of frames and the gaps in it, and the sound stays."""
    path = copy("mp3")
    before, data = fingerprint(path), bytearray(path.read_bytes())
    at = max(data.find(b"Xing"), data.find(b"Info"))
    assert at > 0
    data[at + 16 : at + 100] = bytes(84)
    path.write_bytes(data)
    assert fingerprint(path) == before


def test_path_and_bytes_have_the_same_and_a_name_is_no_matter(copy):
    path = copy("flac")
    assert fingerprint(path) == fingerprint(path.read_bytes())
    assert fingerprint(path) == fingerprint(path.rename(path.with_name("c.bin")))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_music_has_another_fingerprint(files, suffix):
    """Shorter by a sample, other from a sample on, cut at the end, of another form."""
    whole = (files / f"a.{suffix}").read_bytes()
    others = [fingerprint(audio(suffix, seconds)) for seconds in (2.0, 4.0)]
    others += [fingerprint(whole[: len(whole) * part // 10]) for part in (5, 9)]
    assert len({fingerprint(whole), *others}) == 5


def test_one_sample_more_or_another_rate_is_other_audio(tmp_path):
    samples = np.round(sweep(2, RATE_HZ) * 32767).astype(np.int16)
    loud = samples.copy()
    loud[50_000] += 1
    found = set()
    for k, (values, rate) in enumerate(
        ((samples, 48_000), (loud, 48_000), (samples[:-1], 48_000), (samples, 44_100))
    ):
        path = tmp_path / f"{k}.wav"
        soundfile.write(path, values, rate)
        found.add(fingerprint(path))
    stereo = tmp_path / "stereo.wav"
    soundfile.write(stereo, samples.reshape(-1, 2), 48_000)  # the same bytes
    assert len(found | {fingerprint(stereo)}) == 5


def test_a_gain_in_the_header_of_opus_is_heard_so_it_counts(copy):
    path = copy("opus")
    before, data = fingerprint(path), bytearray(path.read_bytes())
    at = data.index(b"OpusHead") + 16
    data[at : at + 2] = (-6 * 256).to_bytes(2, "little", signed=True)
    data[22:26] = bytes(4)  # the page's checksum
    crc = 0
    for byte in data[: at + 3]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 1 << 31 else crc << 1) & 0xFFFFFFFF
    data[22:26] = crc.to_bytes(4, "little")
    quiet = bytes(data)
    assert (
        np.abs(decode(quiet, sample_rate_hz=RATE_HZ)).max()
        < 0.7 * np.abs(decode(path.read_bytes(), sample_rate_hz=RATE_HZ)).max()
    )
    assert fingerprint(quiet) != before


def test_the_same_packets_in_another_container_of_vorbis(copy, tmp_path):
    """Matroska keeps the comments in its header; they do not count there, either."""
    ogg = copy("ogg")
    found = []
    for k in range(2):
        path = tmp_path / f"{k}.mka"
        with av.open(str(ogg)) as source, av.open(str(path), "w", format="matroska") as out:
            stream = out.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        found.append(fingerprint(path))
        xiph(ogg)
    assert found[0] == found[1] == fingerprint(ogg)


@pytest.mark.parametrize("data", [b"", b"no music at all" * 99, b"RIFF\0\0\0\0WAVEfmt "])
def test_a_file_without_packets_is_known_by_its_bytes(data):
    with pytest.raises(DecodeError):
        packet_fingerprint(data)
    assert fingerprint(data) == byte_fingerprint(data)
    assert fingerprint(data) != fingerprint(data + b"x")


def test_a_disk_that_is_gone_is_not_the_file_s_fault(copy, monkeypatch):
    path = copy("wav")

    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "open", stale)
    with pytest.raises(FetchFault, match=r"connection: .*Stale"):
        fingerprint(path)
