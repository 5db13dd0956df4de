#!/usr/bin/env python3
"""Makes the files of this folder from public ones; README.md says which.

    make.py vocabularies LLAMA_CPP_MODELS SMOLLM2_GGUF SENTENCEPIECE_TEST_FOLDER
    make.py templates FOLDER OUT.json
    make.py golden FOLDER

`golden` writes golden.json for the *.tokenizer.json and *.model files of a folder. The sentencepiece, jinja2 and
tokenizers packages do the work.
"""
import datetime
import json
import os
import shutil
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SEPARATOR = "\n__ggml_vocab_test__\n"


def gguf_metadata(path):
    data = open(path, "rb").read(32 << 20)
    at = 8
    formats = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def number(kind):
        nonlocal at
        value, = struct.unpack_from("<" + formats[kind], data, at)
        at += struct.calcsize("<" + formats[kind])
        return value

    def value(kind):
        nonlocal at
        if kind == 8:
            length = number(10)
            at += length
            return data[at - length:at].decode()
        if kind == 9:
            inner, n_values = number(4), number(10)
            return [value(inner) for _ in range(n_values)]
        return number(kind)

    number(10)
    return {value(8): value(number(4)) for _ in range(number(10))}


def byte_bpe(path, name, add_bos):
    """A byte-level BPE in short: its tokens are control tokens, bytes and what the merges make, in order."""
    meta = gguf_metadata(path)
    key = lambda name: meta.get("tokenizer.ggml." + name)
    tokens, merges, types = key("tokens"), key("merges"), key("token_type")
    first = tokens.index(merges[0].replace(" ", ""))
    joined = [merge.replace(" ", "") for merge in merges]
    assert tokens[first:first + len(joined)] == joined
    control = next(i for i, kind in enumerate(types[:first] + [1]) if kind == 1)
    short = {
        "pre": key("pre"),
        "control_first": tokens[:control],
        "bytes": "".join(tokens[control:first]),
        "merges": "\n".join(merges),
        "control_last": tokens[first + len(joined):],
        "bos": key("bos_token_id"),
        "eos": key("eos_token_id"),
        "add_bos": add_bos,
        "chat_template": meta.get("tokenizer.chat_template"),
    }
    write(name, short)


def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf8") as file:
        json.dump(value, file, ensure_ascii=False, indent=0)
        file.write("\n")


def vocabularies(models, smollm2, sentencepiece_folder):
    import sentencepiece

    byte_bpe(f"{models}/ggml-vocab-gpt-2.gguf", "gpt-2.json", None)
    byte_bpe(smollm2, "smollm2.json", False)
    meta = gguf_metadata(f"{models}/ggml-vocab-bert-bge.gguf")
    with open(os.path.join(HERE, "bert.txt"), "w", encoding="utf8") as file:
        for token, kind in zip(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]):
            if kind == 1:
                token = token[1:] if token.startswith("\u2581") else "##" + token
            file.write(token + "\n")
    shutil.copy(f"{models}/ggml-vocab-gpt-2.gguf.inp", f"{HERE}/texts.inp")
    shutil.copy(f"{models}/ggml-vocab-gpt-2.gguf.out", f"{HERE}/gpt-2.out")
    shutil.copy(f"{models}/ggml-vocab-bert-bge.gguf.out", f"{HERE}/bert.out")

    texts = open(f"{HERE}/texts.inp", encoding="utf8").read().removesuffix(SEPARATOR).split(SEPARATOR)
    texts += ["①ﬁ ｶﾞ  x\u3000y \u00a0", "  lead and trail  ", "a\x00b\u0301 \u0301"]
    texts += open(f"{sentencepiece_folder}/botchan.txt", encoding="utf8").read().splitlines()[::400]
    golden = {"texts": texts}
    for kind in "bpe", "unigram":
        name = f"botchan_en_{kind}_1000.model"
        shutil.copy(f"{sentencepiece_folder}/{name}", f"{HERE}/{kind}.model")
        processor = sentencepiece.SentencePieceProcessor(model_file=f"{HERE}/{kind}.model")
        golden[kind] = [processor.encode(text) for text in texts]
        golden[kind + "_decoded"] = [processor.decode(ids) for ids in golden[kind]]
    write("sentencepiece.json", golden)


def templates(folder, out):
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser):
            next(parser.stream)
            return parser.parse_statements(["name:endgeneration"], drop_needle=True)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    now = datetime.datetime(2026, 7, 26, 12, 34, 56)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = tojson
    # jinja2 escapes text that is added to a `safe` string for HTML, which no template means.
    environment.filters["safe"] = str
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = now.strftime
    tool = {"type": "function", "function": {"name": "add", "description": "Adds <two> numbers", "parameters": {
        "type": "object", "properties": {"a": {"type": "number", "description": "é"}}, "required": ["a"]}}}
    talk = [("user", "Hi <b>é</b>!"), ("assistant", "Hello."), ("user", "1 + 1?")]
    cases = [
        {"name": "chat", "messages": talk, "add_generation_prompt": True, "variables": {}},
        {"name": "system", "messages": [("system", "You are terse.")] + talk, "add_generation_prompt": True,
         "variables": {}},
        {"name": "thinking off", "messages": talk, "add_generation_prompt": True,
         "variables": {"enable_thinking": False}},
        {"name": "tools", "messages": talk[:1], "add_generation_prompt": True, "variables": {"tools": [tool]}},
        {"name": "done", "messages": talk[:2], "add_generation_prompt": False, "variables": {}},
    ]
    for case in cases:
        case["messages"] = [{"role": role, "content": content} for role, content in case["messages"]]
    rendered = {}
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".jinja")):
        source = open(os.path.join(folder, name), encoding="utf8").read()
        for case in cases:
            try:
                text = environment.from_string(source).render(
                    messages=case["messages"], add_generation_prompt=case["add_generation_prompt"],
                    bos_token="<s>", eos_token="</s>", **case["variables"])
            except Exception as error:
                text = None
                print(f"{name}, {case['name']}: {type(error).__name__}: {error}")
            rendered.setdefault(name, []).append(text)
    with open(out, "w", encoding="utf8") as file:
        json.dump({"now": 1785069296, "cases": cases, "rendered": rendered}, file, ensure_ascii=False, indent=1)
        file.write("\n")


def golden(folder):
    import sentencepiece
    import tokenizers

    texts = open(f"{HERE}/texts.inp", encoding="utf8").read().removesuffix(SEPARATOR).split(SEPARATOR)
    texts += ["①ﬁ ｶﾞ  x\u3000y \u00a0", "  lead and trail  ", "a\x00b\u0301 \u0301", "\t\n \n\n\n   x"]
    texts += ["translate English to German: The house is wonderful.", "Hello, wörld! 12345 naïve 日本語 🙂"]
    texts += open(f"{HERE}/README.md", encoding="utf8").read().splitlines() + [open(__file__, encoding="utf8").read()]
    files, plain = [], {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".tokenizer.json"):
            tokenizer = tokenizers.Tokenizer.from_file(path)
            tokenizer.no_truncation()
            tokenizer.no_padding()
            encode = lambda text: tokenizer.encode(text).ids
            decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
        elif name.endswith(".model"):
            processor = sentencepiece.SentencePieceProcessor(model_file=path)
            encode, decode = processor.encode, processor.decode
        else:
            continue
        ids = [encode(text) for text in texts]
        files.append({"file": name, "ids": ids, "decoded": [decode(i) for i in ids]})
        if name.endswith(".tokenizer.json"):
            plain[name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    # The same vocabularies in another file format, which may add other tokens around a text.
    for name, same in ("gemma-3-270m-q4_k_m.gguf", "gemma3"), ("ggml-vocab-llama-bpe.gguf", "llama3"), (
            "ggml-vocab-qwen2.gguf", "qwen3"), ("qwen.tiktoken", "qwen3"):
        if os.path.exists(os.path.join(folder, name)):
            same += ".tokenizer.json"
            decoded = next(entry["decoded"] for entry in files if entry["file"] == same)
            files.append({"file": name, "ids": plain[same], "decoded": decoded})
    with open(os.path.join(folder, "golden.json"), "w", encoding="utf8") as file:
        json.dump({"texts": texts, "files": files}, file, ensure_ascii=False)


if __name__ == "__main__":
    {"vocabularies": vocabularies, "templates": templates, "golden": golden}[sys.argv[1]](*sys.argv[2:])
