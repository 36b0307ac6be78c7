"""What the taggers of the music tagging benchmark share: MTG-Jamendo's tags, front end, addresses.

Won, Ferraro, Bogdanov and Serra, "Evaluation of CNN-based automatic music tagging models", SMC 2020
(arXiv 2006.00751). Their weights (MIT) come as state dicts; of the three data sets those of
MTG-Jamendo (Bogdanov et al. 2019) are taken, of whose fifty tags fourteen name instruments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.networks.parts.weights import read_weights
from pipeline.models.pretrained.family import Family, Variant, WeightsSource
from pipeline.models.pretrained.tensors import tensors_of

HOME = "https://github.com/minzwon/sota-music-tagging-models"
LICENCE = "MIT"
CLASSES = "jamendo"
"""The class list of those fourteen without "computer", which AudioSet has no label for."""

INPUT = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=16_000,
        frame_length=512,
        n_fft=512,
        hop=256,
        n_mels=96,
        f_min_hz=0.0,
        f_max_hz=8_000.0,
        mel_scale="htk",
        window="hann_periodic",
        is_centred=True,
        logarithm="db",
        floor=1e-10,
    )
)
"""`MelSpectrogram` and `AmplitudeToDB` of torchaudio, as section 3 of the paper has them."""

_GENRES = {
    "alternative": "",
    "ambient": "/m/0fd3y",
    "atmospheric": "",
    "chillout": "",
    "classical": "/m/0ggq0m",
    "dance": "/m/0ggx5q",
    "downtempo": "",
    "easylistening": "",
    "electronic": "/m/02lkt",
    "experimental": "",
    "folk": "/m/02w4v",
    "funk": "/m/02x8m",
    "hiphop": "/m/0glt670",
    "house": "/m/03mb9",
    "indie": "",
    "instrumentalpop": "",
    "jazz": "/m/03_d0",
    "lounge": "",
    "metal": "/m/03lty",
    "newage": "/m/02v2lh",
    "orchestral": "",
    "pop": "/m/064t9",
    "popfolk": "",
    "poprock": "",
    "reggae": "/m/06cqb",
    "rock": "/m/06by7",
    "soundtrack": "/m/0l14gg",
    "techno": "/m/07gxw",
    "trance": "/m/07lnk",
    "triphop": "",
    "world": "",
}
_INSTRUMENTS = {
    "acousticguitar": "/m/042v_gx",
    "bass": "/m/018vs",
    "computer": "",
    "drummachine": "/m/0cfdd",
    "drums": "/m/02hnl",
    "electricguitar": "/m/02sgy",
    "electricpiano": "/m/01s0ps",
    "guitar": "/m/0342h",
    "keyboard": "/m/05148p4",
    "piano": "/m/05r5c",
    "strings": "/m/02qmj0d",
    "synthesizer": "/m/0l14qv",
    "violin": "/m/07y_7",
    "voice": "/m/015lz1",
}
_MOODS = dict.fromkeys(("emotional", "energetic", "film", "happy", "relaxing"), "")
TAGS = tuple(
    f"{kind}---{name}"
    for kind, names in (("genre", _GENRES), ("instrument", _INSTRUMENTS), ("mood/theme", _MOODS))
    for name in names
)
"""The fifty tags in the order of the networks' outputs, which is that of their names."""
IDS = tuple(
    mid or tag for tag, mid in zip(TAGS, (_GENRES | _INSTRUMENTS | _MOODS).values(), strict=True)
)
"""The AudioSet id of each output; the tag itself where AudioSet has no label of that meaning."""


def family(
    network: str,
    *,
    n_parameters: int,
    window_s: float,
    build: Callable[[Variant, int, float], nn.Module],
    own_names: Sequence[tuple[str, str]],
    smallest: tuple[int, int],
) -> Family:
    """Return the family of a network of the benchmark, by its name in `models/jamendo/`.

    Parameters
    ----------
    network
        Names the family, and with `-jamendo` its one variant.
    n_parameters
        Of the network with the fifty tags.
    window_s
        The benchmark's window in seconds.
    build, smallest
        As in `Family`.
    own_names
        Patterns of the authors' names of tensors, and what is ours for each.
    """
    address = f"{HOME}/raw/master/models/jamendo/{network}/best_model.pth"
    source = WeightsSource(address, None)

    def read(path: Path, variant: Variant) -> dict[str, Tensor]:
        return tensors_of(made, variant, _own_tensors(made, path, own_names), source=str(path))

    made = Family(
        name=network,
        variants=(Variant(f"{network}-jamendo", source=source, n_parameters=n_parameters),),
        input_spec=INPUT,
        windows=WindowSpec(window_s, window_s),
        mids=IDS,
        build=build,
        read=read,
        licence=LICENCE,
        home=HOME,
        smallest=smallest,
        classes=CLASSES,
    )
    return made


def _own_tensors(of: Family, path: Path, own_names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Return the tensors of an authors' state dict by our names, without those of its front end."""
    if path.is_dir():
        expected = of.expected(of.variants[0])
        raise UsageError(f"weights {str(path)!r}: a folder; expected a file, {expected}")
    tensors = {}
    for name, tensor in read_weights(str(path)).items():
        if name.startswith("spec."):
            continue
        own = name
        for pattern, replacement in own_names:
            own = re.sub(pattern, replacement, own)
        tensors[own] = tensor
    return tensors
