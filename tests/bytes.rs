//! Activations in blocks of bytes, where a device multiplies those faster.

mod common;

use std::sync::Arc;

use aquatint::engine::{Engine, EngineOptions};
use aquatint::gpu::Gpu;
use aquatint::graph::{Dtype, Launch};
use aquatint::model::{LoadOptions, Model};
use aquatint::tensor::format;

fn quantised(gpu: &Gpu, name: &str) -> Arc<Model> {
    let options = LoadOptions {
        tokenizer_optional: true,
        quantise: Some(format::by_name("Q4_0").expect("a known format")),
        ..LoadOptions::default()
    };
    Arc::new(Model::load(gpu, common::data(name), &options, &mut |_| {}).expect("the model loads"))
}

fn engine(model: &Arc<Model>, activations: Dtype, polls: u32) -> Engine {
    let options = EngineOptions { context: 64, n_slots: 8, activations, polls, ..EngineOptions::default() };
    Engine::new(model.clone(), options).expect("the engine fits")
}

/// What plays a role in the launches of products, once per launch.
fn played(launches: &[Launch], role: &str) -> Vec<&'static str> {
    let products = launches.iter().filter(|launch| launch.kernel.name == "matvec");
    products
        .flat_map(|launch| launch.roles.iter().filter(|(name, _)| *name == role))
        .map(|(_, file)| *file)
        .collect()
}

#[test]
fn products_of_bytes_are_close_and_the_same_in_any_company() {
    let gpu = common::gpu();
    // With norms of both kinds, gated and plain networks, widths that are whole blocks and not.
    for name in ["models/gpt2", "models/llama_gqa"] {
        let model = quantised(&gpu, name);
        let ids: Vec<u32> = (1..=8).collect();
        let mut plain = engine(&model, Dtype::F16, u32::MAX);
        let mut bytes = engine(&model, Dtype::Q8Sums, u32::MAX);
        assert!(!played(plain.launches(1).expect("a pass"), "dots").contains(&"pairs"));
        let expected = plain.logits(&ids, 8).expect("logits");
        let found = bytes.logits(&ids, 8).expect("logits");
        let launches = bytes.launches(1).expect("a pass");
        if gpu.caps().byte_blocks() {
            let of = |file| played(launches, "dots").iter().filter(|played| **played == file).count();
            assert!(of("pairs") > 2 * model.decoder.n_layers, "{name}: {} products by pairs", of("pairs"));
            // The output matrix has 8 bits.
            let n = of("pairs") + of("bytes");
            assert_eq!(played(launches, "input").iter().filter(|file| **file == "q8").count(), n);
        } else {
            eprintln!("{} has no products of bytes: nothing but f16 to compare", gpu.adapter());
            assert_eq!(found, expected);
        }
        let all: Vec<f32> = expected.iter().flatten().copied().collect();
        let mean = all.iter().sum::<f32>() / all.len() as f32;
        let deviation = (all.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / all.len() as f32).sqrt();
        let error =
            all.iter().zip(found.iter().flatten()).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(error < 0.1 * deviation, "{name}: {error} of {deviation}");

        // Tokens by passes of 1 and of 8, in one dispatch or many.
        for n in [1, 5] {
            assert_eq!(bytes.logits(&ids[..n], n).expect("logits"), found[..n], "{name}: {n} tokens");
        }
        let mut apart = engine(&model, Dtype::Q8Sums, 0);
        assert_eq!(apart.logits(&ids, 8).expect("logits"), found, "{name}: kernels apart");
    }
}
