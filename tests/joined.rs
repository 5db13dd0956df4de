//! Kernels that follow one another in one dispatch, on software devices.

mod common;

use std::process::Command;
use std::sync::Arc;

use aquatint::engine::{Engine, EngineOptions, GenerateOptions};
use aquatint::model::{Head, Model};

/// An engine for 8 sequences whose threads wait so often.
fn engine(model: &Arc<Model>, polls: u32) -> Engine {
    let options = EngineOptions { context: 128, n_slots: 8, polls, ..EngineOptions::default() };
    Engine::new(model.clone(), options).expect("the engine fits")
}

/// All logits of passes over one token and over eight, and a long answer.
fn results(engine: &mut Engine) -> (Vec<u32>, Vec<u32>) {
    let mut logits = Vec::new();
    for n in [1, 8] {
        let ids: Vec<u32> = (1..=n).collect();
        let values = engine.logits(&ids, ids.len()).expect("logits");
        logits.extend(values.iter().flatten().map(|value| value.to_bits()));
    }
    let options = GenerateOptions { max_tokens: 100, ignore_end: true, ..Default::default() };
    (logits, engine.generate_ids(&[1, 5, 9], &options).expect("an answer"))
}

#[test]
fn joined_kernels_compute_what_they_do_apart() {
    let gpu = common::gpu();
    let model = common::model(&gpu, "models/llama_gqa");
    let mut apart = engine(&model, 0);
    let expected = results(&mut apart);
    let n_kernels = apart.launches(1).expect("a pass").len();
    assert_eq!(apart.dispatches(1).expect("a pass").len(), n_kernels);
    // Once patient, and several times so that threads leave each other's kernels at random places.
    for polls in [u32::MAX, 1, 1] {
        let mut joined = engine(&model, polls);
        if gpu.caps().shared_process() && gpu.caps().clusters() {
            for n_tokens in [1, 8] {
                let n = joined.dispatches(n_tokens).expect("a pass").len();
                assert!(n < n_kernels * 2 / 3, "{n} dispatches of {n_kernels} kernels for {n_tokens} tokens");
            }
        }
        assert!(results(&mut joined) == expected, "{polls} polls");
    }
}

/// Spans of a head's positions are units of their own where heads are fewer than threads; and their sums are
/// those of a pass over many tokens, whose heads stay whole.
#[test]
fn spans_of_attention_compute_what_whole_heads_do() {
    let gpu = common::gpu();
    let model = common::model(&gpu, "models/llama_mqa");
    let options = |polls| EngineOptions { context: 400, polls, ..EngineOptions::default() };
    let mut engine = Engine::new(model.clone(), options(u32::MAX)).expect("the engine fits");
    let labels: Vec<&str> = engine.launches(1).expect("a pass").iter().map(|l| l.kernel.name).collect();
    if gpu.caps().shared_process() && gpu.caps().clusters() && gpu.caps().threads > 1 {
        assert!(labels.contains(&"attention_split"), "{labels:?}");
    }
    // Their end lies behind one span, at first, and behind two.
    let prompt: Vec<u32> = (0..240).map(|i| 1 + i * 7 % 100).collect();
    let answer = GenerateOptions { max_tokens: 60, ignore_end: true, ..Default::default() };
    let ids = engine.generate_ids(&prompt, &answer).expect("an answer");
    let mut apart = Engine::new(model, options(0)).expect("the engine fits");
    assert_eq!(apart.generate_ids(&prompt, &answer).expect("an answer"), ids);
    let all = [&prompt[..], &ids].concat();
    let logits = apart.logits(&all, ids.len() + 1).expect("logits");
    let likeliest =
        |row: &Vec<f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a row");
    let by_many: Vec<u32> = logits.iter().map(|row| likeliest(row) as u32).collect();
    assert_eq!(by_many[..ids.len()], ids[..]);
}

/// One thread that does the work of all, and more or fewer threads than workgroups.
#[test]
fn joined_kernels_need_no_number_of_threads() {
    let this = std::env::current_exe().expect("the test's program");
    for threads in ["0", "3"] {
        let mut test = Command::new(&this);
        test.args(["--exact", "joined_kernels_compute_what_they_do_apart"]).env("LP_NUM_THREADS", threads);
        let output = test.output().expect("the test runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{threads} threads: {text}");
    }
}

#[test]
fn a_layer_is_one_dispatch() {
    let gpu = common::gpu();
    if !gpu.caps().shared_process() || !gpu.caps().clusters() {
        eprintln!("{} does not join kernels: nothing to count", gpu.adapter());
        return;
    }
    let model = common::model(&gpu, "models/llama_gqa");
    let n_layers = model.decoder.n_layers;
    let mut engine = engine(&model, u32::MAX);
    let program = engine.program(1, Head::Sample { greedy: true }).expect("a pass");
    // Embedding, the first norm, picking the output's row, its norm, its product, and two that choose.
    let n = program.dispatches().len();
    assert!(n <= n_layers + 7, "{n} dispatches of {n_layers} layers");
    assert_eq!(program.plan.steps.len(), n);
}

/// Or the kernels of answers that are written together would not be joined.
#[test]
fn answers_together_have_passes_of_few_tokens() {
    let gpu = common::gpu();
    let model = common::model(&gpu, "models/llama_gqa");
    for n_slots in 1..=8 {
        let options = EngineOptions { context: 64, n_slots, ..EngineOptions::default() };
        let engine = Engine::new(model.clone(), options).expect("the engine fits");
        let buckets = engine.buckets();
        let least = buckets.iter().find(|&&bucket| bucket >= n_slots);
        assert!(least.is_some_and(|&bucket| bucket < 2 * n_slots), "{n_slots} sequences: {buckets:?}");
    }
}

/// Each of the driver's threads that compute, as soon as it is known.
#[cfg(target_os = "linux")]
#[test]
fn threads_have_processors_of_their_own() {
    // In a process of its own: other tests' devices have threads, too.
    const ALONE: &str = "AQUATINT_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let this = std::env::current_exe().expect("the test's program");
        let mut test = Command::new(&this);
        test.args(["--exact", "threads_have_processors_of_their_own", "--nocapture"]).env(ALONE, "1");
        let output = test.output().expect("the test runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let gpu = common::gpu();
    let n = std::thread::available_parallelism().expect("a number of processors").get();
    if !gpu.caps().shared_process() || n != gpu.caps().threads as usize || n == 1 {
        eprintln!("{} with {n} processors: threads stay where they are", gpu.adapter());
        return;
    }
    // Of the driver's threads, the processors of those that have only one.
    let own = || -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("a list of threads").flatten();
        let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let driver = status.filter(|status| status.lines().any(|line| line == "Name:\taquatint-gpu"));
        let allowed = driver.filter_map(|status| {
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t").map(str::to_owned))
        });
        let mut own: Vec<String> = allowed.filter(|list| list.parse::<u32>().is_ok()).collect();
        own.sort();
        own
    };
    assert!(own().is_empty(), "before anything was computed: {:?}", own());
    let model = common::model(&gpu, "models/llama_gqa");
    // Long passes: of short ones, the thread that hands out work takes as much time as those that do it.
    let mut engine = engine(&model, u32::MAX);
    let ids: Vec<u32> = (1..=120).collect();
    let start = std::time::Instant::now();
    while own().is_empty() && start.elapsed().as_secs() < 120 {
        engine.logits(&ids, 1).expect("logits");
    }
    let mut processors = own();
    assert_eq!(processors.len(), n, "{processors:?}");
    processors.dedup();
    assert_eq!(processors.len(), n, "{processors:?}");
}
