//! Matrix products of one layer of a small model, by format and number of tokens.
//!
//!     cargo bench --bench kernels
//!
//! `aquatint bench kernels` measures more of them, beside what the device reaches.

mod common;

use aquatint::graph::{Dtype, Graph, Inputs, Scratch};
use aquatint::kernels::{self, Epilogue, measure::ONE};
use aquatint::tensor::format;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn products(c: &mut Criterion) {
    let gpu = common::open();
    let (n_rows, n_columns) = (3072, 576);
    let mut group = c.benchmark_group("product 3072x576");
    group.sample_size(10);
    for name in ["F16", "Q8_0", "Q4_1"] {
        let format = format::by_name(name).expect("a known format");
        for n_tokens in [1, 16] {
            let mut g = Graph::new(gpu.caps());
            let mut inputs = Inputs::new(1);
            let x = inputs.tensor(&mut g, n_tokens, n_columns, Dtype::F16);
            let weight = inputs.weight(format, n_rows, n_columns, 1 << 20).expect("a weight");
            kernels::linear(&mut g, x, &weight, None, Epilogue::Store).expect("shapes that agree");
            let program = g.build(&gpu, &mut Scratch::default()).expect("kernels that compile");
            group.throughput(Throughput::Elements((n_rows * n_columns * n_tokens) as u64));
            group.bench_function(BenchmarkId::new(name, n_tokens), |b| {
                b.iter_custom(|n| common::replays(&gpu, &program, &ONE, n));
            });
        }
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
