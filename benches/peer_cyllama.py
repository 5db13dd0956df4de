#!/usr/bin/env python3
"""llama-bench's options and JSON on the llama.cpp in the Python package cyllama (or cyllama-vulkan 0.2.18).

    pip install --target /tmp/cyllama cyllama-vulkan==0.2.18
    PYTHONPATH=/tmp/cyllama benches/peer.py MODEL.gguf --peer "python3 benches/peer_cyllama.py"
"""

import argparse
import json
import os
import random
import sys
import time

from cyllama.llama import llama_cpp as cy


def measure(context, vocabulary, n_prompt, n_gen):
    """Tokens per second, and CPU seconds per token: of a prompt, or of an answer after one token."""
    context.kv_cache_clear()
    draw = lambda n: [random.randrange(vocabulary) for _ in range(n)]
    batch = cy.LlamaBatch(n_tokens=max(n_prompt, 1), embd=0, n_seq_max=1)
    if not n_prompt:
        batch.set_batch(draw(1), 0, True)
        context.decode(batch)
        context.synchronize()
    start, cpu = time.perf_counter(), time.process_time()
    if n_prompt:
        batch.set_batch(draw(n_prompt), 0, False)
        batch.set_last_logits_to_true()
        context.decode(batch)
    for i in range(n_gen):
        batch.set_batch(draw(1), 1 + i, True)
        context.decode(batch)
        # As llama-bench does: each token waits for the one before.
        context.synchronize()
    context.synchronize()
    n = n_prompt or n_gen
    return n / (time.perf_counter() - start), (time.process_time() - cpu) / n


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", required=True)
    parser.add_argument("-p", type=int, default=128)
    parser.add_argument("-n", type=int, default=32)
    parser.add_argument("-r", type=int, default=1)
    parser.add_argument("-t", type=int, default=os.cpu_count())
    parser.add_argument("-ngl", type=int, default=0)
    parser.add_argument("-o", default="json")
    args = parser.parse_args()

    cy.llama_backend_init()
    cy.ggml_backend_load_all()
    devices = cy.ggml_backend_dev_info()
    model_params = cy.LlamaModelParams()
    model_params.n_gpu_layers = args.ngl
    model = cy.LlamaModel(path_model=args.m, params=model_params)
    params = cy.LlamaContextParams()
    params.n_ctx = args.p + args.n + 8
    params.n_batch = max(args.p, 32)
    params.n_threads = args.t
    params.n_threads_batch = args.t
    context = cy.LlamaContext(model=model, params=params)
    vocabulary = model.get_vocab().n_vocab if hasattr(model, "get_vocab") else model.n_vocab
    gpus = [d for d in devices if "GPU" in str(d.get("type", "")).upper() or "vulkan" in str(d.get("name", "")).lower()]
    used = gpus if args.ngl else []
    tests = []
    for n_prompt, n_gen in [(args.p, 0), (0, args.n)]:
        if n_prompt + n_gen == 0:
            continue
        # Once without measuring, as llama-bench does.
        measure(context, vocabulary, n_prompt, n_gen)
        samples = [measure(context, vocabulary, n_prompt, n_gen) for _ in range(args.r)]
        tests.append({
            "n_prompt": n_prompt,
            "n_gen": n_gen,
            "n_threads": args.t,
            "backends": "Vulkan" if used else "CPU",
            "gpu_info": ", ".join(str(d.get("description") or d.get("name")) for d in used),
            "cpu_info": ", ".join(str(d.get("description") or d.get("name")) for d in devices if d not in gpus),
            "avg_ts": sum(s for s, _ in samples) / len(samples),
            "samples_ts": [s for s, _ in samples],
            "cpu_seconds_per_token": sum(c for _, c in samples) / len(samples),
        })
    json.dump(tests, sys.stdout)


if __name__ == "__main__":
    main()
