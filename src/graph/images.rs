//! Planes of weights as images.
//!
//! A software driver checks every lane of a load from a buffer on its own, and loads from an image
//! all at once: three times faster. So there the linker turns the planes that a shader declares and
//! indexes into images, line by line; shader files say buffers and know nothing of it.
//!
//! ```text
//! var<storage, read> NAME: array<vec4<u32>>;   var NAME: texture_storage_2d<rgba32uint, read>;
//! NAME[i]                                      textureLoad(NAME, texel_of(i)).xyzw
//! ```

use super::link::{Wgsl, wgsl};

/// Gives `texel_of`.
pub(super) const TEXEL: Wgsl = wgsl!("texel");

/// A plane: its name, and the components of a texel that are its element.
type Plane = (String, &'static str);

/// The planes that `text` declares.
pub(super) fn planes(text: &str) -> Vec<Plane> {
    text.lines()
        .filter_map(|line| declaration(line).map(|(name, _, swizzle)| (name.to_owned(), swizzle)))
        .collect()
}

/// The line with its planes as images.
pub(super) fn rewrite(line: &str, planes: &[Plane]) -> String {
    if let Some((name, format, _)) = declaration(line) {
        let binding = line.split(" var<").next().unwrap_or_default();
        return format!("{binding} var {name}: texture_storage_2d<{format}, read>;");
    }
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, name, index, swizzle, after)) = first_use(rest, planes) {
        out += &format!("{before}textureLoad({name}, texel_of({index})).{swizzle}");
        rest = after;
    }
    out + rest
}

/// The name, the texel format and the swizzle of a declared plane.
fn declaration(line: &str) -> Option<(&str, &'static str, &'static str)> {
    let (name, element) = line.split_once("var<storage, read> ")?.1.split_once(": array<")?;
    match element {
        "vec4<u32>>;" => Some((name, "rgba32uint", "xyzw")),
        "vec2<u32>>;" => Some((name, "rg32uint", "xy")),
        "u32>;" => Some((name, "r32uint", "x")),
        _ => None,
    }
}

/// The first indexed plane: what is before, the name, the index, the swizzle, what is after.
fn first_use<'a>(
    line: &'a str,
    planes: &'a [Plane],
) -> Option<(&'a str, &'a str, &'a str, &'static str, &'a str)> {
    let (start, name, swizzle) = planes
        .iter()
        .filter_map(|(name, swizzle)| Some((line.find(&format!("{name}["))?, name.as_str(), *swizzle)))
        .min_by_key(|(start, name, _)| (*start, std::cmp::Reverse(name.len())))?;
    let open = start + name.len();
    let mut depth = 0;
    for (i, c) in line[open..].char_indices() {
        depth += i32::from(c == '[') - i32::from(c == ']');
        if depth == 0 {
            return Some((&line[..start], name, &line[open + 1..open + i], swizzle, &line[open + i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_images_where_they_are_declared_and_indexed() {
        let text = "@group(1) @binding(0) var<storage, read> quants: array<vec4<u32>>;\n\
                    @group(1) @binding(1) var<storage, read> bits: array<u32>;";
        let planes = planes(text);
        assert_eq!(
            rewrite(text.lines().next().expect("a line"), &planes),
            "@group(1) @binding(0) var quants: texture_storage_2d<rgba32uint, read>;"
        );
        assert_eq!(
            rewrite("    let a = quants[at + f(b[1])][part & 3u] | bits[2u * at];", &planes),
            "    let a = textureLoad(quants, texel_of(at + f(b[1]))).xyzw[part & 3u] \
             | textureLoad(bits, texel_of(2u * at)).x;"
        );
    }
}
