// Plays `kv_write`: keys and values stored as f16 in octets, which neighbouring lanes write together; see
// `graph::images`.
//
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]; `row` counts rows of HEAD_DIM, a multiple
// of 8.
import package::config::HEAD_DIM;
import package::lanes::Lane;
import package::real::{real4, to_real4};

@group(2) @binding(0) var<storage, read_write> kv_keys: array<real4>;
@group(2) @binding(1) var<storage, read_write> kv_values: array<real4>;

fn store_key(row: u32, quad: u32, v: vec4<f32>, stored: bool, lane: Lane) {
    if stored {
        kv_keys[row * (HEAD_DIM / 4u) + quad] = to_real4(v);
    }
}

fn store_value(row: u32, quad: u32, v: vec4<f32>, stored: bool, lane: Lane) {
    if stored {
        kv_values[row * (HEAD_DIM / 4u) + quad] = to_real4(v);
    }
}
