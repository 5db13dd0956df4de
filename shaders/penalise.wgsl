// Lowers the logits of tokens that came up lately, in place.
//
//   l = l / r if l > 0 else l * r;   l -= frequency * count + presence     for each token with count > 0
//
// x: (n_rows, n_columns)    recent: (n_slots, RECENT + 1), whose last number is the length of the sequence.
//
// One workgroup per row; lanes take recent tokens in turn, each token at its first place in the list.
// Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1; presence and frequency as in OpenAI's API.
import package::config::{RECENT, WG_SIZE};
import package::slot_sampling::SlotSampling;

struct Params {
    n_columns: u32,
    pitch: u32,
}

@group(0) @binding(0) var<storage, read> settings: array<SlotSampling>;
@group(0) @binding(1) var<storage, read> recent: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(WG_SIZE)
fn penalise(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let slot = slots[workgroup.x];
    let s = settings[slot];
    if s.repetition_penalty == 1.0 && s.presence_penalty == 0.0 && s.frequency_penalty == 0.0 {
        return;
    }
    let list = slot * (RECENT + 1u);
    let length = recent[list + RECENT];
    let n = min(min(s.n_recent, RECENT), length);
    for (var i = lane; i < n; i += WG_SIZE) {
        let token = recent[list + (length - 1u - i) % RECENT];
        var n_before = 0u;
        var count = 0u;
        for (var j = 0u; j < n; j++) {
            let same = recent[list + (length - 1u - j) % RECENT] == token;
            count += select(0u, 1u, same);
            n_before += select(0u, 1u, same && j < i);
        }
        if n_before == 0u && token < params.n_columns {
            let at = workgroup.x * params.pitch + token;
            let l = x[at];
            let repeated = select(l * s.repetition_penalty, l / s.repetition_penalty, l > 0.0);
            x[at] = repeated - s.frequency_penalty * f32(count) - s.presence_penalty;
        }
    }
}
