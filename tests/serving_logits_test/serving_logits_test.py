"""The CPU executor's logits against torch's own operations: GPT-2 and Llama with random weights,
grouped queries, scalings of positions, biases, tied and own heads, and Llama's relatives Mistral
and Qwen2. Needs torch; skipped (exit 77) without.
"""

import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    print("skipped: no torch in this Python")
    sys.exit(77)

PROGRAM = os.environ["LONGRUN_PRINT_LOGITS"]
TOKENS = 90


def write_folder(folder, config, tensors):
    header, offset = {}, 0
    for name, tensor in tensors.items():
        end = offset + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            out.write(bytes(tensor.contiguous().flatten().numpy().tobytes()))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def executor_logits(config, tensors, tokens, vocab, weights="f32"):
    with tempfile.TemporaryDirectory() as name:
        write_folder(pathlib.Path(name), config, tensors)
        result = subprocess.run([PROGRAM, name, weights, *map(str, tokens)], capture_output=True,
                                check=False)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())
    values = torch.frombuffer(bytearray(result.stdout), dtype=torch.float32)
    return values.reshape(len(tokens), vocab)


def attention(q, k, v):
    """[heads, tokens, dim] each, causal."""
    n = q.shape[1]
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
    scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def gpt2(bias):
    torch.manual_seed(3)
    d, heads, layers, vocab = 64, 4, 2, 211
    config = {"model_type": "gpt2", "n_layer": layers, "n_head": heads, "n_embd": d,
              "n_positions": 128, "vocab_size": vocab, "bias": bias}
    t = {"wte.weight": torch.randn(vocab, d) * 0.2, "wpe.weight": torch.randn(128, d) * 0.2}
    stems = [(f"h.{i}.{name}", shape) for i in range(layers) for name, shape in (
        ("ln_1", (d,)), ("attn.c_attn", (d, 3 * d)), ("attn.c_proj", (d, d)), ("ln_2", (d,)),
        ("mlp.c_fc", (d, 4 * d)), ("mlp.c_proj", (4 * d, d)))] + [("ln_f", (d,))]
    for stem, shape in stems:
        t[stem + ".weight"] = (1 + 0.2 * torch.randn(shape) if len(shape) == 1 else
                               torch.randn(shape) / math.sqrt(shape[0]))
        if bias:
            t[stem + ".bias"] = 0.2 * torch.randn(shape[-1])

    def norm(x, stem):
        return F.layer_norm(x, (d,), t[stem + ".weight"], t.get(stem + ".bias"), 1e-5)

    def linear(x, stem):
        return F.linear(x, t[stem + ".weight"].t(), t.get(stem + ".bias"))

    def forward(tokens):
        x = t["wte.weight"][tokens] + t["wpe.weight"][:len(tokens)]
        for i in range(layers):
            h = f"h.{i}."
            q, k, v = (part.reshape(-1, heads, d // heads).transpose(0, 1) for part in
                       linear(norm(x, h + "ln_1"), h + "attn.c_attn").split(d, 1))
            x = x + linear(attention(q, k, v), h + "attn.c_proj")
            inner = F.gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh")
            x = x + linear(inner, h + "mlp.c_proj")
        return norm(x, "ln_f") @ t["wte.weight"].t()
    return config, t, forward, vocab


def llama3_frequencies(frequencies, scaling):
    """Llama 3.1's stretch of long waves."""
    length = 2 * math.pi / frequencies
    context = scaling["original_max_position_embeddings"]
    low, high = context / scaling["low_freq_factor"], context / scaling["high_freq_factor"]
    smooth = (context / length - scaling["low_freq_factor"]) / (
        scaling["high_freq_factor"] - scaling["low_freq_factor"])
    blended = (1 - smooth) * frequencies / scaling["factor"] + smooth * frequencies
    stretched = torch.where(length > low, frequencies / scaling["factor"], frequencies)
    return torch.where((length <= low) & (length >= high), blended, stretched)


def yarn_frequencies(frequencies, scaling, theta):
    """YaRN (Peng et al. 2023, section 3.2), with the bounds of the ramp at whole pairs."""
    dim, context = 2 * len(frequencies), scaling["original_max_position_embeddings"]
    low, high = (dim * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(theta))
                 for turns in (32, 1))
    low, high = max(math.floor(low), 0), min(math.ceil(high), dim - 1)
    ramp = ((torch.arange(dim // 2) - low) / (high - low)).clamp(0, 1)
    return frequencies * (1 - ramp) + frequencies / scaling["factor"] * ramp


def llama(kv_heads, tied, scaling, kind="llama", biases=()):
    """`biases`: names of the projections that have one."""
    torch.manual_seed(4)
    d, heads, dim, f, layers, vocab = 64, 4, 32, 152, 2, 211
    config = {"model_type": kind, "num_hidden_layers": layers, "num_attention_heads": heads,
              "num_key_value_heads": kv_heads, "head_dim": dim, "hidden_size": d,
              "intermediate_size": f, "max_position_embeddings": 256, "vocab_size": vocab,
              "rms_norm_eps": 1e-5, "rope_theta": 5e5, "rope_scaling": scaling,
              "tie_word_embeddings": tied, "sliding_window": None}
    if kind == "llama":
        config |= {"attention_bias": "self_attn.o_proj" in biases,
                   "mlp_bias": "mlp.up_proj" in biases}
    t = {"model.embed_tokens.weight": torch.randn(vocab, d) * 0.3,
         "model.norm.weight": 1 + 0.2 * torch.randn(d)}
    if not tied:
        t["lm_head.weight"] = torch.randn(vocab, d) / 8
    for i in range(layers):
        for name, shape in (("self_attn.q_proj", (heads * dim, d)),
                            ("self_attn.k_proj", (kv_heads * dim, d)),
                            ("self_attn.v_proj", (kv_heads * dim, d)),
                            ("self_attn.o_proj", (d, heads * dim)), ("mlp.gate_proj", (f, d)),
                            ("mlp.up_proj", (f, d)), ("mlp.down_proj", (d, f))):
            t[f"model.layers.{i}.{name}.weight"] = torch.randn(shape) / math.sqrt(shape[1])
            if name in biases:
                t[f"model.layers.{i}.{name}.bias"] = 0.2 * torch.randn(shape[0])
        for name in ("input_layernorm", "post_attention_layernorm"):
            t[f"model.layers.{i}.{name}.weight"] = 1 + 0.2 * torch.randn(d)
    frequencies = 1 / 5e5 ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    magnitude, way = 1, (scaling or {}).get("rope_type")
    if way == "llama3":
        frequencies = llama3_frequencies(frequencies, scaling)
    elif way == "linear":
        frequencies = frequencies / scaling["factor"]
    elif way == "yarn":
        frequencies = yarn_frequencies(frequencies, scaling, 5e5)
        magnitude = 0.1 * math.log(scaling["factor"]) + 1

    def norm(x, name):
        return x * (x.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt() * t[f"model.{name}.weight"]

    def turn(x):
        """[heads, tokens, dim]; halves are the pairs' two sides."""
        angles = (torch.arange(x.shape[1])[:, None] * frequencies.float()).repeat(1, 2)
        other = torch.cat((-x[..., dim // 2:], x[..., :dim // 2]), -1)
        return (x * angles.cos() + other * angles.sin()) * magnitude

    def linear(x, name):
        return F.linear(x, t[f"model.{name}.weight"], t.get(f"model.{name}.bias"))

    def forward(tokens):
        x = t["model.embed_tokens.weight"][tokens]
        for i in range(layers):
            y = norm(x, f"layers.{i}.input_layernorm")
            q, k, v = (linear(y, f"layers.{i}.self_attn.{part}_proj")
                       .reshape(len(tokens), -1, dim).transpose(0, 1) for part in "qkv")
            k, v = (part.repeat_interleave(heads // kv_heads, 0) for part in (turn(k), v))
            x = x + linear(attention(turn(q), k, v), f"layers.{i}.self_attn.o_proj")
            y = norm(x, f"layers.{i}.post_attention_layernorm")
            mlp = f"layers.{i}.mlp."
            gate = F.silu(linear(y, mlp + "gate_proj"))
            x = x + linear(gate * linear(y, mlp + "up_proj"), mlp + "down_proj")
        head = t["model.embed_tokens.weight" if tied else "lm_head.weight"]
        return norm(x, "norm") @ head.t()
    return config, t, forward, vocab


SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 64}
QKV = tuple(f"self_attn.{part}_proj" for part in "qkv")
ALL = QKV + ("self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
MODELS = {
    "gpt2": lambda: gpt2(True),
    "gpt2 without bias": lambda: gpt2(False),
    "llama, grouped queries, own head": lambda: llama(2, False, None),
    "llama, one key for all, tied": lambda: llama(1, True, None),
    "llama, llama3 scaling": lambda: llama(4, False, SCALING),
    "llama, linear scaling": lambda: llama(2, False, {"rope_type": "linear", "factor": 4.0}),
    "llama, dynamic scaling": lambda: llama(2, False, {"rope_type": "dynamic", "factor": 4.0}),
    "llama, yarn": lambda: llama(2, False, {"rope_type": "yarn", "factor": 4.0,
                                            "original_max_position_embeddings": 64}),
    "llama, biases": lambda: llama(2, True, None, biases=ALL),
    "mistral": lambda: llama(2, False, None, "mistral"),
    "qwen2": lambda: llama(2, True, None, "qwen2", QKV),
}


class Logits(unittest.TestCase):

    def test_f32_is_torchs(self):
        for name, make in MODELS.items():
            with self.subTest(name):
                config, tensors, forward, vocab = make()
                tokens = torch.randint(vocab, (TOKENS,))
                ours = executor_logits(config, tensors, tokens.tolist(), vocab)
                self.assertLess((ours - forward(tokens)).abs().max().item(), 1e-4)

    def test_bf16_is_near(self):
        config, tensors, forward, vocab = llama(2, False, None)
        tokens = torch.randint(vocab, (TOKENS,))
        difference = executor_logits(config, tensors, tokens.tolist(), vocab, "bf16")
        difference = (difference - forward(tokens)).abs().max().item()
        self.assertLess(difference, 0.3)  # roundings of 2^-9 in sums of 64 to 152
        self.assertGreater(difference, 1e-4)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-q"] + sys.argv[1:])
