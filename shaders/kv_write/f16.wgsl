// Plays `kv_write`: keys and values stored as f16.
//
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]; `row` counts rows of HEAD_DIM.
import package::config::HEAD_DIM;
import package::lanes::Lane;

@group(2) @binding(0) var<storage, read_write> kv_keys: array<vec2<u32>>;
@group(2) @binding(1) var<storage, read_write> kv_values: array<vec2<u32>>;

fn store_key(row: u32, quad: u32, v: vec4<f32>, stored: bool, lane: Lane) {
    if stored {
        kv_keys[row * (HEAD_DIM / 4u) + quad] = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
    }
}

fn store_value(row: u32, quad: u32, v: vec4<f32>, stored: bool, lane: Lane) {
    if stored {
        kv_values[row * (HEAD_DIM / 4u) + quad] = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
    }
}
