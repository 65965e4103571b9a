"""A language model of random weights, as a GGUF file that llama.cpp loads.

    python -m tests.real.tiny_model FILE

It is of the llama architecture, made in a second, and never ends a text by itself: each token is a
word of two syllables, and answers are as long as `max_tokens` says. The file is written by hand, as
the format is short (GGUF version 3: header, key-value pairs, tensor infos, aligned tensors).
"""

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DIM, LAYERS, FEED_FORWARD, HEADS, CONTEXT = 256, 4, 704, 4, 8192
_ALIGNMENT = 32  # bytes
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9  # types of values
_TENSOR_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # types of tokens
_SPACE = "\u2581"  # as SentencePiece writes it
_NEVER = -20.0  # a logit that is not sampled

Floats = npt.NDArray[Any]


def write_model(file: Path) -> None:
    """Write it."""
    tokens = _vocabulary()
    tensors = _tensors(len(tokens), first_word=len(tokens) - _WORDS)
    _write(file, _settings(tokens), tensors)


_SYLLABLES = [c + v for c in "bdfgklmnprst" for v in "aeiou"]
_WORDS = len(_SYLLABLES) ** 2


def _vocabulary() -> list[tuple[str, float, int]]:
    """(text, score, type) of each token, the words last."""
    special = [("<unk>", 0.0, _UNKNOWN), ("<s>", 0.0, _CONTROL), ("</s>", 0.0, _CONTROL)]
    special += [(f"<0x{byte:02X}>", 0.0, _BYTE) for byte in range(256)]
    letters = [_SPACE, *(chr(code) for code in range(33, 127))]  # prompts are made of them, too
    words = [_SPACE + first + second for first in _SYLLABLES for second in _SYLLABLES]
    plain = [(text, -float(rank), _NORMAL) for rank, text in enumerate([*letters, *words])]
    return special + plain


def _settings(tokens: list[tuple[str, float, int]]) -> dict[str, tuple[int, Any]]:
    texts, scores, types = zip(*tokens, strict=True)
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
    return {
        "general.architecture": (_STRING, "llama"),
        "general.name": (_STRING, "tiny"),
        "general.alignment": (_U32, _ALIGNMENT),
        "llama.context_length": (_U32, CONTEXT),
        "llama.embedding_length": (_U32, DIM),
        "llama.block_count": (_U32, LAYERS),
        "llama.feed_forward_length": (_U32, FEED_FORWARD),
        "llama.attention.head_count": (_U32, HEADS),
        "llama.attention.head_count_kv": (_U32, HEADS),
        "llama.attention.layer_norm_rms_epsilon": (_F32, 1e-5),
        "llama.rope.dimension_count": (_U32, DIM // HEADS),
        "llama.vocab_size": (_U32, len(tokens)),
        "tokenizer.ggml.model": (_STRING, "llama"),
        "tokenizer.ggml.tokens": (_ARRAY, (_STRING, texts)),
        "tokenizer.ggml.scores": (_ARRAY, (_F32, scores)),
        "tokenizer.ggml.token_type": (_ARRAY, (_I32, types)),
        "tokenizer.ggml.unknown_token_id": (_U32, 0),
        "tokenizer.ggml.bos_token_id": (_U32, 1),
        "tokenizer.ggml.eos_token_id": (_U32, 2),
        "tokenizer.ggml.add_bos_token": (_BOOL, True),
        "tokenizer.chat_template": (_STRING, template),
    }


def _tensors(vocabulary: int, first_word: int) -> dict[str, Floats]:
    """Weights that keep the first dimension constant: by it all tokens but words are ruled out."""
    random = np.random.default_rng(1)

    def matrix(rows: int, columns: int) -> Floats:
        scale: float = columns**-0.5
        return (random.standard_normal((rows, columns)) * scale).astype(np.float16)

    def residual(rows: int, columns: int) -> Floats:
        made = matrix(rows, columns)
        made[0] = 0.0
        return made

    ones = np.ones(DIM, np.float32)
    embedding = (random.standard_normal((vocabulary, DIM))).astype(np.float16)
    embedding[:, 0] = 8.0
    output = 2.0 * matrix(vocabulary, DIM)
    output[:, 0] = 0.0
    output[:first_word, 0] = _NEVER
    tensors: dict[str, Floats] = {"token_embd.weight": embedding}
    for layer in range(LAYERS):
        tensors |= {
            f"blk.{layer}.{name}.weight": weights
            for name, weights in (
                ("attn_norm", ones),
                ("attn_q", matrix(DIM, DIM)),
                ("attn_k", matrix(DIM, DIM)),
                ("attn_v", matrix(DIM, DIM)),
                ("attn_output", residual(DIM, DIM)),
                ("ffn_norm", ones),
                ("ffn_gate", matrix(FEED_FORWARD, DIM)),
                ("ffn_up", matrix(FEED_FORWARD, DIM)),
                ("ffn_down", residual(DIM, FEED_FORWARD)),
            )
        }
    return tensors | {"output_norm.weight": ones, "output.weight": output.astype(np.float16)}


def _write(file: Path, settings: dict[str, tuple[int, Any]], tensors: dict[str, Floats]) -> None:
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(settings)))
    for key, (kind, value) in settings.items():
        head += _text(key) + struct.pack("<I", kind) + _value(kind, value)
    offset = 0
    for name, weights in tensors.items():
        shape = weights.shape[::-1]  # the innermost dimension first
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", _TENSOR_TYPES[weights.dtype], offset)
        offset += _aligned(weights.nbytes)
    with file.open("wb") as out:
        out.write(head.ljust(_aligned(len(head)), b"\0"))
        for weights in tensors.values():
            out.write(weights.tobytes().ljust(_aligned(weights.nbytes), b"\0"))


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    if kind == _ARRAY:
        of, values = value
        return struct.pack("<IQ", of, len(values)) + b"".join(_value(of, one) for one in values)
    return struct.pack({_U32: "<I", _I32: "<i", _F32: "<f", _BOOL: "<?"}[kind], value)


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))
