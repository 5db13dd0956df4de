// Plays `kv_read`: keys and values stored as f16, read by octets.
//
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]; `row` counts rows of HEAD_DIM, a multiple
// of 8.
import package::config::HEAD_DIM;
import package::kv_octet::{KvOctet, octet_floats};

@group(2) @binding(0) var<storage, read> kv_keys: array<vec4<u32>>;
@group(2) @binding(1) var<storage, read> kv_values: array<vec4<u32>>;

fn key_octet(row: u32, octet: u32) -> KvOctet {
    return kv_keys[row * (HEAD_DIM / 8u) + octet];
}

fn value_octet(row: u32, octet: u32) -> KvOctet {
    return kv_values[row * (HEAD_DIM / 8u) + octet];
}

fn quad_of(v: KvOctet, quad: u32) -> vec4<f32> {
    let half = select(v.xy, v.zw, (quad & 1u) != 0u);
    return vec4<f32>(unpack2x16float(half.x), unpack2x16float(half.y));
}

fn load_key(row: u32, quad: u32) -> vec4<f32> {
    return quad_of(key_octet(row, quad / 2u), quad);
}

fn load_value(row: u32, quad: u32) -> vec4<f32> {
    return quad_of(value_octet(row, quad / 2u), quad);
}
