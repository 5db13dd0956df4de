// Where element `at` of a plane lies that is an image: texels row after row, IMAGE_WIDTH to a row.
import package::config::IMAGE_WIDTH;

fn texel_of(at: u32) -> vec2<u32> {
    return vec2<u32>(at % IMAGE_WIDTH, at / IMAGE_WIDTH);
}
