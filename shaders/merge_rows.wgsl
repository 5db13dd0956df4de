// Adds up what several tiles have done to one row, each from the same beginning.
//
//   x[r] += sum_s (x[s] - x[r])        s: the slots of row r, in order
//
// x: (n_rows, pitch), the words and behind them slots
// segments: n, then n times (row, first slot as a row, number of slots)
//
// A workgroup takes segments in turn, its lanes the quads of a row.
import package::config::WG_SIZE;

struct Params {
    // Where the segments begin, in words.
    first: u32,
    pitch: u32,
    n_workgroups: u32,
}

@group(0) @binding(0) var<storage, read> segments: array<u32>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(WG_SIZE)
fn merge_rows(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n_segments = segments[params.first];
    for (var i = workgroup.x; i < n_segments; i += params.n_workgroups) {
        let at = params.first + 1u + 3u * i;
        let row = segments[at] * params.pitch;
        let first_slot = segments[at + 1u] * params.pitch;
        let end = first_slot + segments[at + 2u] * params.pitch;
        for (var c = lane; c < params.pitch; c += WG_SIZE) {
            let old = x[row + c];
            var sum = old;
            for (var slot = first_slot; slot < end; slot += params.pitch) {
                sum += x[slot + c] - old;
            }
            x[row + c] = sum;
        }
    }
}
