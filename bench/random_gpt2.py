"""A GPT-2 of 124 M parameters with random weights, for benchmarks of serving: the same numbers as a
Hugging Face folder, and as a GGUF file for a peer that reads that.

    python3 bench/random_gpt2.py FOLDER [--type bf16|f32] [--layers 12] [--width 768] …

writes FOLDER/{config.json, model.safetensors, vocab.json, merges.txt, model.gguf}. Needs numpy.
"""

import argparse
import json
import pathlib
import struct

import numpy as np

GGUF_STRING, GGUF_ARRAY, GGUF_U32, GGUF_I32, GGUF_F32 = 8, 9, 4, 5, 6
GGML_F32, GGML_BF16 = 0, 30
ALIGNMENT = 32


def byte_letters():
    """GPT-2's printable letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [letters[b] for b in plain + others]


def tokenizer(vocab_size):
    """Bytes, then pairs of bytes, then the end of text."""
    letters = byte_letters()
    pairs = [(a, b) for a in letters for b in letters][:vocab_size - 257]
    tokens = letters + [a + b for a, b in pairs] + ["<|endoftext|>"]
    return tokens, [f"{a} {b}" for a, b in pairs]


def weights(layers, width, context, vocab_size):
    """(name in a Hugging Face folder, name in GGUF, is it transposed there, values)."""
    random = np.random.default_rng(1)

    def normal(*shape):
        return random.standard_normal(shape, dtype=np.float32) * 0.02

    yield "wte.weight", "token_embd.weight", False, normal(vocab_size, width)
    yield "wpe.weight", "position_embd.weight", False, normal(context, width)
    for i in range(layers):
        ours, theirs = f"h.{i}", f"blk.{i}"
        for norm, name in (("ln_1", "attn_norm"), ("ln_2", "ffn_norm")):
            yield f"{ours}.{norm}.weight", f"{theirs}.{name}.weight", False, 1 + normal(width)
            yield f"{ours}.{norm}.bias", f"{theirs}.{name}.bias", False, normal(width)
        for part, name, inputs, outputs in (("attn.c_attn", "attn_qkv", width, 3 * width),
                                            ("attn.c_proj", "attn_output", width, width),
                                            ("mlp.c_fc", "ffn_up", width, 4 * width),
                                            ("mlp.c_proj", "ffn_down", 4 * width, width)):
            yield f"{ours}.{part}.weight", f"{theirs}.{name}.weight", True, normal(inputs, outputs)
            yield f"{ours}.{part}.bias", f"{theirs}.{name}.bias", False, normal(outputs)
    yield "ln_f.weight", "output_norm.weight", False, 1 + normal(width)
    yield "ln_f.bias", "output_norm.bias", False, normal(width)


def bf16(values):
    """To nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path, tensors, dtype):
    header, blobs, at = {}, [], 0
    for name, _, _, values in tensors:
        blob = (bf16(values) if dtype == "bf16" else values).tobytes()
        header[name] = {"dtype": dtype.upper(), "shape": list(values.shape),
                        "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def gguf_string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(value):
    if isinstance(value, str):
        return struct.pack("<I", GGUF_STRING) + gguf_string(value)
    if isinstance(value, float):
        return struct.pack("<If", GGUF_F32, value)
    if isinstance(value, int):
        return struct.pack("<II", GGUF_U32, value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", GGUF_ARRAY, GGUF_STRING, len(value)) + b"".join(
            map(gguf_string, value))
    return struct.pack("<IIQ", GGUF_ARRAY, GGUF_I32, len(value)) + np.array(
        value, np.int32).tobytes()


def write_gguf(path, tensors, dtype, values):
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for key, value in values.items():
        out += gguf_string(key) + gguf_value(value)
    blobs, at = [], 0
    for _, name, transposed, array in tensors:
        array = np.ascontiguousarray(array.T) if transposed else array
        # Vectors and positions stay f32, as the format's own converters have it.
        half = dtype == "bf16" and array.ndim == 2 and not name.startswith("position")
        blob = (bf16(array) if half else array).tobytes()
        out += gguf_string(name) + struct.pack("<I", array.ndim)
        out += b"".join(struct.pack("<Q", n) for n in reversed(array.shape))
        out += struct.pack("<IQ", GGML_BF16 if half else GGML_F32, at)
        blob += b"\0" * (-len(blob) % ALIGNMENT)
        at += len(blob)
        blobs.append(blob)
    path.write_bytes(out + b"\0" * (-len(out) % ALIGNMENT) + b"".join(blobs))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--type", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--vocab", type=int, default=50257)
    flags = parser.parse_args()

    flags.folder.mkdir(parents=True, exist_ok=True)
    tensors = list(weights(flags.layers, flags.width, flags.context, flags.vocab))
    tokens, merges = tokenizer(flags.vocab)
    end = flags.vocab - 1
    (flags.folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (flags.folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (flags.folder / "config.json").write_text(json.dumps({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": flags.layers,
        "n_embd": flags.width, "n_head": flags.heads, "n_positions": flags.context,
        "n_ctx": flags.context, "vocab_size": flags.vocab, "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new", "tie_word_embeddings": True, "bos_token_id": end,
        "eos_token_id": end, "torch_dtype": "bfloat16" if flags.type == "bf16" else "float32",
    }, indent=2))
    write_safetensors(flags.folder / "model.safetensors", tensors, flags.type)
    write_gguf(flags.folder / "model.gguf", tensors, flags.type, {
        "general.architecture": "gpt2", "general.name": "random",
        "gpt2.context_length": flags.context, "gpt2.embedding_length": flags.width,
        "gpt2.feed_forward_length": 4 * flags.width, "gpt2.block_count": flags.layers,
        "gpt2.attention.head_count": flags.heads, "gpt2.attention.layer_norm_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (flags.vocab - 1) + [3],
        "tokenizer.ggml.merges": merges, "tokenizer.ggml.bos_token_id": end,
        "tokenizer.ggml.eos_token_id": end,
    })


if __name__ == "__main__":
    main()
