//! The engine: sequences together, paging, sharing, stopping, cancelling, repeating.

mod common;

use std::time::Duration;

use aquatint::engine::{Engine, Event, Finish, GenerateOptions, Request};
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
