//! The engine: sequences together, paging, sharing, stopping, cancelling, repeating.

mod common;

use std::time::{Duration, Instant};

use aquatint::engine::{Engine, EngineOptions, Event, Finish, GenerateOptions, Request};
use aquatint::kernels::SlotSampling;

const STORIES: &str = "stories260K.bin";

fn prompts() -> Vec<Vec<u32>> {
    // Of different lengths, some with a common beginning longer than a page.
    let long: Vec<u32> = (0..40).map(|i| 300 + i % 90).collect();
    (0..8u32)
        .map(|i| match i % 4 {
            0 => vec![1, 403 + i],
            1 => long.iter().copied().chain([310 + i, 320]).collect(),
            2 => (0..7 + i).map(|j| 261 + (j * 37 + i) % 200).collect(),
            _ => long[..33 + i as usize % 5].to_vec(),
        })
        .collect()
}

fn samplings() -> Vec<SlotSampling> {
    (0..8)
        .map(|i| match i % 2 {
            0 => SlotSampling::default(),
            _ => SlotSampling {
                temperature: 0.9,
                top_k: 30,
                top_p: 0.95,
                repetition_penalty: 1.1,
                seed: i,
                ..SlotSampling::default()
            },
        })
        .collect()
}

/// Runs requests together; the tokens of each.
fn together(engine: &mut Engine, requests: Vec<Request>) -> Vec<Vec<u32>> {
    let ids: Vec<_> = requests.into_iter().map(|request| engine.submit(request).expect("valid")).collect();
    let mut tokens = vec![Vec::new(); ids.len()];
    while engine.busy() {
        for event in engine.step(Duration::MAX).expect("the device works") {
            if let Event::Token { sequence, id } = event {
                let at = ids.iter().position(|own| *own == sequence).expect("one of ours");
                tokens[at].push(id);
            }
        }
    }
    tokens
}

fn request(prompt: &[u32], max_tokens: usize, sampling: SlotSampling) -> Request {
    Request { prompt: prompt.to_vec(), max_tokens, sampling, end_ids: Vec::new() }
}

#[test]
fn sequences_together_give_what_each_gives_alone() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let requests = || -> Vec<Request> {
        prompts().iter().zip(samplings()).map(|(prompt, sampling)| request(prompt, 40, sampling)).collect()
    };
    let mut alone = Vec::new();
    for request in requests() {
        let mut engine = common::exact(&model, 128, 1);
        alone.extend(together(&mut engine, vec![request]));
    }
    // With one, two, five and eight places; fewer places than sequences make some wait.
    for n_slots in [2, 5, 8] {
        let mut engine = common::exact(&model, 128, n_slots);
        assert_eq!(together(&mut engine, requests()), alone, "{n_slots} together");
        // Once more, with the prompts' pages shared from before.
        assert_eq!(together(&mut engine, requests()), alone, "{n_slots} together, again");
    }
}

#[test]
fn a_long_generation_equals_full_passes() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 640, 1);
    let ids = together(&mut engine, vec![request(&[1], 600, SlotSampling::default())]).remove(0);
    assert_eq!(ids.len(), 600);
    let all: Vec<u32> = [1].into_iter().chain(ids.iter().copied()).collect();
    let rows = engine.logits(&all[..600], 600).expect("logits");
    for (t, (row, id)) in rows.iter().zip(&ids).enumerate() {
        let best = (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        // A tie within rounding may fall either way.
        assert!(row[best] - row[*id as usize] < 1e-4, "position {t}: {best} against {id}");
    }
}

#[test]
fn the_same_seed_draws_the_same_and_another_does_not() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 96, 1);
    let mut draw = |seed| {
        let sampling = SlotSampling { temperature: 1.0, seed, ..SlotSampling::default() };
        together(&mut engine, vec![request(&[1], 30, sampling)]).remove(0)
    };
    let first = draw(1);
    assert_eq!(first, draw(1));
    assert_ne!(first, draw(2));
}

#[test]
fn a_stop_text_ends_a_generation_across_tokens() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 128, 1);
    let options =
        |stop: &str| GenerateOptions { max_tokens: 60, stop: vec![stop.into()], ..Default::default() };
    let run = |engine: &mut Engine, options: &GenerateOptions| {
        let mut generation = engine.generate(&[1], options).expect("it starts");
        let text: String = generation.by_ref().map(|piece| piece.expect("the device works").text).collect();
        (text, generation.finish())
    };
    let (all, finish) = run(&mut engine, &options("never said"));
    assert_eq!(finish, Some(Finish::Length));
    let (text, finish) = run(&mut engine, &options("named Li"));
    assert_eq!(finish, Some(Finish::Stop));
    assert!(all.starts_with(&text) && !text.contains("named Li") && text.ends_with("girl "), "{text:?}");
    assert!(!engine.busy() || engine.step(Duration::MAX).is_ok());
}

#[test]
fn dropping_a_generation_cancels_it() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 128, 1);
    let options = GenerateOptions { max_tokens: 100, ..Default::default() };
    let mut generation = engine.generate(&[1], &options).expect("it starts");
    generation.next().expect("a piece").expect("the device works");
    drop(generation);
    let expected =
        together(&mut common::exact(&model, 128, 1), vec![request(&[1, 400], 20, SlotSampling::default())]);
    assert_eq!(together(&mut engine, vec![request(&[1, 400], 20, SlotSampling::default())]), expected);
}

#[test]
fn the_stream_gives_what_the_iterator_gives() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 128, 1);
    let options = GenerateOptions { max_tokens: 25, ..Default::default() };
    let pieces: Vec<_> =
        engine.generate(&[1], &options).expect("it starts").map(|piece| piece.expect("works")).collect();
    let stream = engine.generate(&[1], &options).expect("it starts");
    let streamed: Vec<_> = pollster::block_on(futures::StreamExt::collect::<Vec<_>>(stream));
    assert_eq!(streamed.into_iter().map(|piece| piece.expect("works")).collect::<Vec<_>>(), pieces);
}

#[test]
fn a_full_context_ends_a_generation() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 32, 1);
    let mut generation =
        engine.generate(&[1], &GenerateOptions { max_tokens: 100, ..Default::default() }).expect("it starts");
    for piece in generation.by_ref() {
        piece.expect("the device works");
    }
    assert_eq!(generation.finish(), Some(Finish::Context));
    assert_eq!(generation.ids().len(), 32);
}

#[test]
fn a_request_that_cannot_run_is_an_error() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 32, 1);
    let mut refuse = |prompt: Vec<u32>, expected: &str| {
        let error = engine.submit(Request { prompt, max_tokens: 1, ..Request::default() });
        let message = error.expect_err("it cannot run").to_string();
        assert!(message.contains(expected), "{message}");
    };
    refuse(vec![], "empty");
    refuse(vec![1, 512], "token 512");
    refuse(vec![1; 33], "33 tokens");
}

#[test]
fn temperature_zero_is_greedy_beside_others_too() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let greedy =
        together(&mut common::exact(&model, 96, 1), vec![request(&[1], 40, SlotSampling::default())])
            .remove(0);
    // Each leaves one candidate, on the way that draws.
    let cold = SlotSampling { temperature: 0.0, top_k: 5, top_p: 0.5, seed: 3, ..SlotSampling::default() };
    let one = SlotSampling { temperature: 2.0, top_k: 1, seed: 4, ..SlotSampling::default() };
    let narrow = SlotSampling { temperature: 2.0, top_p: 1e-6, seed: 5, ..SlotSampling::default() };
    let warm = SlotSampling { temperature: 1.5, seed: 6, ..SlotSampling::default() };
    let mut engine = common::exact(&model, 96, 4);
    let requests = [cold, one, narrow, warm].map(|sampling| request(&[1], 40, sampling)).to_vec();
    let found = together(&mut engine, requests);
    assert_eq!(found[0], greedy, "temperature 0");
    assert_eq!(found[1], greedy, "top-k 1");
    assert_eq!(found[2], greedy, "top-p 1e-6");
    assert_ne!(found[3], greedy, "temperature 1.5");
}

#[test]
fn a_generation_ends_at_its_number_of_tokens() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 96, 1);
    for max_tokens in [0, 1, 2, 33] {
        let options = GenerateOptions { max_tokens, ..Default::default() };
        let mut generation = engine.generate(&[1], &options).expect("it starts");
        generation.by_ref().for_each(|piece| drop(piece.expect("the device works")));
        assert_eq!((generation.ids().len(), generation.finish()), (max_tokens, Some(Finish::Length)));
        let stats = generation.stats();
        assert_eq!((stats.n_prompt, stats.n_generated), (1, max_tokens));
    }
}

#[test]
fn stop_texts_may_be_many_and_overlap() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 128, 1);
    let run = |engine: &mut Engine, stop: &[&str]| {
        let stop = stop.iter().map(|&stop| stop.to_owned()).collect();
        let options = GenerateOptions { max_tokens: 60, stop, ..Default::default() };
        engine.generate(&[1], &options).expect("it starts").map(|piece| piece.expect("works").text).collect()
    };
    let all: String = run(&mut engine, &[]);
    // Every place the text could be cut at: the text before it comes out, and nothing else.
    let words = all.char_indices().filter(|&(i, c)| c == ' ' && i > 2).map(|(i, _)| i);
    for at in words.filter(|&at| at + 6 < all.len() && all.is_char_boundary(at + 6)).take(12) {
        let stop = &all[at - 2..at + 6];
        let expected = &all[..all.find(stop).expect("it is in the text")];
        assert_eq!(run(&mut engine, &["", "zzz", stop]), expected, "{stop:?}");
    }
    // The first in the text ends it, not the first in the list; a beginning of a stop text is no stop.
    assert_eq!(run(&mut engine, &["named", "upon"]), " Once ");
    assert_eq!(run(&mut engine, &["upon a tiger", "time, zebra"]), all);
}

#[test]
fn after_a_generation_was_dropped_texts_can_be_scored() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 128, 2);
    let expected = engine.logits(&[1, 403, 407], 1).expect("logits");
    let options = GenerateOptions { max_tokens: 100, ..Default::default() };
    let mut generation = engine.generate(&[1, 300, 301], &options).expect("it starts");
    generation.next().expect("a piece").expect("the device works");
    drop(generation);
    assert_eq!(engine.logits(&[1, 403, 407], 1).expect("nothing is running"), expected);
    // While a sequence does run its cache must not be touched.
    engine.submit(request(&[1], 5, SlotSampling::default())).expect("valid");
    assert!(engine.logits(&[1, 403, 407], 1).is_err());
}

#[test]
fn other_sequences_keep_their_tokens_while_one_is_iterated() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let expected =
        together(&mut common::exact(&model, 96, 1), vec![request(&[1, 300], 30, SlotSampling::default())])
            .remove(0);
    let mut engine = common::exact(&model, 96, 2);
    let other = engine.submit(request(&[1, 300], 30, SlotSampling::default())).expect("valid");
    let gone = engine.submit(request(&[1, 301], 30, SlotSampling::default())).expect("valid");
    let options = GenerateOptions { max_tokens: 10, ..Default::default() };
    assert_eq!(engine.generate(&[1], &options).expect("it starts").count(), 10);
    assert_eq!(engine.generate_ids(&[1], &options).expect("it runs").len(), 10);
    engine.cancel(gone);
    let (mut tokens, mut finish) = (Vec::new(), None);
    while engine.busy() {
        for event in engine.step(Duration::MAX).expect("the device works") {
            match event {
                Event::Token { sequence, id } if sequence == other => tokens.push(id),
                Event::Finished { sequence, finish: why } if sequence == other => finish = Some(why),
                event => panic!("{event:?}"),
            }
        }
    }
    assert_eq!((tokens, finish), (expected, Some(Finish::Length)));
}

#[test]
fn a_waiting_sequence_can_be_cancelled() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 96, 1);
    let first = engine.submit(request(&[1], 8, SlotSampling::default())).expect("valid");
    let second = engine.submit(request(&[1, 300], 8, SlotSampling::default())).expect("valid");
    engine.cancel(second);
    while engine.busy() {
        for event in engine.step(Duration::MAX).expect("the device works") {
            let (Event::Token { sequence, .. } | Event::Finished { sequence, .. }) = event;
            assert_eq!(sequence, first);
        }
    }
}

#[test]
fn a_step_keeps_to_its_budget() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    // Passes over a long prompt take far longer than the budget, on any device.
    let options = EngineOptions { context: 4096, chunk: 1024, ..EngineOptions::default() };
    let mut engine = Engine::new(model, options).expect("the engine fits");
    let prompt: Vec<u32> = (0..4000).map(|i| 261 + (i * 37) % 200).collect();
    // Once before, so that nothing is compiled while the clock runs.
    together(&mut engine, vec![request(&prompt[..1100], 2, SlotSampling::default())]);
    engine.submit(request(&prompt[1..], 2, SlotSampling::default())).expect("valid");
    let start = Instant::now();
    let (mut n_steps, mut longest, mut n_tokens) = (0, Duration::ZERO, 0);
    let budget = Duration::from_millis(3);
    while engine.busy() {
        let step = Instant::now();
        n_tokens += engine.step(budget).expect("the device works").len();
        longest = longest.max(step.elapsed());
        n_steps += 1;
    }
    let all = start.elapsed();
    eprintln!("{n_steps} steps, the longest {longest:?} of {all:?}");
    assert_eq!(n_tokens, 3, "two tokens and the end");
    assert!(longest < budget + all / 4, "a step took {longest:?} of {all:?}, the budget was {budget:?}");
}

#[test]
fn settings_out_of_their_range_are_errors() {
    let gpu = common::gpu();
    let model = common::model(&gpu, STORIES);
    let mut engine = common::exact(&model, 32, 1);
    let right = SlotSampling::default();
    for (sampling, expected) in [
        (SlotSampling { temperature: -1.0, ..right }, "temperature"),
        (SlotSampling { temperature: f32::NAN, ..right }, "temperature"),
        (SlotSampling { top_p: 1.5, ..right }, "top-p"),
        (SlotSampling { repetition_penalty: 0.0, ..right }, "repetition"),
        (SlotSampling { n_recent: 1 << 20, ..right }, "look back"),
    ] {
        let error = engine.submit(request(&[1], 1, sampling)).expect_err("out of range").to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(!engine.busy());
}
