// Plays `kv_read`: keys and values stored as f32.
//
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]; `row` counts rows of HEAD_DIM.
import package::config::HEAD_DIM;

@group(2) @binding(0) var<storage, read> kv_keys: array<vec4<f32>>;
@group(2) @binding(1) var<storage, read> kv_values: array<vec4<f32>>;

fn load_key(row: u32, quad: u32) -> vec4<f32> {
    let v = kv_keys[row * (HEAD_DIM / 4u) + quad];
    return v;
}

fn load_value(row: u32, quad: u32) -> vec4<f32> {
    let v = kv_values[row * (HEAD_DIM / 4u) + quad];
    return v;
}

// An octet is two quads beside each other.
alias KvOctet = array<vec4<f32>, 2>;

fn key_octet(row: u32, octet: u32) -> KvOctet {
    return KvOctet(load_key(row, 2u * octet), load_key(row, 2u * octet + 1u));
}

fn value_octet(row: u32, octet: u32) -> KvOctet {
    return KvOctet(load_value(row, 2u * octet), load_value(row, 2u * octet + 1u));
}

fn octet_floats(v: KvOctet) -> KvOctet {
    return v;
}
