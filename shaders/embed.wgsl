// Embedding lookup with dequantisation.
//
//   y[t, :] = scale * W[id(t), :]        id(t) = ids[t], or the last token sampled for the slot
//
// W: (n_rows, n_columns), packed    ids, slots: (n_tokens)    y: (n_tokens, n_columns)
//
// One workgroup of 8 lanes per token; lanes take quads in turn. Where W is split by rows, each
// launch writes the tokens whose row lies in its part.
import package::config::FROM_SLOT;
import package::weight::weight4;

struct Params {
    n_quads: u32,
    n_blocks: u32,
    first_row: u32,
    n_rows: u32,
    // Of the whole weight.
    last_row: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read> last_token: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(8)
fn embed(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = workgroup.x;
    var id = ids[token];
    if id == FROM_SLOT {
        id = last_token[min(slots[token], arrayLength(&last_token) - 1u)];
    }
    let row = min(id, params.last_row) - params.first_row;
    if row < params.n_rows {
        for (var q = lane; q < params.n_quads; q += 8u) {
            y[token * params.n_quads + q] = params.scale * weight4(row, q, params.n_blocks);
        }
    }
}
