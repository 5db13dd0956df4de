// What products of bytes multiply a block of a weight with: a block of activations as bytes.
import package::byte_block::ByteBlock;
import package::input::x_bytes;

alias Operand = ByteBlock;

// Block `block` of the row that begins at quad `row`.
fn operand(row: u32, block: u32, n_quads: u32) -> Operand {
    return x_bytes(row, block);
}
