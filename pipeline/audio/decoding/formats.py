"""FFmpeg's formats that are read, and the suffixes by which files of them are told from others.

Only formats that hold the sound themselves: none that names other files (playlists, concat
scripts), and none without a head of its own (raw PCM, A-law, G.722), as nothing in those says what
they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import av

FORMATS = (
    "wav,w64,rf64,aiff,au,flac,mp3,ogg,aac,ac3,caf,amr,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,"
    "asf,wv,ape,mpc,mpc8,tta,dsf"
)
"""What FFmpeg's libraries are let open in this process."""

COMMAND_FORMATS = (
    f"{FORMATS},"
    "eac3,iff,avi,flv,mpegts,mpeg,dts,dtshd,truehd,mlv,voc,oma,aea,aa,adx,gsm,nistsphere,nut,rm,"
    "sol,sox,tak,xwma,wve,xa,brstm,bfstm,vag,smjpeg,shn,act,aax,ivf,"
    "mlp,mxf,gxf,wtv,ircam,ast,apm,argo_asf,kvag,mmf,avr,pvf,epaf,qcp,dss,wsd,osq,qoa,rka,bonk,"
    "wavarc,loas,vqf,laf,hca,hcom,lc3,codec2"
)
"""What its command line may open besides, in a process of its own, where the libraries refuse."""

_UNLISTED = (
    "rf64 bwf wave snd oga ogv ogx opus spx oggflac mp1 mpga mp+ mpp m4r m4p m4v f4a qt 3gpp 3ga "
    "awb adts loas latm weba dsf dff 8svx iff rmvb vob m2p qcp xwma hcom shn argo_asf"
)
"""Suffixes that are in use, but in no list of FFmpeg's for these formats."""

_NOT_SOUND = "avif heic heif psp ism mks mjpg ivf apl"
"""In those lists, but pictures, subtitles, video without sound, or the names of other files."""


def _listed() -> Iterator[str]:
    """Yield the suffixes that FFmpeg's libraries here list for the formats, read or written."""
    for name in COMMAND_FORMATS.split(","):
        for mode in ("r", "w"):
            try:
                yield from av.ContainerFormat(name, mode).extensions
            except ValueError:  # a name without a demuxer or muxer of its own
                continue


AUDIO_SUFFIXES = frozenset(
    f".{suffix.lower()}" for suffix in {*_listed(), *_UNLISTED.split()} - {*_NOT_SOUND.split()}
)
"""By which files that may hold audio are told from others in a folder; video containers, too."""
