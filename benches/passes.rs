//! Whole passes of a small model that comes with the tests: a step of generation, and a prompt.
//!
//!     cargo bench --bench passes
//!
//! `aquatint bench MODEL` measures real models.

mod common;

use std::sync::Arc;

use aquatint::engine::{Engine, EngineOptions};
use aquatint::gpu::Sizes;
use aquatint::model::{Head, LoadOptions, Model};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn passes(c: &mut Criterion) {
    let gpu = common::open();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories260K.bin");
    let model = Model::load(&gpu, file, &LoadOptions::default(), &mut |_| {}).expect("a model");
    let mut engine = Engine::new(Arc::new(model), EngineOptions::default()).expect("an engine");
    let mut group = c.benchmark_group("stories260K");
    group.sample_size(10);
    for (name, n_tokens) in [("decode", 1u32), ("prefill", 64)] {
        let program = engine.program(n_tokens as usize, Head::Sample { greedy: true }).expect("a pass");
        let sizes = Sizes { n_tokens, n_outputs: 1, n_context: n_tokens };
        group.throughput(Throughput::Elements(u64::from(n_tokens)));
        group.bench_function(name, |b| b.iter_custom(|n| common::replays(&gpu, program, &sizes, n)));
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
