// Plays `kv_read`: keys and values in blocks of 32 signed bytes behind an f32 scale, 9 words.
//
// keys, values: [page][kv head][position in page, 32][HEAD_DIM / 32] of blocks; `row` counts rows of
// HEAD_DIM.
import package::config::HEAD_DIM;

@group(2) @binding(0) var<storage, read> kv_keys: array<u32>;
@group(2) @binding(1) var<storage, read> kv_values: array<u32>;

fn kv_block(row: u32, quad: u32) -> u32 {
    return 9u * (row * (HEAD_DIM / 32u) + quad / 8u);
}

fn load_key(row: u32, quad: u32) -> vec4<f32> {
    let block = kv_block(row, quad);
    return bitcast<f32>(kv_keys[block]) * vec4<f32>(unpack4xI8(kv_keys[block + 1u + quad % 8u]));
}

fn load_value(row: u32, quad: u32) -> vec4<f32> {
    let block = kv_block(row, quad);
    return bitcast<f32>(kv_values[block]) * vec4<f32>(unpack4xI8(kv_values[block + 1u + quad % 8u]));
}

// An octet is two quads beside each other: the bits of the scale, and two words of bytes.
alias KvOctet = vec3<u32>;

fn key_octet(row: u32, octet: u32) -> KvOctet {
    let block = kv_block(row, 2u * octet);
    let at = block + 1u + 2u * (octet % 4u);
    return vec3<u32>(kv_keys[block], kv_keys[at], kv_keys[at + 1u]);
}

fn value_octet(row: u32, octet: u32) -> KvOctet {
    let block = kv_block(row, 2u * octet);
    let at = block + 1u + 2u * (octet % 4u);
    return vec3<u32>(kv_values[block], kv_values[at], kv_values[at + 1u]);
}

fn octet_floats(v: KvOctet) -> array<vec4<f32>, 2> {
    let scale = bitcast<f32>(v.x);
    return array<vec4<f32>, 2>(scale * vec4<f32>(unpack4xI8(v.y)), scale * vec4<f32>(unpack4xI8(v.z)));
}
