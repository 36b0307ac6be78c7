"""Which arithmetic a network computes in on a device: float32, or bfloat16 where it is right.

What is right is found out by `bf16_trial`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

NARROWER_ISA = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}
"""Environment in which a CPU computes bf16 without AMX. It is read when torch starts."""


def has_fast_bf16(device: torch.device) -> bool:
    """Say whether bfloat16 is the faster one: GPUs since Ampere, CPUs with AMX or AVX-512-BF16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or has_amx())


def has_amx() -> bool:
    """Say whether this CPU computes bfloat16 in tiles, unless it is told `NARROWER_ISA`."""
    return bool(torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network runs in a precision: bf16, or f32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def resolved(asked: str, device: torch.device, fault: Callable[[], str]) -> tuple[str, str]:
    """Return the precision to compute in, and why it is not the one that was to be expected.

    Parameters
    ----------
    asked
        One of `names.TrainPrecision`.
    device
        Where the network runs.
    fault
        Compares bf16 with f32 and returns what is wrong; called only where bf16 is wanted.

    Returns
    -------
    tuple of str
        f32 or bf16; and a note, empty where all is as expected.
    """
    if asked == "f32" or (asked == "auto" and not has_fast_bf16(device)):
        return "f32", ""
    found = fault()
    return ("f32", f"float32, as bfloat16 is wrong here: {found}") if found else ("bf16", "")


def joined_notes(*notes: str) -> str:
    """Return what an engine says of itself, as one line."""
    return "; ".join(filter(None, notes))
