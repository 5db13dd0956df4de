// Plays `kv_write`: keys and values in blocks of 32 signed bytes behind an f32 scale, 9 words.
//
// keys, values: [page][kv head][position in page, 32][HEAD_DIM / 32] of blocks; `row` counts rows of
// HEAD_DIM. The 8 lanes of a workgroup hold the 8 quads of one block; all of them must call.
import package::config::HEAD_DIM;
import package::lanes::{Lane, workgroup_max};

@group(2) @binding(0) var<storage, read_write> kv_keys: array<u32>;
@group(2) @binding(1) var<storage, read_write> kv_values: array<u32>;

// The first word of the block that `quad` of `row` lies in.
fn kv_block(row: u32, quad: u32) -> u32 {
    return 9u * (row * (HEAD_DIM / 32u) + quad / 8u);
}

fn kv_scale(v: vec4<f32>, lane: Lane) -> f32 {
    let a = abs(v);
    return workgroup_max(max(max(a.x, a.y), max(a.z, a.w)), lane) / 127.0;
}

fn kv_bytes(v: vec4<f32>, scale: f32) -> u32 {
    let inverse = select(0.0, 1.0 / scale, scale > 0.0);
    return pack4xI8(vec4<i32>(clamp(round(v * inverse), vec4<f32>(-127.0), vec4<f32>(127.0))));
}

fn store_key(row: u32, quad: u32, v: vec4<f32>, stored: bool, lane: Lane) {
    let scale = kv_scale(v, lane);
    let block = kv_block(row, quad);
    if stored {
        if quad % 8u == 0u {
            kv_keys[block] = bitcast<u32>(scale);
        }
        kv_keys[block + 1u + quad % 8u] = kv_bytes(v, scale);
    }
}

fn store_value(row: u32, quad: u32, v: vec4<f32>, stored: bool, lane: Lane) {
    let scale = kv_scale(v, lane);
    let block = kv_block(row, quad);
    if stored {
        if quad % 8u == 0u {
            kv_values[block] = bitcast<u32>(scale);
        }
        kv_values[block + 1u + quad % 8u] = kv_bytes(v, scale);
    }
}
