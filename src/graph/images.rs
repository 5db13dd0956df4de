//! Read and written arrays as images.
//!
//! A software driver checks every lane of a load from a buffer on its own, and loads from an image
//! all at once: three times faster. So there the linker turns arrays that are images in memory (the
//! planes of weights, the inputs of matrix products, keys and values, quads of f32) into images in the
//! text, line by line; shader files say buffers and know nothing of it.
//!
//! ```text
//! var<storage, read> NAME: array<vec4<u32>>;      var NAME: texture_storage_2d<rgba32uint, read>;
//! var<storage, read_write> NAME: array<real4>;    var NAME: texture_storage_2d<rgba32uint, write>;
//! NAME[i]                                         textureLoad(NAME, texel_of(i)).xyzw
//! NAME[i] = v;                                    textureStore(NAME, texel_of(i), vec4<u32>(v, 0u, 0u));
//! ```
//!
//! Quads of f32 are texels of words, too, so that all images of scratch memory are alike. Any temporary
//! becomes one where every kernel that uses it declares it as `array<vec4<f32>>`; see `settle.rs`.
//!
//! Activations are written as f16, 8 to a texel, an *octet*. Its elements are made by neighbouring lanes
//! of a subgroup, two with a `real4` each or four with a `real2`; the first of them writes it. So
//! neighbouring lanes must write neighbouring elements, and all of an octet or none. Or they are written as
//! blocks of 32 bytes, three texels, by 8 lanes with a `real4` each (`byte_texel.wgsl`).

use super::link::{Wgsl, wgsl};

/// Gives `texel_of`.
const TEXEL: Wgsl = wgsl!("texel");

/// Makes what is written of a block of bytes.
const BYTE_TEXEL: Wgsl = wgsl!("byte_texel");

/// Where an image is bound.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub group: u32,
    pub binding: u32,
    /// Whether it is of blocks of bytes, not of f16.
    pub blocks: bool,
}

/// An array that is an image.
pub(super) struct Array {
    pub name: String,
    element: &'static Element,
}

/// A quad of f32 in the text of a shader.
const QUAD_OF_F32: &str = "vec4<f32>";

/// What a texel is.
struct Element {
    wgsl: &'static str,
    format: &'static str,
    swizzle: &'static str,
    /// Lanes that make an octet, where it is written so.
    lanes: u32,
}

impl Element {
    fn is_f32(&self) -> bool {
        self.wgsl == QUAD_OF_F32
    }

    /// What such an array is read and written as, declared as a buffer that is `written`. Quads of f32 that
    /// are written may be read, too.
    fn access(&self, written: bool) -> &'static str {
        match (written, self.is_f32()) {
            (false, _) => "read",
            (true, false) => "write",
            (true, true) => "read_write",
        }
    }

    /// An element of the array `name`.
    fn load(&self, name: &str, index: &str) -> String {
        let texel = format!("textureLoad({name}, texel_of({index}))");
        if self.is_f32() {
            format!("bitcast<vec4<f32>>({texel})")
        } else {
            format!("{texel}.{}", self.swizzle)
        }
    }

    /// The statement that stores `value`.
    fn store(&self, name: &str, index: &str, value: &str) -> String {
        let words = match self.is_f32() {
            true => format!("bitcast<vec4<u32>>({value})"),
            false => format!("vec4<u32>({value}{})", self.filler()),
        };
        format!("textureStore({name}, texel_of({index}), {words});")
    }

    /// The statements that assign `value` to an element.
    fn assign(&self, name: &str, index: &str, operator: &str, value: &str) -> String {
        let lanes = self.lanes;
        if lanes == 0 {
            return match operator {
                "" => self.store(name, index, value),
                _ => self.store(name, index, &format!("{} {operator} ({value})", self.load(name, index))),
            };
        }
        if lanes == BLOCK_QUAD.lanes {
            return format!(
                "{{ let block_at = {index}; let block_texel = byte_texel(block_at, {value}); \
                 if has_byte_texel(block_at) {{ \
                 textureStore({name}, texel_of(byte_texel_at(block_at)), block_texel); }} }}"
            );
        }
        let quad = match lanes {
            4 => "vec2<u32>(octet_part, subgroupShuffleXor(octet_part, 1u))",
            _ => "octet_part",
        };
        format!(
            "{{ let octet_at = {index}; let octet_part = {value}; let octet_quad = {quad}; \
             let octet = vec4<u32>(octet_quad, subgroupShuffleXor(octet_quad, {}u)); \
             if octet_at % {lanes}u == 0u {{ textureStore({name}, texel_of(octet_at / {lanes}u), octet); }} }}",
            lanes / 2
        )
    }

    /// What fills a value up to 4 words.
    fn filler(&self) -> &'static str {
        match self.swizzle {
            "x" => ", 0u, 0u, 0u",
            "xy" => ", 0u, 0u",
            _ => "",
        }
    }
}

/// `real4` and `real2` are written only where they play f16: two words and one.
const ELEMENTS: [Element; 6] = [
    Element { wgsl: "vec4<u32>", format: "rgba32uint", swizzle: "xyzw", lanes: 0 },
    Element { wgsl: "vec2<u32>", format: "rg32uint", swizzle: "xy", lanes: 0 },
    Element { wgsl: "u32", format: "r32uint", swizzle: "x", lanes: 0 },
    Element { wgsl: QUAD_OF_F32, format: "rgba32uint", swizzle: "xyzw", lanes: 0 },
    Element { wgsl: "real4", format: "rgba32uint", swizzle: "xyzw", lanes: 2 },
    Element { wgsl: "real2", format: "rgba32uint", swizzle: "xyzw", lanes: 4 },
];

/// A quad of a block of bytes.
const BLOCK_QUAD: Element = Element { wgsl: "real4", format: "rgba32uint", swizzle: "xyzw", lanes: 8 };

/// The arrays that `text` declares where images are bound.
pub(super) fn arrays(text: &str, images: &[At]) -> Vec<Array> {
    let declared = text.lines().filter_map(declaration);
    let declared = declared.filter_map(|(at, _, name, element)| {
        let image = images.iter().find(|image| (image.group, image.binding) == at)?;
        let in_block = image.blocks && element.wgsl == BLOCK_QUAD.wgsl;
        Some(Array { name: name.to_owned(), element: if in_block { &BLOCK_QUAD } else { element } })
    });
    declared.collect()
}

/// The files that a text with these arrays needs.
pub(super) fn files(arrays: &[Array]) -> Vec<Wgsl> {
    let mut files = Vec::new();
    files.extend((!arrays.is_empty()).then_some(TEXEL));
    files.extend(arrays.iter().any(|array| array.element.lanes == BLOCK_QUAD.lanes).then_some(BYTE_TEXEL));
    files
}

/// The line with its arrays as images.
pub(super) fn rewrite(line: &str, arrays: &[Array]) -> String {
    if let Some(((group, binding), written, name, element)) = declaration(line)
        && arrays.iter().any(|array| array.name == name)
    {
        let (format, access) = (element.format, element.access(written));
        return format!(
            "@group({group}) @binding({binding}) var {name}: texture_storage_2d<{format}, {access}>;"
        );
    }
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, array, index, after)) = first_use(rest, arrays) {
        let Array { name, element } = array;
        let index = rewrite(index, arrays);
        out += before;
        if let Some((operator, value)) = assignment(after) {
            let value = rewrite(value, arrays);
            return out + &element.assign(name, &index, operator, &value);
        }
        out += &element.load(name, &index);
        rest = after;
    }
    out + rest
}

/// ` = v;` or ` += v;` as the operator, which may be none, and v.
fn assignment(after: &str) -> Option<(&str, &str)> {
    let (operator, value) = after.strip_suffix(';')?.strip_prefix(' ')?.split_once("= ")?;
    matches!(operator, "" | "+" | "-" | "*" | "/").then_some((operator, value))
}

/// The (group, binding), whether it is written, the name and the element of a declared array.
fn declaration(line: &str) -> Option<((u32, u32), bool, &str, &'static Element)> {
    let (group, rest) = line.strip_prefix("@group(")?.split_once(") @binding(")?;
    let (binding, rest) = rest.split_once(") var<storage, read")?;
    let (written, rest) = match rest.strip_prefix("_write> ") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("> ")?),
    };
    let (name, element) = rest.strip_suffix(">;")?.split_once(": array<")?;
    let element = ELEMENTS.iter().find(|known| known.wgsl == element)?;
    Some(((group.parse().ok()?, binding.parse().ok()?), written, name, element))
}

/// The first indexed array: what is before, the array, the index, what is after.
fn first_use<'a>(line: &'a str, arrays: &'a [Array]) -> Option<(&'a str, &'a Array, &'a str, &'a str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let uses = arrays.iter().flat_map(|array| {
        let found = line.match_indices(array.name.as_str()).map(|(start, _)| start);
        let alone = found.filter(move |&start| !line[..start].ends_with(is_word));
        alone
            .filter(|start| line[start + array.name.len()..].starts_with('['))
            .map(move |start| (start, array))
    });
    let (start, array) = uses.min_by_key(|(start, _)| *start)?;
    let open = start + array.name.len();
    let mut depth = 0;
    for (i, c) in line[open..].char_indices() {
        depth += i32::from(c == '[') - i32::from(c == ']');
        if depth == 0 {
            return Some((&line[..start], array, &line[open + 1..open + i], &line[open + i + 1..]));
        }
    }
    None
}

/// Where `text` declares quads of f32 that it writes as a whole.
pub(super) fn quads_of_f32(text: &str) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for (at, _, name, element) in text.lines().filter_map(declaration) {
        let array = [Array { name: name.to_owned(), element }];
        let is_part = |after: &str| after.starts_with(['[', '.']) && after.contains(" = ");
        let in_parts = |line| first_use(line, &array).is_some_and(|(.., after)| is_part(after));
        if element.is_f32() && !text.lines().any(in_parts) {
            found.push(at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
@group(1) @binding(0) var<storage, read> quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> bits: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<real4>;
@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;
    let a = quants[at + f(b[1])][part & 3u] | bits[2u * at];
    y[row + at] = to_real4(max_y[0] * w.x[2]);";

    fn at(group: u32, binding: u32) -> At {
        At { group, binding, blocks: false }
    }

    #[test]
    fn quads_of_f32_are_read_and_written_as_words() {
        let text = "\
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;
    y[at] += gain[c] * y[y_of(gain[0])].x;
    y[2u] = vec4<f32>(1.0);
    z[at][lane] = 1.0;";
        // The parts of z are written by lanes of their own, which texels cannot be.
        assert_eq!(quads_of_f32(text), [(0, 2), (0, 3)]);
        let arrays = arrays(text, &[at(0, 2), at(0, 3)]);
        let lines: Vec<String> = text.lines().map(|line| rewrite(line, &arrays)).collect();
        assert_eq!(
            lines[..5],
            [
                "@group(0) @binding(2) var y: texture_storage_2d<rgba32uint, read_write>;",
                "@group(0) @binding(3) var gain: texture_storage_2d<rgba32uint, read>;",
                "@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;",
                "    textureStore(y, texel_of(at), bitcast<vec4<u32>>(bitcast<vec4<f32>>(textureLoad(y, texel_of(at))) + \
                 (bitcast<vec4<f32>>(textureLoad(gain, texel_of(c))) * bitcast<vec4<f32>>(textureLoad(y, \
                 texel_of(y_of(bitcast<vec4<f32>>(textureLoad(gain, texel_of(0))))))).x)));",
                "    textureStore(y, texel_of(2u), bitcast<vec4<u32>>(vec4<f32>(1.0)));",
            ]
        );
    }

    #[test]
    fn blocks_are_written_by_eight_lanes() {
        let arrays = arrays(TEXT, &[At { blocks: true, ..at(0, 2) }]);
        let files: Vec<&str> = files(&arrays).iter().map(|file| file.path).collect();
        assert_eq!(files, ["shaders/texel.wgsl", "shaders/byte_texel.wgsl"]);
        let line = "    y[row + at] = to_real4(v);";
        assert_eq!(
            rewrite(line, &arrays),
            "    { let block_at = row + at; let block_texel = byte_texel(block_at, to_real4(v)); \
             if has_byte_texel(block_at) { textureStore(y, texel_of(byte_texel_at(block_at)), block_texel); } }"
        );
    }

    #[test]
    fn arrays_become_images_where_they_are_declared_and_indexed() {
        let arrays = arrays(TEXT, &[at(1, 0), at(1, 1), at(0, 2)]);
        let text: Vec<String> = TEXT.lines().map(|line| rewrite(line, &arrays)).collect();
        assert_eq!(
            text,
            [
                "@group(1) @binding(0) var quants: texture_storage_2d<rgba32uint, read>;",
                "@group(1) @binding(1) var bits: texture_storage_2d<r32uint, read>;",
                "@group(0) @binding(2) var y: texture_storage_2d<rgba32uint, write>;",
                "@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;",
                "    let a = textureLoad(quants, texel_of(at + f(b[1]))).xyzw[part & 3u] \
                 | textureLoad(bits, texel_of(2u * at)).x;",
                "    { let octet_at = row + at; let octet_part = to_real4(max_y[0] * w.x[2]); \
                 let octet_quad = octet_part; \
                 let octet = vec4<u32>(octet_quad, subgroupShuffleXor(octet_quad, 1u)); \
                 if octet_at % 2u == 0u { textureStore(y, texel_of(octet_at / 2u), octet); } }",
            ]
        );
    }
}
