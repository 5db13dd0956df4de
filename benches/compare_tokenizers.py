#!/usr/bin/env python3
"""Compares `aquatint tokenize` with the reference programs: ids, then speed.

    compare_tokenizers.py AQUATINT [--pairs FOLDER] [--strings N] [--text FILE] [--rounds N] TOKENIZER..

A TOKENIZER is a tokenizer.json (reference: the package tokenizers), a SentencePiece *.model (sentencepiece) or a
list of ranks *.tiktoken (tiktoken). `--pairs` is a folder with ggml-vocab-NAME.gguf and, beside it, the texts
.gguf.inp and ids .gguf.out, as llama.cpp has them in `models`.

Ids: every pair, then `--strings` random strings (10,000, always the same ones) per tokenizer. Speed: `--text` is
encoded `--rounds` times by each program in turn, in one thread, without the time to load; medians of the time that
processors spent are printed.

    pip install tokenizers sentencepiece tiktoken
"""
import argparse
import glob
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

PAIR_SEPARATOR = "\n__ggml_vocab_test__\n"
SEPARATOR = "\n\x1e\n"
WORDS = [" the", "Hello", "'ll", "'S", "12345", "  ", "\n", "\r\n\t", "naïve", "日本語", "🙂", "👩‍👩‍👧‍👦", "e\u0301", "\u0301", "▁", ".", "...",
         "\u3000", "\u00a0", "İ", "ß", "ﬁ", "Ｗ", "한국어", "العربية", "हिन्दी", "ไทย", "def f(x):\n    return x", "<0x0A>", "http://a.b/c?d=e",
         "<|endoftext|>", "<|im_start|>", "[MASK]", "<s>", "</s>", "<unk>", "<bos>", "<extra_id_0>", "\u200b", "\ufeff", "½", "٣٤٥"]


def random_strings(n):
    source = random.Random(20260724)
    strings = []
    for _ in range(n):
        parts = []
        for _ in range(source.randrange(24)):
            kind = source.randrange(5)
            if kind == 0:
                code = source.randrange(0x110000)
                parts.append(" " if 0xD800 <= code < 0xE000 else chr(code))
            elif kind == 1:
                parts.append(chr(source.randrange(0x3000)))
            elif kind == 2:
                parts.append(chr(source.randrange(128)))
            elif kind == 3:
                parts.append("".join(chr(source.randrange(97, 123)) for _ in range(source.randrange(12))))
            else:
                parts.append(source.choice(WORDS))
        strings.append("".join(parts).replace("\x1e", ""))
    return strings


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf8", errors="replace")
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:4])}: {done.stderr.strip()}")
    return done.stdout


def ids(aquatint, tokenizer, strings, options):
    with tempfile.NamedTemporaryFile("w", encoding="utf8", newline="", suffix=".txt") as file:
        file.write("".join(text + SEPARATOR for text in strings))
        file.flush()
        out = run([aquatint, "tokenize", tokenizer, "--ids", "--file", file.name, "--separator", SEPARATOR, *options])
    return [[int(word) for word in line.split()] for line in out.removesuffix("\n").split("\n")]


def check_pairs(aquatint, folder):
    n_wrong = 0
    for inputs in sorted(glob.glob(os.path.join(folder, "*.gguf.inp"))):
        vocabulary = inputs.removesuffix(".inp")
        texts = open(inputs, encoding="utf8", newline="").read().removesuffix(PAIR_SEPARATOR).split(PAIR_SEPARATOR)
        lines = open(vocabulary + ".out", encoding="utf8").read().splitlines()
        expected = [[int(word) for word in line.split()] for line in lines]
        found = ids(aquatint, vocabulary, texts, ["--bare"])
        n_equal = sum(a == b for a, b in zip(found, expected))
        n_wrong += n_equal != len(expected) or len(found) != len(expected)
        print(f"pairs    {os.path.basename(vocabulary):40} {n_equal:6} of {len(expected)} texts equal", flush=True)
    return n_wrong


def reference(path):
    """The reference's encoder, its name, and the options that make aquatint do the same."""
    if path.endswith(".json"):
        import tokenizers
        tokenizer = tokenizers.Tokenizer.from_file(path)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return lambda text: tokenizer.encode(text).ids, f"tokenizers {tokenizers.__version__}", ["--special"]
    first = open(path, "rb").readline()
    if path.endswith(".tiktoken") or len(first.split()) == 2 and first.split()[1].isdigit():
        import base64
        import tiktoken
        pairs = (line.split() for line in open(path, "rb") if line.strip())
        ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
        contraction = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
        cl100k = contraction + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{%s}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
        o200k = (rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{contraction}?|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{contraction}?"
                 r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
        patterns = {50256: r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", 100256: cl100k % "1,3",
                    151643: cl100k % "1", 128000: cl100k % "1,3", 199998: o200k, 200000: o200k}
        encoding = tiktoken.Encoding("x", pat_str=patterns[len(ranks)], mergeable_ranks=ranks, special_tokens={})
        return encoding.encode_ordinary, f"tiktoken {tiktoken.__version__}", ["--bare"]
    import sentencepiece
    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    return processor.encode, f"sentencepiece {sentencepiece.__version__}", ["--bare"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("aquatint")
    parser.add_argument("--pairs")
    parser.add_argument("--strings", type=int, default=10_000)
    parser.add_argument("--text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("tokenizers", nargs="*")
    args = parser.parse_intermixed_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    n_wrong = check_pairs(args.aquatint, args.pairs) if args.pairs else 0
    strings = random_strings(args.strings)
    text = open(args.text, encoding="utf8", newline="").read() if args.text else None
    for path in args.tokenizers:
        name = "/".join(path.split(os.sep)[-2:])
        encode, program, options = reference(path)
        expected = [list(encode(string)) for string in strings]
        found = ids(args.aquatint, path, strings, options)
        unequal = [i for i in range(len(strings)) if i >= len(found) or found[i] != expected[i]]
        n_wrong += bool(unequal)
        print(f"strings  {name:40} {len(strings) - len(unequal):6} of {len(strings)} equal to {program}", flush=True)
        for i in unequal[:3]:
            print(f"         {strings[i]!r}\n         expected {expected[i]}\n         found    {found[i] if i < len(found) else None}")
        if text:
            size = len(text.encode()) / 1e6
            ours, theirs = [], []
            for _ in range(args.rounds):
                out = run([args.aquatint, "tokenize", path, "--count", "--json", "--file", args.text, *options])
                ours.append(json.loads(out)["cpu_seconds"] or json.loads(out)["seconds"])
                start = time.process_time()
                n_tokens = len(encode(text))
                theirs.append(time.process_time() - start)
            if json.loads(out)["n_tokens"] != n_tokens:
                n_wrong += 1
                print(f"text     {name:40} {json.loads(out)['n_tokens']} tokens, {program} {n_tokens}")
            ours, theirs = size / statistics.median(ours), size / statistics.median(theirs)
            print(f"speed    {name:40} {ours:6.2f} MB/s, {program} {theirs:6.2f} MB/s, ratio {ours / theirs:.2f}", flush=True)
    sys.exit(1 if n_wrong else 0)


if __name__ == "__main__":
    main()
