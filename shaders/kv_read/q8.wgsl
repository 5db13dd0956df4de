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
