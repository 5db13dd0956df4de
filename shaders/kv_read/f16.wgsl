// Plays `kv_read`: keys and values stored as f16.
//
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]; `row` counts rows of HEAD_DIM.
import package::config::HEAD_DIM;
import package::kv_octet::{KvOctet, octet_floats};

@group(2) @binding(0) var<storage, read> kv_keys: array<vec2<u32>>;
@group(2) @binding(1) var<storage, read> kv_values: array<vec2<u32>>;

fn load_key(row: u32, quad: u32) -> vec4<f32> {
    let v = kv_keys[row * (HEAD_DIM / 4u) + quad];
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}

fn load_value(row: u32, quad: u32) -> vec4<f32> {
    let v = kv_values[row * (HEAD_DIM / 4u) + quad];
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}

// An octet is two quads beside each other.
fn key_octet(row: u32, octet: u32) -> KvOctet {
    let at = row * (HEAD_DIM / 4u) + 2u * octet;
    return vec4<u32>(kv_keys[at], kv_keys[at + 1u]);
}

fn value_octet(row: u32, octet: u32) -> KvOctet {
    let at = row * (HEAD_DIM / 4u) + 2u * octet;
    return vec4<u32>(kv_values[at], kv_values[at + 1u]);
}
