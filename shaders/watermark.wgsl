// Raises the logits of the tokens on a list that a key and the token before draw, in place.
//
//   x[t, c] += delta    where pcg3d(key_low ^ previous, key_high, c).y / 2^32 < gamma
//
// x: (n_rows, n_columns)    recent: (n_slots, RECENT + 1), whose last number is the length of the sequence.
//
// One workgroup per row and part of PER_WORKGROUP quads; lanes take quads in turn. Whether a token is
// on the list is a hash of its own, so that no list is stored and a part needs nothing of the others.
// Source: Kirchenbauer et al. 2023, arXiv:2301.10226, algorithm 2.
import package::config::{PER_WORKGROUP, RECENT, WG_SIZE};
import package::pcg3d::pcg3d;
import package::slot_sampling::SlotSampling;

struct Params {
    n_columns: u32,
}

@group(0) @binding(0) var<storage, read> settings: array<SlotSampling>;
@group(0) @binding(1) var<storage, read> recent: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;

fn is_listed(s: SlotSampling, previous: u32, column: u32) -> bool {
    let bits = pcg3d(vec3<u32>(s.watermark_key_low ^ previous, s.watermark_key_high, column)).y;
    // 23 bits, which f32 holds exactly: the reader of the mark draws the same list.
    return f32(bits >> 9u) < s.watermark_gamma * 8388608.0 && column < params.n_columns;
}

@compute @workgroup_size(WG_SIZE)
fn watermark(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let slot = slots[workgroup.x];
    let s = settings[slot];
    if s.watermark_delta == 0.0 {
        return;
    }
    let list = slot * (RECENT + 1u);
    let length = max(recent[list + RECENT], 1u);
    let previous = recent[list + (length - 1u) % RECENT];
    let n_quads = (params.n_columns + 3u) / 4u;
    let first = workgroup.y * PER_WORKGROUP;
    for (var c = first + lane; c < min(first + PER_WORKGROUP, n_quads); c += WG_SIZE) {
        let listed = vec4<bool>(
            is_listed(s, previous, 4u * c),
            is_listed(s, previous, 4u * c + 1u),
            is_listed(s, previous, 4u * c + 2u),
            is_listed(s, previous, 4u * c + 3u),
        );
        x[workgroup.x * n_quads + c] += select(vec4<f32>(0.0), vec4<f32>(s.watermark_delta), listed);
    }
}
