//! Stored weight formats, without a GPU: decoding against reference vectors, the drawn layouts, packing,
//! quantising, and the shaders of the `weight` role.

use aquatint::tensor::format::{self, BAND, FORMATS, Format, SHARED_WGSL};
use safetensors::SafeTensors;

/// Reference blocks and values of the `gguf` package; see `tests/data/README.md`.
const VECTORS: &[u8] = include_bytes!("data/quant_vectors.safetensors");
const N_ROWS: usize = 6;
const N_COLUMNS: usize = 512;

/// Blocks `(6, row bytes)` and their values `(6, 512)` for every format.
fn reference(format: &Format) -> (Vec<u8>, Vec<f32>) {
    let file = SafeTensors::deserialize(VECTORS).expect("the vectors are a safetensors file");
    if let Ok(blocks) = file.tensor(&format!("{}.blocks", format.name)) {
        let values = file.tensor(&format!("{}.values", format.name)).expect("blocks come with values");
        assert_eq!(values.shape(), [N_ROWS, N_COLUMNS]);
        let values = values.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        return (blocks.data().to_vec(), values.collect());
    }
    // Plain numbers have no vectors: every bit pattern decodes by the language's own conversions.
    let mut random = Random(7);
    let values: Vec<f32> = (0..N_ROWS * N_COLUMNS).map(|_| random.normal()).collect();
    match format.name {
        "F32" => (values.iter().flat_map(|v| v.to_le_bytes()).collect(), values),
        "F16" => {
            let halves: Vec<_> = values.iter().map(|&v| half::f16::from_f32(v)).collect();
            (
                halves.iter().flat_map(|v| v.to_le_bytes()).collect(),
                halves.iter().map(|v| v.to_f32()).collect(),
            )
        }
        "BF16" => {
            let halves: Vec<_> = values.iter().map(|&v| half::bf16::from_f32(v)).collect();
            (
                halves.iter().flat_map(|v| v.to_le_bytes()).collect(),
                halves.iter().map(|v| v.to_f32()).collect(),
            )
        }
        name => panic!("no reference vectors for {name}"),
    }
}

#[track_caller]
fn assert_same_bits(format: &Format, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        // The reference of numpy and ours may differ in the sign of a zero.
        let same = got.to_bits() == expected.to_bits() || (*got == 0.0 && *expected == 0.0);
        assert!(same, "{}: weight {i}: expected {expected:e}, got {got:e}", format.name);
    }
}

#[test]
fn every_format_decodes_the_reference_vectors_bit_for_bit() {
    for format in &FORMATS {
        let (bytes, expected) = reference(format);
        let mut got = vec![0.0; expected.len()];
        format.dequantise_row(&bytes, &mut got);
        assert_same_bits(format, &got, &expected);
    }
}

/// Unpacking does the same operations in the same order as decoding a file, for all formats.
#[test]
fn a_packed_tensor_decodes_to_the_same_bits_as_the_file() {
    for format in &FORMATS {
        let (bytes, expected) = reference(format);
        let row_bytes = format.row_bytes(N_COLUMNS).unwrap();
        let row = |i: usize| &bytes[i * row_bytes..][..row_bytes];
        let planes = format::pack_rows(format, row, 0..N_ROWS, N_COLUMNS).unwrap();
        let planes: Vec<&[u32]> = planes.iter().map(Vec::as_slice).collect();
        assert_same_bits(format, &format::unpack(format, &planes, N_ROWS, N_COLUMNS), &expected);

        // A tensor that is cut between bands packs to the same words.
        let row = |i: usize| row(i % N_ROWS);
        let n_rows = BAND + 28;
        let whole = format::pack_rows(format, row, 0..n_rows, N_COLUMNS).unwrap();
        let tail = format::pack_rows(format, row, BAND..n_rows, N_COLUMNS).unwrap();
        for (whole, tail) in whole.iter().zip(&tail) {
            assert!(whole.ends_with(tail), "{}", format.name);
        }
    }
}

#[test]
fn plane_words_are_what_packing_makes() {
    for format in &FORMATS {
        let shape = aquatint::tensor::Shape::from([N_ROWS, N_COLUMNS]);
        let (bytes, _) = reference(format);
        let row_bytes = format.row_bytes(N_COLUMNS).unwrap();
        let planes =
            format::pack_rows(format, |i| &bytes[i * row_bytes..][..row_bytes], 0..N_ROWS, N_COLUMNS)
                .unwrap();
        let words: Vec<usize> = planes.iter().map(Vec::len).collect();
        assert_eq!(words, format.plane_words(&shape), "{}", format.name);
    }
}

#[test]
fn padding_decodes_to_zero() {
    for format in &FORMATS {
        let (bytes, _) = reference(format);
        // 40 columns where the format allows it, else one block of the file.
        let n_columns = if format.block_len == 1 { 40 } else { format.block_len };
        let row_bytes = format.row_bytes(n_columns).unwrap();
        // Four blocks more than the row has: padding columns beyond a whole super-block, too.
        let n_blocks = n_columns.div_ceil(32) + 4;
        let mut planes: Vec<Vec<u32>> =
            format.planes.iter().map(|plane| vec![0; plane.group_words(n_blocks)]).collect();
        let mut slices: Vec<&mut [u32]> = planes.iter_mut().map(Vec::as_mut_slice).collect();
        let rows = [&bytes[..row_bytes], &[], &bytes[row_bytes..2 * row_bytes], &[]];
        (format.pack_group)(rows, n_blocks, &mut slices);

        let slices: Vec<&[u32]> = planes.iter().map(Vec::as_slice).collect();
        for (row, bytes) in rows.iter().enumerate() {
            let mut weights = vec![f32::NAN; n_blocks * 32];
            (format.unpack_row)(&slices, n_blocks, row, &mut weights);
            let mut expected = vec![0.0; n_blocks * 32];
            format.dequantise_row(bytes, &mut expected);
            assert_same_bits(format, &weights, &expected);
            assert!(weights[n_columns..].iter().all(|&w| w == 0.0), "{}", format.name);
        }
    }
}

/// A block written out by hand from the drawing in the format's file.
struct Drawn {
    format: &'static str,
    /// (offset, bytes); all others are `fill`.
    bytes: &'static [(usize, &'static [u8])],
    fill: u8,
    /// (first, last, weight) in order; later entries replace earlier ones.
    weights: &'static [(usize, usize, f32)],
}

// f16: 0.25 = 0x3400, 0.5 = 0x3800, 1 = 0x3C00, -1 = 0xBC00, 1.5 = 0x3E00.
const DRAWN: &[Drawn] = &[
    Drawn { format: "F32", bytes: &[(0, &[0, 0, 0xC0, 0x3F])], fill: 0, weights: &[(0, 0, 1.5)] },
    Drawn { format: "F16", bytes: &[(0, &[0x00, 0x3E])], fill: 0, weights: &[(0, 0, 1.5)] },
    Drawn { format: "BF16", bytes: &[(0, &[0xC0, 0x3F])], fill: 0, weights: &[(0, 0, 1.5)] },
    Drawn {
        format: "Q4_0",
        // d = 0.5; byte 0 of the quants: element 0 is 15 - 8, element 16 is 1 - 8.
        bytes: &[(0, &[0x00, 0x38]), (2, &[0x1F]), (17, &[0x80])],
        fill: 0x88,
        weights: &[(0, 31, 0.0), (0, 0, 3.5), (16, 16, -3.5), (15, 15, -4.0)],
    },
    Drawn {
        format: "Q4_1",
        // d = 0.5, m = -1.
        bytes: &[(0, &[0x00, 0x38, 0x00, 0xBC]), (4, &[0x52])],
        fill: 0,
        weights: &[(0, 31, -1.0), (0, 0, 0.0), (16, 16, 1.5)],
    },
    Drawn {
        format: "Q5_0",
        // d = 0.5; high bits 1 and 31.
        bytes: &[(0, &[0x00, 0x38]), (2, &[0x02, 0, 0, 0x80]), (7, &[0x0F]), (21, &[0x30])],
        fill: 0,
        weights: &[(0, 31, -8.0), (1, 1, 7.5), (31, 31, 1.5)],
    },
    Drawn {
        format: "Q5_1",
        // d = 0.5, m = 1; high bit 16.
        bytes: &[(0, &[0x00, 0x38, 0x00, 0x3C]), (4, &[0, 0, 1, 0]), (8, &[0x21])],
        fill: 0,
        weights: &[(0, 31, 1.0), (0, 0, 1.5), (16, 16, 10.0)],
    },
    Drawn {
        format: "Q8_0",
        bytes: &[(0, &[0x00, 0x34]), (2, &[0x80]), (33, &[0x7F])],
        fill: 0,
        weights: &[(0, 31, 0.0), (0, 0, -32.0), (31, 31, 31.75)],
    },
    Drawn {
        format: "Q2_K",
        // Second half of block 0: s = 3, m = 5. First half of block 5: s = 2, m = 1. d = 0.5, dmin = 0.25.
        bytes: &[(1, &[0x53]), (10, &[0x12]), (80, &[0x00, 0x38, 0x00, 0x34]), (47, &[0x02]), (51, &[0x0C])],
        fill: 0,
        weights: &[(0, 255, 0.0), (16, 31, -1.25), (31, 31, 1.75), (160, 175, -0.25), (163, 163, 2.75)],
    },
    Drawn {
        format: "Q3_K",
        // d = 0.5. Half block 9 (second half of block 4): s = 5 + 32; all others 0 - 32.
        // Element 20 of block 4: low bits 3 (byte 32 + 32 + 20), high bit 4 of byte 20.
        bytes: &[(20, &[0x10]), (84, &[0x03]), (97, &[0x50]), (105, &[0x20]), (108, &[0x00, 0x38])],
        fill: 0,
        weights: &[(0, 255, 64.0), (144, 159, -10.0), (148, 148, 7.5)],
    },
    Drawn {
        format: "Q4_K",
        // d = 0.5, dmin = 0.25. Block 1: s = 2, m = 3. Block 6: s = 4 + 16, m = 5 + 32.
        bytes: &[
            (0, &[0x00, 0x38, 0x00, 0x34]),
            (4, &[0, 0x02, 0x40, 0]),
            (8, &[0, 0x03, 0x80, 0]),
            (14, &[0x54]),
            (23, &[0x90]),
            (143, &[0x0A]),
        ],
        fill: 0,
        weights: &[(0, 255, 0.0), (32, 63, -0.75), (39, 39, 8.25), (192, 223, -9.25), (223, 223, 90.75)],
    },
    Drawn {
        format: "Q5_K",
        // d = dmin = 1. Block 0: s = 1, m = 2. Block 7: s = 1, m = 0.
        bytes: &[
            (0, &[0x00, 0x3C, 0x00, 0x3C]),
            (4, &[0x01]),
            (8, &[0x02]),
            (15, &[0x01]),
            (16, &[0x80, 0, 0, 0, 0, 0x01]),
            (53, &[0x03]),
            (175, &[0xF0]),
        ],
        fill: 0,
        weights: &[(0, 31, -2.0), (5, 5, 17.0), (32, 255, 0.0), (224, 224, 16.0), (255, 255, 15.0)],
    },
    Drawn {
        format: "Q6_K",
        // d = 0.5. First half of block 0: s = -2. Second half of block 7: s = 3.
        bytes: &[
            (1, &[0x05]),
            (127, &[0x70]),
            (129, &[0x03]),
            (191, &[0x80]),
            (192, &[0xFE]),
            (207, &[0x03]),
            (208, &[0x00, 0x38]),
        ],
        fill: 0,
        weights: &[(0, 255, 0.0), (0, 15, 32.0), (1, 1, -21.0), (240, 255, -48.0), (255, 255, 10.5)],
    },
    Drawn {
        format: "IQ4_NL",
        bytes: &[(0, &[0x00, 0x3C]), (2, &[0xF0])],
        fill: 0x88,
        weights: &[(0, 31, 1.0), (0, 0, -127.0), (16, 16, 113.0)],
    },
    Drawn {
        format: "MXFP4",
        // e = 128 with the doubled levels is a scale of 1.
        bytes: &[(0, &[128]), (1, &[0x7F])],
        fill: 0,
        weights: &[(0, 31, 0.0), (0, 0, -12.0), (16, 16, 12.0)],
    },
];

#[test]
fn the_drawn_layouts_are_the_layouts() {
    for format in &FORMATS {
        let drawn = DRAWN.iter().find(|drawn| drawn.format == format.name);
        let drawn = drawn.unwrap_or_else(|| panic!("{} has no drawn block", format.name));
        let mut block = vec![drawn.fill; format.block_bytes];
        for (at, bytes) in drawn.bytes {
            block[*at..][..bytes.len()].copy_from_slice(bytes);
        }
        let mut expected = vec![f32::NAN; format.block_len];
        for &(first, last, weight) in drawn.weights {
            expected[first..=last].fill(weight);
        }
        let mut got = vec![0.0; format.block_len];
        (format.dequantise)(&block, &mut got);
        assert_same_bits(format, &got, &expected);
    }
}

#[test]
fn formats_are_found_by_number_and_name_and_others_refused_by_name() {
    for format in &FORMATS {
        assert_eq!(format::by_gguf_type(format.gguf_type).unwrap(), format);
        assert_eq!(format::by_name(&format.name.to_lowercase()).unwrap(), format);
    }
    let message = |result: aquatint::Result<&Format>| result.unwrap_err().to_string();
    for expected in ["IQ2_XS is not supported", "supported: F32, F16"] {
        assert!(message(format::by_gguf_type(17)).contains(expected));
        assert!(message(format::by_name("iq2_xs")).contains(expected));
    }
    assert!(message(format::by_gguf_type(1000)).contains("type 1000 is unknown"));
    assert!(message(format::by_name("q4")).contains("\"q4\" is not a weight format"));
}

#[test]
fn rows_of_broken_blocks_and_wrong_lengths_are_refused() {
    let q4_k = format::by_name("Q4_K").unwrap();
    let message = q4_k.row_bytes(100).unwrap_err().to_string();
    assert_eq!(message, "a row of 100 weights is not a whole number of Q4_K blocks of 256");
    let message = format::pack_rows(q4_k, |_| &[0; 143], 0..1, 256).unwrap_err().to_string();
    assert_eq!(message, "row 0: expected 144 bytes of Q4_K, got 143");
    let q5_1 = format::by_name("Q5_1").unwrap();
    let message = q5_1.quantise_row(&[0.0; 32]).unwrap_err().to_string();
    assert_eq!(message, "cannot write Q5_1; can write: F32, F16, BF16, Q4_0, Q8_0, Q4_K");
}

/// The bound on each weight's error is half a step of the format, plus the rounding of the f16 scale.
#[test]
fn quantising_stays_within_half_a_step() {
    let mut random = Random(11);
    let values: Vec<f32> = (0..4096).map(|_| random.normal()).collect();
    for format in FORMATS.iter().filter(|format| format.quantise.is_some()) {
        let bytes = format.quantise_row(&values).unwrap();
        let mut decoded = vec![0.0; values.len()];
        format.dequantise_row(&bytes, &mut decoded);
        let mut squares = 0.0;
        let mut squares_expected = 0.0;
        for (chunk, decoded) in values.chunks_exact(32).zip(decoded.chunks_exact(32)) {
            let low = chunk.iter().copied().fold(0.0, f32::min);
            let high = chunk.iter().copied().fold(0.0, f32::max);
            let peak = high.max(-low);
            for (value, decoded) in chunk.iter().zip(decoded) {
                let error = (value - decoded).abs();
                let (bound, step) = match format.name {
                    "F32" => (0.0, 0.0),
                    "F16" => (value.abs() / 2048.0 + 3e-8, 0.0),
                    "BF16" => (value.abs() / 256.0, 0.0),
                    "Q8_0" => (peak / 254.0 + peak / 2048.0, peak / 127.0),
                    // A weight near the end of the range that is one step shorter is clipped to it.
                    "Q4_0" => (peak / 8.0 + peak / 2048.0, peak / 8.0),
                    // Scales are rounded to a 63rd of the largest; weights outside are clipped.
                    "Q4_K" => ((high - low) / 15.0 * 3.0, (high - low) / 15.0),
                    name => panic!("{name} needs a bound here"),
                };
                assert!(error <= bound, "{}: {value} became {decoded}", format.name);
                squares += f64::from(error * error);
                squares_expected += f64::from(step * step) / 12.0;
            }
        }
        if format.block_len > 1 {
            let ratio = (squares / squares_expected).sqrt();
            assert!(ratio < 1.1, "{}: {ratio} times the error of uniform rounding", format.name);
        }
        // All zeros stay zeros, and nothing divides by the zero scale.
        let zeros = format.quantise_row(&[0.0; 256]).unwrap();
        let mut decoded = vec![f32::NAN; 256];
        format.dequantise_row(&zeros, &mut decoded);
        assert!(decoded.iter().all(|&w| w == 0.0), "{}", format.name);
    }
}

/// Joins a role file with all that it may import, as the linker would, and a kernel that calls it.
fn linked(format: &Format) -> String {
    let mut text = String::new();
    for (_, file) in SHARED_WGSL.iter().chain([&format.wgsl]) {
        for line in file.lines().filter(|line| !line.starts_with("import ")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text + "@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            var x: Block;
            x.v[0] = y[id.x];
            let w = load_weights(id.x, id.y & 1u, id.y, id.z);
            let low = quad(w, id.y & 1u, id.z) * prepare(x).v[0];
            let both = scaled(w, low.xy, y[id.y].xy, x.sum_low, x.sum_high);
            y[id.x] = vec4<f32>(both, low.zw) + weight4(id.x, id.y, id.z);
        }"
}

#[test]
fn every_weight_shader_validates_and_binds_its_planes() {
    for format in &FORMATS {
        let text = linked(format);
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(&text, format.wgsl.0)));
        // f16 scales are unpacked into f32, which every adapter we use can do.
        let capabilities = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
        if let Err(error) = validator.validate(&module) {
            panic!("{}", error.emit_to_string_with_path(&text, format.wgsl.0));
        }

        // Group 1 holds the planes, in their order, and each plane is whole elements of its array.
        let mut strides = vec![None; format.planes.len()];
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            if binding.group == 1 {
                let naga::TypeInner::Array { stride, .. } = module.types[variable.ty].inner else {
                    panic!("{}: binding {} is not an array", format.name, binding.binding);
                };
                strides[binding.binding as usize] = Some(stride as usize / 4);
            }
        }
        for (plane, stride) in format.planes.iter().zip(strides) {
            let stride = stride.unwrap_or_else(|| panic!("{}: {} is not bound", format.name, plane.name));
            assert_eq!((plane.words_per_block + plane.words_per_super_block) % stride, 0, "{}", format.name);
        }
    }
}

/// xorshift64*, so that the cases are the same everywhere.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1 << 24) as f32
    }

    /// Close to a standard normal: the sum of 12 uniforms.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}
