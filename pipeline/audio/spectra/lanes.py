"""Some numbers side by side, as types for numba: what is done to one is done to all at once.

`Lanes` is LLVM's `<N x float>` or, as wide in bits, `<N/2 x double>`. Loops over a short last axis
get there only now and then, as the compiler must prove that arrays do not overlap; with the types
it is a matter of course. Where the machine's vectors hold fewer, LLVM takes two or four for one.

    v = splat(w)                                # inside a function under numba.njit
    store(y, i, load(x, i, v) * v + load(x, j, v))

numba's cache sees changes of a kernel's own file only: after a change here, touch the kernel's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

N_LANES = 16
"""Floats side by side: one register of AVX-512; with AVX2 two, which is faster than 8 lanes."""

_INT, _LONG, _FLOAT, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
_INTS, _FLOATS = ir.VectorType(_INT, N_LANES), ir.VectorType(_FLOAT, N_LANES)
_ALIGN = 4  # arrays of floats begin anywhere
_FUSED = ("contract",)  # a * b + c in one instruction, and nothing looser

# log(1 + f) = f - f^2 / 2 + f^3 P(f) for 1 + f in sqrt(1/2)..sqrt(2); Cephes, logf.c
_LOG_P = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_BITS_OF_SQRT_HALF = 0x3F3504F3
_LOG2_E = 1.4426950408889634

Value = Any  # an ir.Value: llvmlite has no types of its own


class Lanes(types.Type):
    """`n` numbers of one element type side by side."""

    def __init__(self, element: ir.Type, n: int) -> None:
        self.element, self.n = element, n
        self.vector = ir.VectorType(element, n)
        super().__init__(name=f"lanes({element}, {n})")


floats, doubles = Lanes(_FLOAT, N_LANES), Lanes(_DOUBLE, N_LANES // 2)
_OF = {types.float32: floats, types.float64: doubles}


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, type_: Lanes) -> None:
        super().__init__(manager, type_, type_.vector)


def _define(operation: Callable[..., Any], emit: Callable[[Any, Value, Value], Value]) -> None:
    """Give `Lanes` a binary operator."""

    @intrinsic
    def compiled(context: Any, a: Any, b: Any) -> Any:
        return a(a, b), lambda context, build, signature, args: emit(build, *args)

    @overload(operation, inline="always")
    def choose(a, b):  # numba compares with the lambda's
        both = isinstance(a, Lanes) and a == b
        return (lambda a, b: compiled(a, b)) if both else None


_define(operator.add, lambda build, a, b: build.fadd(a, b, flags=_FUSED))
_define(operator.sub, lambda build, a, b: build.fsub(a, b, flags=_FUSED))
_define(operator.mul, lambda build, a, b: build.fmul(a, b, flags=_FUSED))


@intrinsic
def load(context: Any, array: Any, at: Any, like: Any) -> Any:
    """Return `array[at:]` as lanes like `like`, in its precision; nothing checks the bounds."""

    def emit(context: Any, build: Any, signature: Any, args: Any) -> Value:
        value = _load(build, _pointer(context, build, signature.args[0], args[0], args[1], like.n))
        return _cast(build, value, like.vector)

    return like(array, types.intp, like), emit


@intrinsic
def store(context: Any, array: Any, at: Any, value: Any) -> Any:
    """Write lanes to `array[at:]`, rounded to its type; nothing checks the bounds."""

    def emit(context: Any, build: Any, signature: Any, args: Any) -> Value:
        pointer = _pointer(context, build, signature.args[0], args[0], args[1], value.n)
        vector = pointer.type.pointee
        build.store(_cast(build, args[2], vector), pointer).align = _ALIGN
        return context.get_dummy_value()

    return types.void(array, types.intp, value), emit


@intrinsic
def splat(context: Any, value: Any) -> Any:
    """Return the same number in every lane; float32 and float64 each have lanes of their own."""
    lanes = _OF[value]

    def emit(context: Any, build: Any, signature: Any, args: Any) -> Value:
        undefined = ir.Constant(lanes.vector, ir.Undefined)
        first = build.insert_element(undefined, args[0], ir.Constant(_INT, 0))
        return _shuffled(build, first, undefined, [0] * lanes.n)

    return lanes(value), emit


@intrinsic
def width(context: Any, value: Any) -> Any:
    """Return how many lanes a value has."""
    return types.intp(value), lambda context, build, signature, args: _long(value.n)


@intrinsic
def square_root(context: Any, value: Any) -> Any:
    """Return the square root of each lane."""

    def emit(context: Any, build: Any, signature: Any, args: Any) -> Value:
        name = f"llvm.sqrt.v{value.n}f{32 if value.element == _FLOAT else 64}"
        kind = ir.FunctionType(value.vector, [value.vector])
        return build.call(cgutils.get_or_insert_function(build.module, kind, name), args)

    return value(value), emit


@intrinsic
def log2_above(context: Any, value: Any, floor: Any) -> Any:
    """Return log2 of the larger of each lane and `floor`, to 2e-7; `floor` must be normal."""

    def emit(context: Any, build: Any, signature: Any, args: Any) -> Value:
        value, floor = args
        return _log2(build, build.select(build.fcmp_ordered(">", value, floor), value, floor))

    return floats(floats, floats), emit


def _log2(build: Any, x: Value) -> Value:
    """X = 2^n (1 + f): n + log2(1 + f)."""
    bits = build.bitcast(x, _INTS)
    n = build.ashr(build.sub(bits, _ints(_BITS_OF_SQRT_HALF)), _ints(23))
    mantissa = build.bitcast(build.sub(bits, build.shl(n, _ints(23))), _FLOATS)
    f = build.fsub(mantissa, _floats(1.0))
    p = _floats(_LOG_P[0])
    for coefficient in _LOG_P[1:]:
        p = build.fadd(build.fmul(p, f, flags=_FUSED), _floats(coefficient), flags=_FUSED)
    square = build.fmul(f, f)
    tail = build.fsub(
        build.fmul(build.fmul(f, square), p, flags=_FUSED),
        build.fmul(square, _floats(0.5), flags=_FUSED),
        flags=_FUSED,
    )
    log = build.fmul(build.fadd(f, tail), _floats(_LOG2_E), flags=_FUSED)
    return build.fadd(log, build.sitofp(n, _FLOATS), flags=_FUSED)


@intrinsic
def copy_frames(
    context: Any, samples: Any, at: Any, hop: Any, n: Any, window: Any, k: Any, to: Any
) -> Any:
    """Write samples `k` to `k + N_LANES` of frames to `to[k * N_LANES:]`, one frame per lane.

    Frame j begins at `samples[at + j * hop]`, and its samples are multiplied by `window`; where
    there are only `n` frames, the last stands in for those that are missing.
    """

    def emit(context: Any, build: Any, signature: Any, args: Any) -> Value:
        samples, at, hop, n, window, k, to = args
        kinds = signature.args
        weights = _load(build, _pointer(context, build, kinds[4], window, k, N_LANES))
        last, rows = build.sub(n, _long(1)), []
        for j in range(N_LANES):
            frame = build.select(build.icmp_signed("<", _long(j), last), _long(j), last)
            begin = build.add(build.add(at, k), build.mul(frame, hop))
            pointer = _pointer(context, build, kinds[0], samples, begin, N_LANES)
            rows.append(build.fmul(_load(build, pointer), weights))
        for j, row in enumerate(_transposed(build, rows)):
            place = build.mul(build.add(k, _long(j)), _long(N_LANES))
            pointer = _pointer(context, build, kinds[6], to, place, N_LANES)
            build.store(row, pointer).align = _ALIGN
        return context.get_dummy_value()

    long = types.intp
    return types.void(samples, long, long, long, window, long, to), emit


def _transposed(build: Any, rows: list[Value]) -> list[Value]:
    """Transpose a square of lanes: swap its off-diagonal halves, then those of each quarter..."""
    rows, half = list(rows), N_LANES // 2
    while half:
        low = [j if not j & half else N_LANES + j - half for j in range(N_LANES)]
        high = [j + half if not j & half else N_LANES + j for j in range(N_LANES)]
        for i in range(N_LANES):
            if not i & half:
                a, b = rows[i], rows[i + half]
                rows[i], rows[i + half] = _shuffled(build, a, b, low), _shuffled(build, a, b, high)
        half //= 2
    return rows


def _pointer(context: Any, build: Any, type_: Any, array: Value, at: Value, n: int) -> Value:
    """Return the address of `n` elements of an array, as that of a vector."""
    first = build.gep(context.make_array(type_)(context, build, array).data, [at])
    return build.bitcast(first, ir.VectorType(first.type.pointee, n).as_pointer())


def _load(build: Any, pointer: Value) -> Value:
    value = build.load(pointer)
    value.align = _ALIGN
    return value


def _cast(build: Any, value: Value, vector: ir.Type) -> Value:
    """Return the value in the precision of another vector."""
    if value.type == vector:
        return value
    return (build.fpext if vector.element == _DOUBLE else build.fptrunc)(value, vector)


def _shuffled(build: Any, a: Value, b: Value, order: Sequence[int]) -> Value:
    return build.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, len(order)), list(order)))


def _long(value: int) -> Value:
    return ir.Constant(_LONG, value)


def _ints(value: int) -> Value:
    return ir.Constant(_INTS, [value] * N_LANES)


def _floats(value: float) -> Value:
    return ir.Constant(_FLOATS, [value] * N_LANES)
