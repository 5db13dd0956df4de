#!/usr/bin/env python3
"""Aquatint beside a llama.cpp that is on this machine, on the same file: medians and ratios.

The two run one after the other, A B A B, at least five times each, since a machine's speed drifts. The peer is
a program llama-bench, or anything that prints the same JSON (see peer_cyllama.py):

    benches/peer.py MODEL.gguf --llama-bench ~/llama.cpp/build/bin/llama-bench
    benches/peer.py MODEL.gguf --peer "python3 benches/peer_cyllama.py" --peer-device cpu

What the peer says it ran on is checked: several fall back to the CPU in silence.
"""

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys


def run(command, environment=None):
    """The standard output of a command and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def aquatint(args):
    command = [args.aquatint, "bench", args.model, "-p", str(args.n_prompt), "-n", str(args.n_gen), "-r", "1", "--json"]
    if args.adapter:
        command += ["--adapter", args.adapter]
    if args.activations:
        command += ["--activations", args.activations]
    output, cpu = run(command)
    report = json.loads(output)
    speed = {("pp" if test["n_prompt"] else "tg"): test["avg_ts"] for test in report["tests"]}
    per_token = {("pp" if test["n_prompt"] else "tg"): test["cpu_seconds_per_token"] for test in report["tests"]}
    return {"device": report["adapter"], **speed, "cpu": cpu, "cpu_pp": per_token["pp"], "cpu_tg": per_token["tg"]}


def peer(args):
    sizes = ["-m", args.model, "-p", str(args.n_prompt), "-n", str(args.n_gen), "-r", "1", "-t", str(args.threads)]
    gpu_layers = ["-ngl", "0" if args.peer_device == "cpu" else "99"]
    environment = {}
    if args.peer_device == "vulkan":
        # llama.cpp leaves out software Vulkan devices that are not named.
        environment["GGML_VK_VISIBLE_DEVICES"] = args.vulkan_device
    command = shlex.split(args.peer) if args.peer else [args.llama_bench]
    output, cpu = run(command + sizes + gpu_layers + ["-o", "json"], environment)
    tests = json.loads(output)
    backends = tests[0].get("backends", "")
    device = f'{backends} {tests[0].get("gpu_info") if args.peer_device == "vulkan" else tests[0].get("cpu_info")}'
    if args.peer_device == "vulkan" and ("vulkan" not in backends.lower() or not tests[0].get("gpu_info")):
        sys.exit(f"the peer was to run on Vulkan, but says: {device}")
    speed = {("pp" if test["n_prompt"] else "tg"): test["avg_ts"] for test in tests}
    per_token = {("cpu_pp" if t["n_prompt"] else "cpu_tg"): t.get("cpu_seconds_per_token") for t in tests}
    return {"device": device.strip(), **speed, "cpu": cpu, **per_token}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a GGUF file that both read")
    parser.add_argument("--aquatint", default="target/release/aquatint")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--llama-bench", help="the program of llama.cpp")
    which.add_argument("--peer", help="a command with llama-bench's options and JSON")
    parser.add_argument("--peer-device", choices=["cpu", "vulkan"], default="cpu")
    parser.add_argument("--vulkan-device", default="0", help="the number of the peer's Vulkan device")
    parser.add_argument("--adapter", help="aquatint's adapter")
    parser.add_argument("--activations", help="how ours stores the inputs of products; llama.cpp's CPU backend has q8_0")
    parser.add_argument("-p", "--n-prompt", type=int, default=128)
    parser.add_argument("-n", "--n-gen", type=int, default=32)
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    rounds = []
    for i in range(max(args.rounds, 1)):
        ours, theirs = aquatint(args), peer(args)
        if i == 0:
            print(f'A: aquatint on {ours["device"]}\nB: peer on {theirs["device"]}', file=sys.stderr)
        print(f'{i + 1}: pp {ours["pp"]:.2f} {theirs["pp"]:.2f}  tg {ours["tg"]:.2f} {theirs["tg"]:.2f} tokens/s', file=sys.stderr)
        rounds.append((ours, theirs))

    result = {"model": os.path.basename(args.model), "rounds": len(rounds), "threads": args.threads,
              "aquatint": rounds[0][0]["device"], "peer": rounds[0][1]["device"]}
    for name in ["pp", "tg", "cpu", "cpu_pp", "cpu_tg"]:
        pairs = [(a[name], b[name]) for a, b in rounds if a.get(name) and b.get(name)]
        if pairs:
            result[name] = {
                "aquatint": statistics.median(a for a, _ in pairs),
                "peer": statistics.median(b for _, b in pairs),
                # Of each round by itself: what slows the machine slows both halves of a round.
                "ratio": statistics.median(a / b for a, b in pairs),
                "ratios": [a / b for a, b in pairs],
            }
    if args.json:
        print(json.dumps(result, indent=2))
        return
    words = {"pp": f"prompt of {args.n_prompt}, tokens/s", "tg": f"answer of {args.n_gen}, tokens/s",
             "cpu": "CPU seconds in all", "cpu_pp": "CPU seconds per token of prompt",
             "cpu_tg": "CPU seconds per token of answer"}
    print(f'{"median of " + str(len(rounds)):<34} {"aquatint":>12} {"peer":>12} {"ratio":>8}  from  to')
    for name, text in words.items():
        if name in result:
            row = result[name]
            low, high = min(row["ratios"]), max(row["ratios"])
            print(f'{text:<34} {row["aquatint"]:>12.4g} {row["peer"]:>12.4g} {row["ratio"]:>7.2f}x  {low:.2f}  {high:.2f}')


if __name__ == "__main__":
    main()
