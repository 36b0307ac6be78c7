"""EfficientAT: MobileNetV3 taggers, distilled from transformers on AudioSet.

Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via transformer-to-CNN knowledge
distillation", ICASSP 2023.
"""

from __future__ import annotations

from pipeline.audio.filterbank import FilterBankInput, FilterBankSpec

INPUT = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=32_000,
        frame_length=800,
        n_fft=1024,
        hop=320,
        n_mels=128,
        f_min_hz=0.0,
        f_max_hz=15_000.0,
        mel_scale="kaldi",
        window="hann_symmetric",
        is_centred=True,
        pre_emphasis=0.97,
        logarithm="ln",
        offset=1e-5,
        mean=-4.5,
        deviation=5.0,
    )
)
