"""The front ends of the pretrained taggers, by the letters of their families."""

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.kaldi import KaldiInput
from pipeline.models.pretrained.efficientat import INPUT as EFFICIENTAT

CED = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=16_000,
        frame_length=512,
        n_fft=512,
        hop=160,
        n_mels=64,
        f_min_hz=0.0,
        f_max_hz=8000.0,
        mel_scale="htk",
        logarithm="db",
        floor=1e-10,
    )
)
PANNS = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=32_000,
        frame_length=1024,
        n_fft=1024,
        hop=320,
        n_mels=64,
        f_min_hz=50.0,
        f_max_hz=14_000.0,
        equal_area=True,
        logarithm="db",
        floor=1e-10,
    )
)
YAMNET = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=16_000,
        frame_length=400,
        n_fft=512,
        hop=160,
        n_mels=64,
        f_min_hz=125.0,
        f_max_hz=7500.0,
        mel_scale="kaldi",
        is_centred=False,
        power=1,
        offset=0.001,
    )
)
INPUTS = {"S": EFFICIENTAT, "C": CED, "P": PANNS, "Y": YAMNET, "K": KaldiInput()}
