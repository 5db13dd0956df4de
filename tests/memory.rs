//! Memory over many generations. Alone in its process, since other tests use memory too.

mod common;

use std::time::Duration;

use aquatint::engine::{Event, Request};

#[test]
fn memory_does_not_grow() {
    let gpu = common::gpu();
    let model = common::model(&gpu, "stories260K.bin");
    let mut engine = common::exact(&model, 96, 2);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let mut after_warm_up = 0;
    let mut scratch = 0;
    for i in 0..200u32 {
        let prompt: Vec<u32> = (0..20 + i % 30).map(|j| 261 + (i * 7 + j) % 200).collect();
        engine.submit(Request { prompt, max_tokens: 10, ..Request::default() }).expect("valid");
        let mut n_tokens = 0;
        while engine.busy() {
            let events = engine.step(Duration::MAX).expect("the device works");
            n_tokens += events.iter().filter(|event| matches!(event, Event::Token { .. })).count();
        }
        assert_eq!(n_tokens, 10);
        if i == 50 {
            (after_warm_up, scratch) = (resident(), engine.scratch_bytes());
        }
    }
    assert_eq!(engine.scratch_bytes(), scratch);
    let grown = resident().saturating_sub(after_warm_up);
    assert!(grown < 8 * 1024, "resident memory grew by {grown} KiB over 150 generations");
}
