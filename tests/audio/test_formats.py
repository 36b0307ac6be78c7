"""Which suffixes are taken for audio: what FFmpeg's own encoders write, decoded; no picture."""

import subprocess

import pytest

from pipeline.audio.decoding.decode import decode
from pipeline.audio.decoding.ffmpeg import ffmpeg_exe
from pipeline.audio.decoding.formats import AUDIO_SUFFIXES
from pipeline.audio.fetching import folder_source
from pipeline.errors import DecodeError, Reason
from pipeline.store import catalogue

WRITTEN = (
    "wav flac mp3 ogg oga ogv opus aac m4a mp4 webm mka mkv aiff wma "
    "3g2 ac3 asf au caf eac3 m4b mov mp2 tta w64 wv "
    "3gp avi dts flv f4v mpg mts nut rm sox thd ts vob voc adx aif aifc apm ast mlp mpeg sf wtv"
)
CODECS = {"thd": "truehd", "mlp": "mlp", "ogv": "flac", "3gp": "aac", "3g2": "aac"}
"""Where FFmpeg's own choice would be another, or of a codec that is not built in everywhere."""
OTHERS = (
    "ape mpc mp1 dsf dff tak spx oggflac amr gsm m4r m4v snd rf64 qoa shn mp+ weba aa oma ra qcp "
    "gxf mmf"
)
NO_AUDIO = (
    "jpg jpeg png gif webp bmp tiff avif heic ico svg txt nfo log md html htm pdf doc json xml csv "
    "m3u m3u8 pls cue xspf asx wpl apl srt lrc vtt ass sub idx mks zip rar 7z mid sf2 db ini py "
    "parquet jsonl part tmp sb sw ul al g722"
)


def dotted(suffixes: str) -> set[str]:
    return {f".{suffix}" for suffix in suffixes.split()}


@pytest.mark.parametrize("suffix", WRITTEN.split())
def test_what_ffmpegs_own_encoders_write_is_taken_and_decodes(suffix, tmp_path):
    path = tmp_path / f"tone.{suffix}"
    codec = ["-c:a", CODECS[suffix]] if suffix in CODECS else []
    words = ["-f", "lavfi", "-i", "sine=440:duration=1", "-ar", 48_000, "-ac", 2, *codec]
    command = [ffmpeg_exe(), "-v", "error", *words, "-vn", "-strict", "-2", path]
    subprocess.run([str(word) for word in command], check=True)
    assert len(decode(path, sample_rate_hz=16_000)) == pytest.approx(16_000, abs=2_500)
    assert f".{suffix}" in AUDIO_SUFFIXES


def test_what_else_is_in_use_is_taken_and_no_picture_text_or_playlist():
    assert dotted(OTHERS) <= AUDIO_SUFFIXES
    assert not dotted(NO_AUDIO) & AUDIO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix[1:] for suffix in AUDIO_SUFFIXES)
    assert catalogue.AUDIO_SUFFIXES is folder_source.AUDIO_SUFFIXES is AUDIO_SUFFIXES


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "flv", "ts", "mpg", "wmv"])
def test_a_video_without_sound_is_not_audio(suffix, tmp_path):
    path = tmp_path / f"silent.{suffix}"
    source = "testsrc=duration=1:size=64x64:rate=25"
    command = [ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, str(path)]
    subprocess.run(command, check=True)
    for given in (path, path.read_bytes()):
        with pytest.raises(DecodeError, match="no audio stream") as caught:
            decode(given, sample_rate_hz=16_000)
        assert caught.value.reason == Reason.NOT_AUDIO
