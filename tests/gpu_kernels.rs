//! Models by the kernels that are chosen on GPUs, run on whatever adapter there is: tiles for prompts,
//! norms inside products, attention by spans and by tiles, products of bytes and of small matrices.

mod common;

use aquatint::engine::{Engine, EngineOptions, GenerateOptions};
use aquatint::gpu::{Caps, Class, Gpu};

/// The device as if it were a GPU. `int8_dot`: as if it were fast at bytes.
fn as_gpu(int8_dot: bool) -> Gpu {
    let gpu = common::gpu();
    gpu.set_int8_dot(int8_dot);
    gpu.with_caps(Caps { class: Class::Gpu, int8_dot, images: false, ..gpu.caps().clone() })
}

/// 70 tokens: more than a tile of them, and no whole number of tiles.
fn tokens(n_vocab: usize) -> Vec<u32> {
    (0..70).map(|i| 3 + (i * 29) % (n_vocab as u32 - 3)).collect()
}

/// The largest difference of two sets of logits, as a share of their standard deviation.
fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let all: Vec<f64> = b.iter().flatten().map(|&v| f64::from(v)).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let deviation = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
    let pairs = a.iter().flatten().zip(&all);
    pairs.map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / deviation
}

#[test]
fn the_kernels_of_gpus_give_what_those_of_software_devices_give() {
    let (plain, gpu) = (common::gpu(), as_gpu(false));
    // Norms inside products and heads that share keys; layers in parallel; soft caps and windows.
    for name in ["llama_gqa", "falcon_mqa", "gemma2"] {
        let name = format!("models/{name}");
        let (model, twin) = (common::model(&plain, &name), common::model(&gpu, &name));
        // A long context, so that attention is split.
        let (mut engine, mut other) = (common::exact(&model, 512, 1), common::exact(&twin, 512, 1));
        let ids = tokens(model.decoder.n_vocab);
        let expected = engine.logits(&ids, ids.len()).expect("logits");
        let found = other.logits(&ids, ids.len()).expect("logits");
        let worst = difference(&found, &expected);
        assert!(worst < 1e-4, "{name}: {worst:.2e}");

        // Token by token.
        let options = GenerateOptions { max_tokens: 4, ignore_end: true, ..Default::default() };
        let expected = engine.generate_ids(&ids[..1], &options).expect("an answer");
        assert_eq!(other.generate_ids(&ids[..1], &options).expect("an answer"), expected, "{name}");
    }
}

#[test]
fn a_decode_step_has_few_dispatches_and_waits_for_what_it_needs() {
    let model = common::model(&as_gpu(false), "models/llama_gqa");
    let n_layers = model.decoder.n_layers;
    let mut engine = common::exact(&model, 512, 1);
    let program = engine.program(1, aquatint::model::Head::Sample { greedy: true }).expect("a program");
    let (n, waits) = (program.launches().len(), program.waits());
    eprintln!("{n} dispatches of {n_layers} layers, {waits:?}");
    // Embedding, picking the output's row, its norm, its product, and two that choose the token.
    assert!(n <= 7 * n_layers + 6, "{n} dispatches");
    // Scratch memory adds no waits: what shares a buffer follows each other anyway.
    assert_eq!(waits.by_buffers, waits.by_tensors);
}

#[test]
fn products_of_bytes_differ_from_those_of_floats_by_their_rounding() {
    let plain = common::gpu();
    let quantise = aquatint::model::LoadOptions {
        quantise: aquatint::tensor::format::by_name("Q8_0").ok(),
        tokenizer_optional: true,
    };
    let logits = |gpu: &Gpu| {
        let path = common::data("models/llama_gqa");
        let model = aquatint::model::Model::load(gpu, path, &quantise, &mut |_| {}).expect("the model loads");
        let ids = tokens(model.decoder.n_vocab);
        let options = EngineOptions { context: 128, ..EngineOptions::default() };
        let mut engine = Engine::new(std::sync::Arc::new(model), options).expect("the engine fits");
        engine.logits(&ids, ids.len()).expect("logits")
    };
    let expected = logits(&plain);
    let of_floats = difference(&logits(&as_gpu(false)), &expected);
    assert!(of_floats < 2e-2, "{of_floats:.2e}");
    let of_bytes = difference(&logits(&as_gpu(true)), &expected);
    // A byte has 7 digits where f16 has 11.
    assert!((of_floats..0.2).contains(&of_bytes), "{of_bytes:.2e} after {of_floats:.2e}");
}
