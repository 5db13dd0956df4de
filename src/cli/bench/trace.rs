//! `--trace`: what host and device do, in the format of chrome://tracing and Perfetto.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::engine::{Engine, Request};
use crate::error::Result;
use crate::gpu::HostSpan;

/// Tokens of the traced prompt and answer.
const N_PROMPT: usize = 32;
const N_GEN: usize = 8;

/// The rows of the trace, as processes and threads.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// Traces a short prompt and its answer on the host, then one step on the device, dispatch by dispatch.
/// Returns the file's text.
pub fn take(engine: &mut Engine) -> Result<String> {
    let n_vocab = engine.model().decoder.n_vocab as u32;
    let room = engine.options().context;
    let n_prompt = N_PROMPT.min(room / 2).max(1);
    let prompt: Vec<u32> = (0..n_prompt as u32).map(|i| (7 + 31 * i) % n_vocab).collect();
    let max_tokens = N_GEN.min(room - n_prompt);
    // Once without looking: pipelines are compiled.
    for _ in 0..2 {
        engine.gpu().begin_trace();
        engine.submit(Request { prompt: prompt.clone(), max_tokens, ..Request::default() })?;
        while engine.busy() {
            engine.step(Duration::MAX)?;
        }
    }
    let spans = engine.gpu().end_trace();
    let start = spans.first().map_or_else(Instant::now, |span| span.start);
    let microseconds = |at: Instant| at.saturating_duration_since(start).as_secs_f64() * 1e6;
    let mut events = vec![name("process_name", HOST, 0, "host"), name("process_sort_index", HOST, 0, "")];
    for (thread, kind) in
        [HostSpan::Record, HostSpan::Encode, HostSpan::Submit, HostSpan::Wait].iter().enumerate()
    {
        events.push(name("thread_name", HOST, thread as u32 + 1, &word(*kind)));
    }
    let mut end = 0.0f64;
    for span in &spans {
        let at = microseconds(span.start);
        end = end.max(at + span.seconds * 1e6);
        events.push(json!({
            "ph": "X", "name": word(span.kind), "cat": "host", "pid": HOST, "tid": span.kind as u32 + 1,
            "ts": at, "dur": span.seconds * 1e6, "args": { "dispatches": span.n_dispatches },
        }));
    }
    let profile = engine.profile(1, n_prompt)?;
    let (title, how) = match profile.by_timestamps {
        true => ("device: one step by itself", "timestamps after each dispatch"),
        false => (
            "device: one step, equal shares of each kind",
            "no timestamps on this driver: all dispatches of a kind were timed together, on software in CPU time",
        ),
    };
    events.push(name("process_name", DEVICE, 0, title));
    events.push(name("thread_name", DEVICE, 1, how));
    // After the host's rows, since it ran after them.
    let mut at = end + 1000.0;
    for step in &profile.steps {
        let kernel = step.label.split(' ').next().unwrap_or("");
        events.push(json!({
            "ph": "X", "name": kernel, "cat": "device", "pid": DEVICE, "tid": 1, "ts": at,
            "dur": step.seconds * 1e6, "args": { "variant": step.label, "timed": how },
        }));
        at += step.seconds * 1e6;
    }
    let file = json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": { "adapter": engine.gpu().adapter().to_string(), "prompt": n_prompt, "generated": max_tokens },
    });
    Ok(file.to_string())
}

fn word(kind: HostSpan) -> String {
    format!("{kind:?}").to_lowercase()
}

/// Names a process or a thread.
fn name(what: &str, process: u32, thread: u32, value: &str) -> Value {
    let args = match what {
        "process_sort_index" => json!({ "sort_index": process }),
        _ => json!({ "name": value }),
    };
    json!({ "ph": "M", "name": what, "pid": process, "tid": thread, "args": args })
}
