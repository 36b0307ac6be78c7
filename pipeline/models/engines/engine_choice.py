"""Whether flags and a model's card go together: what runs the model, and how exactly.

No torch here: it is imported only where a check needs it, as a run with nothing new does without.
"""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.models.card import ModelCard
from pipeline.models.names import CLASSICAL, ENGINES, PRECISIONS


def check_engine(
    card: ModelCard, *, engine: str, precision: str, gpu: bool, embeddings: bool, model_uri: str
) -> None:
    """Raise UsageError where `make_engine` would, whatever GPUs this machine has.

    For who starts processes that load models: Ray loses what their starts say.
    """
    check_names(engine, precision, gpu=gpu)
    wants_int8(card, engine, precision, gpu=gpu)
    if precision == "bf16" and engine != "torch" and not gpu:
        from pipeline.models.engines.graphs import check_precision

        check_precision(precision)
    if card.architecture.name in CLASSICAL:  # small, and not all that others can
        from pipeline.models.engines.engines import make_engine

        make_engine(model_uri, engine=engine, precision=precision, embeddings=embeddings)


def check_names(engine: str, precision: str, *, gpu: bool) -> None:
    """Raise UsageError for an unknown engine or precision, and for openvino on a GPU."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    if gpu and engine == "openvino":
        raise UsageError("--engine openvino runs on CPUs: leave out --gpu, or take torch")


def wants_int8(card: ModelCard, engine: str, precision: str, *, gpu: bool) -> bool:
    """Whether the int8 graph is to run; UsageError where it is asked for and cannot."""
    if precision not in ("auto", "int8"):
        return False
    if card.quantized is None:
        if precision == "int8":
            raise UsageError(
                f"--precision int8: {card.model_id} is not; python -m jobs.quantize makes one of it"
            )
        return False
    if gpu or engine == "torch":
        raise UsageError(
            f"{card.model_id} runs by openvino, on CPUs: leave out --gpu and --engine, or take "
            f"{card.quantized['model_id']}, which it was made of"
        )
    return True
