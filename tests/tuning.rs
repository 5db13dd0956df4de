//! The choice of kernels by measuring, and loading that compiles meanwhile.

use std::path::Path;
use std::sync::Arc;

use aquatint::engine::{Engine, EngineOptions, GenerateOptions};
use aquatint::gpu::{Choice, Gpu, Options, Tuning};
use aquatint::graph::{ConfigValue, Dtype, Graph, Inputs, PackedWeight, SUBGROUPS};
use aquatint::kernels::{self, Activation, Epilogue, Product, ProductKind};
use aquatint::model::{LoadOptions, Model};
use aquatint::tensor::format;
use aquatint::weights::Weights;

fn gpu() -> Gpu {
    Gpu::open(&Options::default()).expect("an adapter")
}

fn weight(format: &str, n_rows: usize, n_columns: usize) -> PackedWeight {
    let format = format::by_name(format).expect("a known format");
    Inputs::new(2).weight(format, n_rows, n_columns, 1 << 20).expect("a weight")
}

/// The numbers of the launch that a product of 4 tokens gets.
fn launch_of(
    gpu: &Gpu,
    tuning: Tuning,
    weight: &PackedWeight,
) -> (Vec<(&'static str, ConfigValue)>, Vec<&'static str>) {
    let mut g = Graph::new(gpu.caps());
    g.set_tuning(Arc::new(tuning));
    let x = Inputs::new(1).tensor(&mut g, 4, weight.n_columns, Dtype::F16);
    kernels::linear(&mut g, x, weight, None, Epilogue::Store).expect("shapes that agree");
    let launch = &g.launches()[0];
    (launch.config.clone(), launch.roles.iter().map(|(_, choice)| *choice).collect())
}

#[test]
fn every_candidate_is_right_and_sums_in_the_same_order() {
    let gpu = gpu();
    for (kind, n_tokens) in [
        (ProductKind::Store, 1),
        (ProductKind::Store, 5),
        (ProductKind::Residual, 2),
        (ProductKind::Gated(Activation::Silu), 4),
        (ProductKind::Activate(Activation::Gelu), 4),
    ] {
        let product = Product { kind, weights: vec![weight("Q8_0", 72, 192)], is_head: false };
        let tuned = kernels::tune(&gpu, &product, n_tokens, Dtype::F16).expect("a device that works");
        let tuned = tuned.expect("there are several shapes");
        assert_eq!(tuned.refused, [], "{}", tuned.key);
        assert!(tuned.choice.seconds > 0.0 && tuned.choice.table_seconds > 0.0);
    }
}

#[test]
fn graphs_take_what_was_chosen_and_nothing_that_failed() {
    let gpu = gpu();
    let weight = weight("Q8_0", 72, 192);
    let product = Product { kind: ProductKind::Store, weights: vec![weight.clone()], is_head: false };
    let tuned = kernels::tune(&gpu, &product, 4, Dtype::F16).expect("a device that works").expect("shapes");
    let (table, _) = launch_of(&gpu, Tuning::default(), &weight);

    // Without the table's shape, another; and the tuner does not measure it again.
    let mut failed = Tuning::default();
    failed.failed.insert(tuned.table_variant.clone(), "wrong".into());
    let (second, _) = launch_of(&gpu, failed.clone(), &weight);
    assert_ne!(second, table);
    gpu.set_tuning(failed.clone());
    let again = kernels::tune(&gpu, &product, 4, Dtype::F16).expect("a device that works").expect("shapes");
    assert_eq!(again.refused, [(tuned.table_variant.clone(), "failed before".into())]);
    assert_ne!(again.table_variant, tuned.table_variant);

    // What was chosen, unless it failed or is nothing this program knows.
    let choice = |variant: &str| Choice { variant: variant.into(), seconds: 1.0, table_seconds: 2.0 };
    let mut chosen = Tuning::default();
    chosen.choices.insert(tuned.key.clone(), choice(&again.table_variant));
    assert_eq!(launch_of(&gpu, chosen.clone(), &weight).0, second);
    chosen.failed.insert(again.table_variant.clone(), "wrong".into());
    assert_eq!(launch_of(&gpu, chosen, &weight).0, table);
    let mut foreign = Tuning::default();
    foreign.choices.insert(tuned.key, choice("matvec Q8_0 9 groups x 9 tokens x 9 clusters shuffle"));
    assert_eq!(launch_of(&gpu, foreign, &weight).0, table);
}

#[test]
fn without_subgroups_kernels_exchange_through_workgroup_memory() {
    let gpu = gpu();
    let weight = weight("Q8_0", 72, 192);
    let mut tuning = Tuning::default();
    tuning.failed.insert(SUBGROUPS.into(), "wrong in matvec".into());
    let (_, roles) = launch_of(&gpu, tuning, &weight);
    assert!(roles.contains(&"shared") && !roles.contains(&"shuffle"), "{roles:?}");
}

#[test]
fn kernels_are_compiled_while_a_model_loads() {
    let gpu = gpu();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories260K.bin");
    let options = EngineOptions { context: 64, ..EngineOptions::default() };
    let load = LoadOptions::default();
    let generate = |engine: &mut Engine| {
        let options = GenerateOptions { max_tokens: 12, ..GenerateOptions::default() };
        engine.generate_ids(&[1, 403, 407, 261], &options).expect("tokens")
    };
    let weights = Weights::open(&file).expect("a model");
    let mut engine = Engine::load(&gpu, &weights, &load, options.clone(), &mut |_| {}).expect("an engine");
    let (n_compiled, _) = gpu.compile_stats();
    assert!(n_compiled > 5, "{n_compiled} pipelines");
    let ids = generate(&mut engine);
    assert_eq!(gpu.compile_stats().0, n_compiled, "nothing was left to compile");

    let model = Model::load(&gpu, &file, &load, &mut |_| {}).expect("a model");
    let mut plain = Engine::new(Arc::new(model), options).expect("an engine");
    assert_eq!(generate(&mut plain), ids);
}

#[test]
fn timestamps_and_the_clock_agree_where_there_are_timestamps() {
    let gpu = gpu();
    if !gpu.caps().timestamps {
        // The other way to measure is the only one; it must work.
        assert!(kernels::measure::empty_dispatch(&gpu, 0.01).expect("a device that works") > 0.0);
        return;
    }
    let mut g = Graph::new(gpu.caps());
    kernels::peak_fma(&mut g, 64, 2048).expect("a launch");
    let program = g.build(&gpu, &mut Default::default()).expect("a kernel that compiles");
    let sizes = kernels::measure::ONE;
    let stamped = gpu.seconds_by_timestamps(&program.plan, &sizes, 3).expect("timestamps");
    let start = std::time::Instant::now();
    gpu.run(&program.plan, &sizes).expect("a device that works");
    gpu.wait().expect("a device that works");
    let clocked = start.elapsed().as_secs_f64();
    assert!(stamped > 0.0 && stamped < 20.0 * clocked, "{stamped} s by timestamps, {clocked} s by the clock");
}
