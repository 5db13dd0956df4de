//! What the tests of models share.

use std::path::PathBuf;
use std::sync::Arc;

use aquatint::engine::{Engine, EngineOptions};
use aquatint::gpu::{Gpu, Options};
use aquatint::graph::Dtype;
use aquatint::model::{LoadOptions, Model};

/// A file in `tests/data`.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub fn gpu() -> Gpu {
    Gpu::open(&Options::default()).expect("tests need an adapter; a software driver will do")
}

#[allow(dead_code, reason = "not all tests load a model as it is")]
pub fn model(gpu: &Gpu, name: &str) -> Arc<Model> {
    let options = LoadOptions { tokenizer_optional: true, ..LoadOptions::default() };
    Arc::new(Model::load(gpu, data(name), &options, &mut |_| {}).expect("the model loads"))
}

/// An engine that stores everything as f32.
#[allow(dead_code, reason = "not all tests need exact numbers")]
pub fn exact(model: &Arc<Model>, context: usize, n_slots: usize) -> Engine {
    let options = EngineOptions {
        context,
        n_slots,
        kv: Dtype::F32,
        activations: Dtype::F32,
        ..EngineOptions::default()
    };
    Engine::new(model.clone(), options).expect("the engine fits")
}
