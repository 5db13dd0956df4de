//! Watermarks, stop phrases, what attention weighs, likelihoods by masks, nearest rows.

mod common;

use std::sync::Arc;

use aquatint::engine::{
    AttentionMap, AttentionPart, Encoder, EncoderInput, Engine, EngineOptions, Finish, GenerateOptions,
    detect,
};
use aquatint::gpu::Sizes;
use aquatint::graph::{Binding, Dtype, Graph, Inputs, Scratch, Tensor};
use aquatint::kernels::{self as k, Batch, Bias, Kv, PAGE, Pattern, SlotSampling, Watermark};
use aquatint::model::Model;
use aquatint::tensor::format;
use aquatint::vectors::Nearest;

const STORIES: &str = "stories260K.bin";

#[test]
fn a_watermark_is_found_with_its_key_and_not_without() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 256, 1);
    let mark = Watermark::new("a secret", 0.25, 2.0);
    let plain = SlotSampling { temperature: 1.0, ..SlotSampling::default() };
    let (mut cost, mut n) = (0.0, 0);
    for seed in 1..=4 {
        let mut text = |sampling: SlotSampling| {
            let sampling = SlotSampling { seed, ..sampling };
            let options =
                GenerateOptions { max_tokens: 200, sampling, ignore_end: true, ..GenerateOptions::default() };
            let ids = engine.generate_ids(&[1], &options).expect("it generates");
            let all: Vec<u32> = [1].into_iter().chain(ids.iter().copied()).collect();
            let nll: f64 = engine.nll(&all).expect("it scores").iter().map(|&v| f64::from(v)).sum();
            (ids, nll)
        };
        let ((marked, marked_nll), (unmarked, nll)) = (text(plain.marked(&mark)), text(plain));
        let (found, none) = (detect(&marked, &mark), detect(&unmarked, &mark));
        assert!(found.z > 4.0 && found.p < 1e-4, "seed {seed}: {found:?}");
        assert!(none.z < 2.5, "seed {seed}: {none:?}");
        let other = detect(&marked, &Watermark::new("another", 0.25, 2.0));
        assert!(other.z < 2.5, "seed {seed}: {other:?}");
        cost += marked_nll - nll;
        n += marked.len();
    }
    // The mark costs something, and not much: a factor of e at most.
    assert!(cost / n as f64 > 0.0 && cost / (n as f64) < 1.0, "{cost} nats over {n} tokens");
}

#[test]
fn a_mark_is_a_matter_of_each_slot() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mark = Watermark::new("a secret", 0.5, 4.0);
    let options = |sampling| GenerateOptions { max_tokens: 30, sampling, ..GenerateOptions::default() };
    // The likeliest tokens, too, with the mark on top.
    let greedy = SlotSampling::default();
    let mut engine = common::exact(&model, 128, 1);
    let alone: Vec<Vec<u32>> = [greedy, greedy.marked(&mark)]
        .map(|sampling| engine.generate_ids(&[1], &options(sampling)).expect("it generates"))
        .to_vec();
    assert_ne!(alone[0], alone[1]);
    let mut engine = common::exact(&model, 128, 2);
    let request = |sampling| aquatint::engine::Request {
        prompt: vec![1],
        max_tokens: 30,
        sampling,
        end_ids: model.tokenizer().expect("stories have one").end_ids().to_vec(),
    };
    let ids = [greedy, greedy.marked(&mark)].map(|s| engine.submit(request(s)).expect("valid"));
    let mut together = vec![Vec::new(); 2];
    while engine.busy() {
        for event in engine.step(std::time::Duration::MAX).expect("the device works") {
            if let aquatint::engine::Event::Token { sequence, id } = event {
                together[ids.iter().position(|own| *own == sequence).expect("ours")].push(id);
            }
        }
    }
    assert_eq!(together, alone);
}

#[test]
fn phrases_end_a_text_in_any_case_and_across_tokens() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 128, 1);
    let options = GenerateOptions { max_tokens: 60, ..GenerateOptions::default() };
    let mut run = |phrases: &[&str]| {
        let phrases: Vec<String> = phrases.iter().map(|p| (*p).to_owned()).collect();
        let mut generation = engine.generate(&[1], &options).expect("it starts").stop_on(&phrases);
        let text: String = generation.by_ref().map(|piece| piece.expect("the device works").text).collect();
        (text, generation.finish(), generation.stopped_by().map(str::to_owned))
    };
    let (all, finish, by) = run(&["never said"]);
    assert_eq!((finish, by), (Some(Finish::Length), None));
    let (text, finish, by) = run(&["never said", "NAMED LI"]);
    assert_eq!((finish, by.as_deref()), (Some(Finish::Stop), Some("NAMED LI")));
    assert!(all.starts_with(&text) && text.ends_with("girl "), "{text:?} of {all:?}");
}

/// Rows add up to 1, nothing comes from where a token does not see, and something from where it does.
fn check_rows(map: &AttentionMap, sees: impl Fn(usize, usize) -> bool) {
    assert_eq!(map.weights.len(), map.n_heads * map.n_tokens * map.n_positions);
    for (i, row) in map.weights.chunks(map.n_positions).enumerate() {
        let query = i % map.n_tokens;
        let sum: f64 = row.iter().map(|&w| f64::from(w)).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{:?} layer {}: row {i} adds up to {sum}", map.part, map.layer);
        for (key, &w) in row.iter().enumerate() {
            assert!(w >= 0.0 && (sees(query, key) || w == 0.0), "{:?} {query} {key}: {w}", map.part);
        }
    }
}

fn engine(model: &Arc<Model>, context: usize, chunk: usize) -> Engine {
    let options =
        EngineOptions { context, chunk, kv: Dtype::F32, activations: Dtype::F32, ..EngineOptions::default() };
    Engine::new(model.clone(), options).expect("the engine fits")
}

#[test]
fn every_family_shows_its_attention() {
    let gpu = common::gpu();
    let ids: Vec<u32> = (0..40).map(|i| 5 + (i * 7) % 90).collect();
    for (name, window) in
        [("llama_gqa", None), ("mistral_window", Some(13)), ("gemma2", None), ("bloom_alibi", None)]
    {
        let model = common::model(&gpu, &format!("models/{name}"));
        let maps = engine(&model, 64, 64).attention(None, &ids).expect("maps");
        assert_eq!(maps.len(), model.decoder.n_layers, "{name}");
        for map in &maps {
            assert_eq!((map.part, map.n_tokens, map.n_positions), (AttentionPart::Decoder, 40, 40));
            let window = model.decoder.windows[map.layer].map_or(usize::MAX, |w| w as usize);
            check_rows(map, |query, key| key <= query && query - key < window);
        }
        if let Some(window) = window {
            assert!(model.decoder.windows.contains(&Some(window)), "{:?}", model.decoder.windows);
        }
        // In pieces, the same.
        let pieces = engine(&model, 64, 16).attention(None, &ids).expect("maps");
        for (a, b) in maps.iter().zip(&pieces) {
            let close = a.weights.iter().zip(&b.weights).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(close, "{name} layer {}", a.layer);
        }
    }
    let model = common::model(&gpu, "encoders/bert_mlm");
    let mut encoder = Encoder::new(model.clone(), true).expect("an encoder");
    let maps =
        encoder.attention(&EncoderInput { ids: ids[..20].to_vec(), ..Default::default() }).expect("maps");
    assert_eq!(maps.len(), model.decoder.n_layers);
    maps.iter().for_each(|map| check_rows(map, |_, _| true));
    assert!(maps[0].weights.iter().all(|&w| w > 0.0), "an encoder sees both ways");
    for name in ["t5", "bart"] {
        let model = common::model(&gpu, &format!("encoder_decoders/{name}"));
        let maps = engine(&model, 64, 64).attention(Some(&ids[..12]), &ids[..7]).expect("maps");
        let n = |part| maps.iter().filter(|map| map.part == part).count();
        let n_encoder = model.encoder.as_ref().expect("an encoder").0.n_layers;
        assert_eq!(n(AttentionPart::Encoder), n_encoder, "{name}");
        assert_eq!(
            (n(AttentionPart::Decoder), n(AttentionPart::Cross)),
            (model.decoder.n_layers, model.decoder.n_layers)
        );
        for map in &maps {
            match map.part {
                AttentionPart::Encoder => check_rows(map, |_, _| true),
                AttentionPart::Decoder => check_rows(map, |query, key| key <= query),
                AttentionPart::Cross => {
                    assert_eq!((map.n_tokens, map.n_positions), (7, 12));
                    check_rows(map, |_, _| true);
                }
            }
        }
    }
}

#[test]
fn weights_times_values_are_what_attention_gives() {
    let gpu = common::gpu();
    let (n_tokens, n_heads, n_kv_heads, head_dim) = (5, 6, 3, 32);
    for (window, soft_cap, bias) in [(None, None, 0), (Some(20), Some(15.0), 1), (None, None, 2)] {
        let mut inputs = Inputs::new(7);
        let mut g = Graph::new(gpu.caps());
        let q = inputs.tensor(&mut g, n_tokens, n_heads * head_dim, Dtype::F32);
        let positions = vec![0u32, 9, 31, 32, 60];
        let mut words = |g: &mut Graph, words: Vec<u32>| inputs.words(g, words);
        let batch = Batch {
            rows: n_tokens.into(),
            ids: words(&mut g, vec![0; n_tokens]),
            positions: words(&mut g, positions.clone()),
            slots: words(&mut g, vec![0; n_tokens]),
            pages: words(&mut g, vec![2, 0]),
            last_token: words(&mut g, vec![0]),
            limits: words(&mut g, positions.clone()),
            outputs: words(&mut g, vec![0]),
            max_pages: 2,
        };
        let n_rows = 3 * n_kv_heads * PAGE;
        let key_values = inputs.normals(n_rows * head_dim);
        let values = inputs.normals(n_rows * head_dim);
        let pool = |g: &mut Graph, values: &[f32]| -> Tensor {
            let words = values.iter().map(|v| v.to_bits()).collect();
            g.external("pool", n_rows, head_dim, Dtype::F32, Binding::Host(Arc::new(words)))
        };
        let (k, v) = (pool(&mut g, &key_values), pool(&mut g, &values));
        let kv = Kv { k, v, dtype: Dtype::F32, n_kv_heads, head_dim };
        let bias = match bias {
            0 => Bias::None,
            1 => Bias::Alibi,
            _ => Bias::Relative { table: inputs.tensor(&mut g, 1, n_heads * 17, Dtype::F32), reach: 8 },
        };
        let p = k::Attention {
            n_heads,
            n_kv_heads,
            head_dim,
            window,
            after: 0,
            soft_cap,
            bias,
            pattern: Pattern::Dense,
            max_context: 64,
        };
        g.watch(64);
        let fused = k::attention(&mut g, q, &batch, &kv, &p, Dtype::F32).expect("recorded");
        g.keep(fused);
        let weights = g.weights()[0];
        let program = g.build(&gpu, &mut Scratch::default()).expect("it builds");
        gpu.run(&program.plan, &Sizes { n_tokens: n_tokens as u32, ..Sizes::default() }).expect("it runs");
        let fused = program.read(&gpu, fused).expect("read");
        let weights = program.read(&gpu, weights).expect("read");
        for t in 0..n_tokens {
            for head in 0..n_heads {
                let row = &weights[(t * n_heads + head) * 64..][..64];
                for c in 0..head_dim {
                    let value = |at: usize| {
                        let page = [2, 0][at / PAGE];
                        let row = (page * n_kv_heads + head / 2) * PAGE + at % PAGE;
                        f64::from(values[row * head_dim + c])
                    };
                    let sum: f64 = (0..64).map(|at| row[at] * value(at)).sum();
                    let found = fused[(t * n_heads + head) * head_dim + c];
                    assert!((sum - found).abs() < 2e-5, "token {t} head {head}: {sum} and {found}");
                }
            }
        }
    }
}

#[test]
fn a_masked_likelihood_is_that_of_the_masked_token() {
    let gpu = common::gpu();
    let model = common::model(&gpu, "encoders/bert_mlm");
    let mut encoder = Encoder::new(model, true).expect("an encoder");
    let ids = [2u32, 20, 31, 47, 90, 3];
    let found = encoder.masked_log_likelihoods(&ids, &[1, 4], 4).expect("likelihoods");
    for (place, found) in [1, 4].into_iter().zip(found) {
        let mut masked = ids.to_vec();
        masked[place] = 4;
        let input = EncoderInput { ids: masked, wanted: vec![place], ..EncoderInput::default() };
        let row = encoder.encode(&[input]).expect("encoded").remove(0).logits.remove(0);
        let total: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        let expected = f64::from(row[ids[place] as usize]) - total.ln();
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn the_nearest_rows_are_those_of_a_plain_search() {
    let gpu = common::gpu();
    // More rows than one part of the table, a width that is no multiple of 4, rows of zeros, equal rows.
    let (n, width) = (20_000, 10);
    let mut values = Inputs::new(3).normals(n * width);
    values[70..80].fill(0.0);
    let copy = values[500..510].to_vec();
    values[199_000..199_010].copy_from_slice(&copy);
    let table = Nearest::of_values(&gpu, &values, width).expect("a table");
    let query = &values[500..510];
    let found = table.nearest(query, 25).expect("nearest");
    let length = |v: &[f32]| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let cosine = |row: usize| {
        let row = &values[row * width..(row + 1) * width];
        let dot: f64 = row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        dot / (length(row) * length(query)).max(1e-30)
    };
    let mut expected: Vec<usize> = (0..n).collect();
    expected.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)).then(a.cmp(&b)));
    assert_eq!((found[0].0, found[1].0), (50, 19_900));
    for ((row, value), expected) in found.iter().zip(expected) {
        assert!((f64::from(*value) - cosine(*row)).abs() < 1e-5);
        assert!((cosine(*row) - cosine(expected)).abs() < 1e-6, "{row} {expected}");
    }
    assert_eq!(table.rows(&[50]).expect("rows")[0][..width], *query);
    assert!(table.nearest(&[0.0; 10], 3).is_err() && table.rows(&[20_000]).is_err());
    // A table of any stored format, as models have.
    let weight =
        Inputs::new(5).weight(format::by_name("Q8_0").expect("known"), 64, 64, 32).expect("a weight");
    let table = Nearest::new(&gpu, weight).expect("a table");
    let row = table.rows(&[40]).expect("rows").remove(0);
    assert_eq!(table.nearest(&row, 1).expect("nearest")[0].0, 40);
}
