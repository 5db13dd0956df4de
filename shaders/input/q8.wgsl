// Plays `input`: the activations of a matrix product, stored as blocks of 32 bytes, read by blocks.
//
//   texel 3 b, 3 b + 1   element e of block b in byte e
//   texel 3 b + 2        the scale, the sums of bytes 0..16 and 16..32, as f32
import package::block::Block;
import package::byte_block::ByteBlock;

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

// The 4 signed bytes of a word.
fn signed(word: u32) -> vec4<i32> {
    return bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
}

// Block `block` of the row that begins at quad `row`, a multiple of 8.
fn x_bytes(row: u32, block: u32) -> ByteBlock {
    let at = 3u * (row / 8u + block);
    let low = x[at];
    let high = x[at + 1u];
    let about = bitcast<vec4<f32>>(x[at + 2u]);
    var b: ByteBlock;
    for (var i = 0u; i < 4u; i++) { // unroll
        b.v[i] = signed(low[i]);
        b.v[4u + i] = signed(high[i]);
    }
    b.scale = about.x;
    b.low = about.y;
    b.high = about.z;
    return b;
}

// The same in f32. Rows are whole blocks.
fn x_block(row: u32, block: u32, n_quads: u32) -> Block {
    let b = x_bytes(row, block);
    var v: array<vec4<f32>, 8>;
    for (var i = 0u; i < 8u; i++) { // unroll
        v[i] = b.scale * vec4<f32>(b.v[i]);
    }
    return Block(v, b.scale * b.low, b.scale * b.high);
}
