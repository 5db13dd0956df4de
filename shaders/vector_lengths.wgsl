// One over the length of each row of a weight, 0 for a row of zeros.
//
//   y[r] = 1 / sqrt(sum_c W[r, c]^2)        W: (n_rows, n_columns), packed    y: (1, n_rows)
//
// One lane per row. Columns from n_columns on are padding, which is zero.
import package::config::WG_SIZE;
import package::weight::weight4;

struct Params {
    // Rows of this part of the weight, and its place.
    n_rows: u32,
    first_row: u32,
    n_blocks: u32,
    n_quads: u32,
    // Rows of the whole weight.
    n_rows_all: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG_SIZE)
fn vector_lengths(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= params.n_rows || params.first_row + row >= params.n_rows_all {
        return;
    }
    var sum = 0.0;
    for (var q = 0u; q < params.n_quads; q++) {
        let w = weight4(row, q, params.n_blocks);
        sum += dot(w, w);
    }
    y[params.first_row + row] = select(0.0, inverseSqrt(sum), sum > 0.0);
}
