"""Word vectors beside gensim: training (words per second, scores of the vectors) and analogies.

    pip install gensim==4.4.0
    python benches/word_vectors.py train target/release/aquatint TEXT [--seeds 1 2 3] [--epochs 5]
    python benches/word_vectors.py analogies target/release/aquatint VECTORS.bin QUESTIONS [--rounds 3]

TEXT has a sentence per line, words between spaces. The two programs take turns (A B A B), so that a
busy machine slows both. gensim trains with 2 workers. CPU seconds are those of the whole process,
reading the text included; words per second are of the training alone.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

WORKERS = 2


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command):
    """The standard output of a command and its CPU seconds."""
    before = children_cpu()
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    return done.stdout, children_cpu() - before


def gensim_train(text, output, seed, is_cbow, epochs):
    from gensim.models import Word2Vec

    model = Word2Vec(vector_size=100, window=5, min_count=5, sg=0 if is_cbow else 1, negative=5, hs=0,
                     sample=1e-3, workers=WORKERS, seed=seed)
    model.build_vocab(corpus_file=text)
    start = time.time()
    model.train(corpus_file=text, total_examples=model.corpus_count, total_words=model.corpus_total_words,
                epochs=epochs)
    speed = model.corpus_total_words * epochs / (time.time() - start)
    model.wv.save_word2vec_format(output, binary=True)
    print(json.dumps({"words_per_second": speed}))


def gensim_analogies(vectors, questions):
    from gensim.models import KeyedVectors

    model = KeyedVectors.load_word2vec_format(vectors, binary=True)
    model.fill_norms()
    start, cpu = time.time(), time.process_time()
    sections = model.evaluate_word_analogies(questions)[1]
    seconds = time.time() - start
    asked = len(sections[-1]["correct"]) + len(sections[-1]["incorrect"])
    print(json.dumps({"right": len(sections[-1]["correct"]), "asked": asked, "seconds": seconds,
                      "cpu": time.process_time() - cpu}))


def scores(vectors):
    """gensim's own judgement of a file: analogies that are right, Spearman on WordSim-353 and SimLex-999."""
    import gensim
    from gensim.models import KeyedVectors

    data = os.path.join(os.path.dirname(gensim.__file__), "test", "test_data")
    model = KeyedVectors.load_word2vec_format(vectors, binary=True)
    total = model.evaluate_word_analogies(os.path.join(data, "questions-words.txt"), restrict_vocab=30000)[1][-1]
    pairs = [model.evaluate_word_pairs(os.path.join(data, name))[1][0] for name in ("wordsim353.tsv", "simlex999.txt")]
    return [len(total["correct"]), *pairs]


def train(args):
    print("| model | seed | program | words/s | CPU s | analogies right | WordSim-353 | SimLex-999 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "vectors.bin")
        for is_cbow in (False, True):
            for seed in args.seeds:
                ours = [args.program, "vectors", "train", args.text, "--split", "spaces", "-o", output, "--json",
                        "--seed", seed, "--epochs", args.epochs] + (["--cbow"] if is_cbow else [])
                theirs = [sys.executable, __file__, "gensim-train", args.text, output, "--seed", seed, "--epochs",
                          args.epochs] + (["--cbow"] if is_cbow else [])
                for name, command in (("aquatint", ours), ("gensim", theirs)):
                    text, cpu = run(command)
                    right, wordsim, simlex = scores(output)
                    print(f"| {'CBOW' if is_cbow else 'skip-gram'} | {seed} | {name} "
                          f"| {json.loads(text)['words_per_second']:,.0f} | {cpu:.1f} | {right} | {wordsim:.4f} "
                          f"| {simlex:.4f} |", flush=True)


def analogies(args):
    speeds = {"aquatint": [], "gensim": []}
    for _ in range(args.rounds):
        text, cpu = run([args.program, "vectors", "evaluate", args.vectors, args.questions, "--json"])
        test = json.loads(text)["tests"][0]
        speeds["aquatint"].append((test["questions_per_second"], test["asked"] / cpu))
        ours = test["right"]
        text, _ = run([sys.executable, __file__, "gensim-analogies", args.vectors, args.questions])
        test = json.loads(text)
        speeds["gensim"].append((test["asked"] / test["seconds"], test["asked"] / test["cpu"]))
        print(f"right: aquatint {ours}, gensim {test['right']} of {test['asked']}", flush=True)
    for name, values in speeds.items():
        wall, cpu = (statistics.median(column) for column in zip(*values))
        print(f"{name}: {wall:.0f} questions/s, {cpu:.0f} per CPU second (medians of {args.rounds})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train")
    command.add_argument("program")
    command.add_argument("text")
    command.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    command.add_argument("--epochs", type=int, default=5)
    command = commands.add_parser("analogies")
    command.add_argument("program")
    command.add_argument("vectors")
    command.add_argument("questions")
    command.add_argument("--rounds", type=int, default=3)
    command = commands.add_parser("gensim-train")
    command.add_argument("text")
    command.add_argument("output")
    command.add_argument("--seed", type=int)
    command.add_argument("--epochs", type=int)
    command.add_argument("--cbow", action="store_true")
    command = commands.add_parser("gensim-analogies")
    command.add_argument("vectors")
    command.add_argument("questions")
    args = parser.parse_args()
    if args.command == "train":
        train(args)
    elif args.command == "analogies":
        analogies(args)
    elif args.command == "gensim-train":
        gensim_train(args.text, args.output, args.seed, args.cbow, args.epochs)
    else:
        gensim_analogies(args.vectors, args.questions)


if __name__ == "__main__":
    main()
