//! Model files: what valid ones give, and that broken and hostile ones are refused in words, without
//! panics and without large allocations.
//!
//! Longer than most files: every kind of file is broken in the same ways, under one counting allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use aquatint::tensor::format;
use aquatint::tensor::{FORMATS, Shape};
use aquatint::weights::gguf::{self, NewTensor};
use aquatint::weights::{Container, Metadata, Value, Weights};

/// What opening any of the small files here may hold at once.
const ALLOCATED_MAX: isize = 64 << 20;

/// Counts the bytes that this thread holds.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends frees after its counters are gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: everything is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("aquatint-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        Folder(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("the temporary folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a file, looks at all it says, and checks what that took.
fn open(path: &Path) -> aquatint::Result<Weights> {
    let before = LIVE.get();
    PEAK.set(before);
    let result = Weights::open(path);
    let took = PEAK.get() - before;
    assert!(took <= ALLOCATED_MAX, "{} took {took} bytes", path.display());
    if let Ok(weights) = &result {
        for tensor in weights.tensors() {
            let row_bytes = tensor.format.row_bytes(tensor.shape.n_columns()).expect("whole rows");
            assert_eq!(weights.bytes(tensor).len(), tensor.shape.n_rows() * row_bytes);
            assert_eq!(weights.row(tensor, tensor.shape.n_rows() - 1).len(), row_bytes);
        }
        for (key, value) in weights.metadata().iter() {
            let _ = (value.to_string(), weights.metadata().optional::<u64>(key));
        }
    }
    result
}

fn refusal(path: &Path) -> String {
    match open(path) {
        Ok(weights) => panic!("{} was accepted: {weights:?}", path.display()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_refused(path: &Path, fragments: &[&str]) {
    let message = refusal(path);
    for fragment in fragments {
        assert!(message.contains(fragment), "expected {fragment:?} in: {message}");
    }
}

// Valid files.

fn sample_metadata() -> Metadata {
    let mut metadata = Metadata::new("sample");
    for (key, value) in [
        ("general.architecture", Value::String("llama".into())),
        ("llama.block_count", Value::U32(2)),
        ("llama.rope.freq_base", Value::F32(10000.1)),
        ("a.u8", Value::U8(255)),
        ("a.i8", Value::I8(-128)),
        ("a.u16", Value::U16(65535)),
        ("a.i16", Value::I16(-32768)),
        ("a.i32", Value::I32(-5)),
        ("a.u64", Value::U64(u64::MAX)),
        ("a.i64", Value::I64(i64::MIN)),
        ("a.f64", Value::F64(0.1)),
        ("a.bool", Value::Bool(true)),
        ("many.u8", Value::U8s(vec![1, 2])),
        ("many.i8", Value::I8s(vec![-1, 2])),
        ("many.u16", Value::U16s(vec![1, 2])),
        ("many.i16", Value::I16s(vec![-1, 2])),
        ("many.u32", Value::U32s(vec![8, 4, 4])),
        ("many.i32", Value::I32s(vec![1, -1])),
        ("many.u64", Value::U64s(vec![1])),
        ("many.i64", Value::I64s(vec![-1])),
        ("many.f32", Value::F32s(vec![0.5, -1.0])),
        ("many.f64", Value::F64s(vec![0.1])),
        ("many.bool", Value::Bools(vec![true, false])),
        ("tokenizer.ggml.tokens", Value::Strings(vec!["<s>".into(), "".into(), "é".into()])),
        ("none", Value::U32s(vec![])),
    ] {
        metadata.insert(key, value).unwrap();
    }
    metadata
}

/// Two rows of 256 weights in every format, and a vector.
fn sample_tensors() -> Vec<(NewTensor, Vec<u8>)> {
    let mut tensors: Vec<_> = FORMATS
        .iter()
        .map(|format| {
            let name = format!("blk.0.{}.weight", format.name.to_lowercase());
            let n_bytes = 2 * format.row_bytes(256).unwrap();
            let bytes = (0..n_bytes).map(|i| i as u8).collect();
            (NewTensor { name, shape: Shape::from([2, 256]), format }, bytes)
        })
        .collect();
    let norm = NewTensor { name: "norm".into(), shape: Shape::from([5]), format: &FORMATS[0] };
    tensors.push((norm, vec![1; 20]));
    tensors
}

fn gguf_sample() -> Vec<u8> {
    let (tensors, data): (Vec<_>, Vec<_>) = sample_tensors().into_iter().unzip();
    let mut bytes = Vec::new();
    let path = Path::new("sample");
    gguf::write_to(&mut bytes, path, &sample_metadata(), &tensors, |i| Ok(Cow::Borrowed(&data[i]))).unwrap();
    bytes
}

/// A safetensors file of (name, dtype, shape, bytes).
fn safetensors_file(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let mut header = String::from("{\"__metadata__\":{\"format\":\"pt\"}");
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let (start, end) = (data.len(), data.len() + bytes.len());
        header += &format!(
            ",{name:?}:{{\"dtype\":{dtype:?},\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
        );
        data.extend_from_slice(bytes);
    }
    header += "}";
    with_header(&header, &data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn safetensors_sample() -> Vec<u8> {
    safetensors_file(&[
        ("embeddings.word_embeddings.weight", "F32", &[3, 8], &[1; 96]),
        ("embeddings.position_ids", "I64", &[1, 4], &[2; 32]),
        ("encoder.weight", "BF16", &[4, 8], &[3; 64]),
        ("encoder.bias", "F16", &[4], &[4; 8]),
        ("encoder.mask", "BOOL", &[4], &[1; 4]),
        ("scaled.weight", "F8_E4M3", &[2, 2], &[5; 4]),
        ("scalar", "F32", &[], &[0; 4]),
        ("nothing", "F32", &[0, 4], &[]),
        ("twelve_characters_and_more.weight", "F32", &[64, 1], &[6; 256]),
    ])
}

/// dim 8, hidden 12, 2 layers, 4 heads of 2, 2 kv heads, 5 tokens, length 3.
fn llama2c_sample(vocab_size: i32) -> Vec<u8> {
    let header = [8, 12, 2, 4, 2, vocab_size, 3];
    let per_layer = 8 + 64 + 2 * 32 + 64 + 8 + 3 * 96;
    let output = if vocab_size < 0 { 40 } else { 0 };
    let n_values = 40 + 2 * per_layer + 8 + 3 * 2 + output;
    let mut bytes: Vec<u8> = header.iter().flat_map(|n: &i32| n.to_le_bytes()).collect();
    bytes.extend((0..n_values).flat_map(|i| (i as f32).to_le_bytes()));
    bytes
}

#[test]
fn gguf_gives_back_what_was_written() {
    let folder = Folder::new("gguf");
    let weights = open(&folder.write("model.gguf", gguf_sample())).unwrap();
    assert_eq!(weights.container(), Container::Gguf);
    assert!(weights.metadata().iter().eq(sample_metadata().iter()));

    let written = sample_tensors();
    assert_eq!(weights.tensors().len(), written.len());
    for (tensor, (expected, bytes)) in weights.tensors().zip(&written) {
        assert_eq!(
            (&tensor.name, &tensor.shape, tensor.format),
            (&expected.name, &expected.shape, expected.format)
        );
        assert_eq!(weights.bytes(tensor), bytes);
        assert_eq!(tensor.bytes.start % 32, 0);
        weights.prefetch(tensor);
    }
    assert_eq!(weights.total_bytes(), written.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    assert!(weights.config().is_none());
}

#[test]
fn metadata_is_typed_and_says_what_it_found() {
    let metadata = sample_metadata();
    assert_eq!(metadata.u32(&metadata.arch_key("block_count").unwrap()).unwrap(), 2);
    assert_eq!(metadata.f32("llama.rope.freq_base").unwrap(), 10000.1);
    assert_eq!(metadata.u64("a.u64").unwrap(), u64::MAX);
    assert_eq!(metadata.required::<i64>("a.i8").unwrap(), -128);
    assert_eq!(metadata.required::<Vec<i64>>("many.u32").unwrap(), [8, 4, 4]);
    assert_eq!(metadata.required::<&[f32]>("many.f32").unwrap(), [0.5, -1.0]);
    assert!(metadata.bool("a.bool").unwrap());
    assert_eq!(metadata.strings("tokenizer.ggml.tokens").unwrap()[2], "é");
    assert_eq!(metadata.optional::<u32>("absent").unwrap(), None);

    let message = |result: aquatint::Result<u32>| result.unwrap_err().to_string();
    assert_eq!(
        message(metadata.u32("absent")),
        "sample: key absent is missing; expected an integer from 0 to 4294967295"
    );
    assert_eq!(
        message(metadata.u32("a.i32")),
        "sample: key a.i32: expected an integer from 0 to 4294967295, found the integer -5"
    );
    assert!(message(metadata.u32("general.architecture")).ends_with("found the string \"llama\""));
    assert!(message(metadata.u32("many.f32")).ends_with("found an array of 2 f32"));
    assert!(metadata.f32("a.u8").unwrap_err().to_string().ends_with("found the integer 255"));
    assert!(
        sample_metadata()
            .insert("a.u8", Value::U8(1))
            .unwrap_err()
            .to_string()
            .contains("a.u8 appears twice")
    );
}

#[test]
fn safetensors_lists_weights_and_sets_other_types_aside() {
    let folder = Folder::new("safetensors");
    let path = folder.write("model.safetensors", safetensors_sample());
    assert!(open(&path).unwrap().config().is_none());
    folder.write("config.json", "{\"model_type\": \"bert\"}");

    for path in [&path, &folder.0] {
        let weights = open(path).unwrap();
        assert_eq!(weights.container(), Container::Safetensors);
        assert_eq!(weights.config().unwrap()["model_type"], "bert");
        let names: Vec<_> = weights.tensors().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names[..2], ["embeddings.word_embeddings.weight", "encoder.weight"]);
        let tensor = weights.tensor("encoder.weight").unwrap();
        assert_eq!((tensor.shape.to_string(), tensor.format.name), ("(4, 8)".into(), "BF16"));
        assert_eq!(weights.bytes(tensor), [3; 64]);
        assert_eq!(weights.tensor("scalar").unwrap().shape, Shape::from([]));
        assert!(weights.find("encoder.mask").is_none());

        let message = |name| weights.tensor(name).unwrap_err().to_string();
        assert!(
            message("embeddings.position_ids")
                .contains("stored as I64, which is not supported; supported: F32")
        );
        assert!(message("scaled.weight").contains("stored as F8_E4M3"));
        assert!(message("nothing").contains("stored as F32 without elements"));
        assert!(message("pooler.weight").starts_with("tensor pooler.weight: not among the 5 tensors of "));
    }
}

#[test]
fn shards_are_one_model() {
    let folder = Folder::new("shards");
    folder.write("config.json", "{}");
    folder.write("a.safetensors", safetensors_file(&[("x", "F32", &[2], &[1; 8])]));
    folder.write(
        "b.safetensors",
        safetensors_file(&[("y", "F16", &[2], &[2; 4]), ("ids", "I64", &[1], &[0; 8])]),
    );
    let index =
        |map: &str| folder.write("model.safetensors.index.json", format!("{{\"weight_map\":{{{map}}}}}"));

    index("\"x\":\"a.safetensors\",\"y\":\"b.safetensors\",\"ids\":\"b.safetensors\"");
    let weights = open(&folder.0).unwrap();
    assert_eq!(weights.files().len(), 2);
    assert_eq!(weights.bytes(weights.tensor("y").unwrap()), [2; 4]);
    assert_eq!(weights.total_bytes(), 12);
    // Files are not changed while they are mapped.
    drop(weights);

    index("\"x\":\"a.safetensors\",\"y\":\"a.safetensors\"");
    assert_refused(&folder.0, &["says that tensor y is in ", "a.safetensors, where it is not"]);
    for escape in ["../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", "", "c:a", "a\\\\b"] {
        index(&format!("\"x\":\"{escape}\""));
        assert_refused(&folder.0, &["is not the name of a file in this folder"]);
    }
    index("\"x\":5");
    assert_refused(&folder.0, &["tensor x: expected the name of a file, found 5"]);
    index("");
    assert_refused(&folder.0, &["lists no tensors"]);
    index("\"x\":\"absent.safetensors\"");
    assert_refused(&folder.0, &["absent.safetensors: "]);
    folder.write(
        "b.safetensors",
        safetensors_file(&[("x", "F32", &[2], &[1; 8]), ("y", "F16", &[1], &[1; 2])]),
    );
    index("\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"");
    assert_refused(&folder.0, &["b.safetensors: tensor x is in an earlier file, too"]);
}

#[test]
fn llama2c_has_the_names_and_keys_of_gguf() {
    let folder = Folder::new("llama2c");
    for (vocab_size, n_tensors) in [(5, 20), (-5, 21)] {
        let weights = open(&folder.write("model.bin", llama2c_sample(vocab_size))).unwrap();
        assert_eq!(weights.container(), Container::Llama2c);
        assert_eq!(weights.tensors().len(), n_tensors);
        let metadata = weights.metadata();
        assert_eq!(metadata.architecture().unwrap(), "llama");
        for (suffix, expected) in [
            ("embedding_length", 8),
            ("attention.head_count_kv", 2),
            ("vocab_size", 5),
            ("context_length", 3),
        ] {
            assert_eq!(metadata.u32(&metadata.arch_key(suffix).unwrap()).unwrap(), expected);
        }
        // Values count up through the file: 40 of the embedding, 2 x 8 norms, 2 x 64 q, then k.
        let k = weights.tensor("blk.1.attn_k.weight").unwrap();
        assert_eq!(k.shape.to_string(), "(4, 8)");
        assert_eq!(weights.bytes(k)[..4], ((40 + 16 + 128 + 32) as f32).to_le_bytes());
        if vocab_size < 0 {
            let output = weights.tensor("output.weight").unwrap();
            assert_eq!(output.bytes.end, llama2c_sample(vocab_size).len());
        }
    }
}

#[test]
fn the_real_story_model_opens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories260K.bin");
    let weights = open(&path).unwrap();
    assert_eq!(weights.tensors().len(), 1 + 5 * 9 + 1);
    assert_eq!(weights.metadata().u32("llama.block_count").unwrap(), 5);
    assert_eq!(weights.tensor("token_embd.weight").unwrap().shape.to_string(), "(512, 64)");
    assert!(weights.find("output.weight").is_none());
    // A norm of a trained model is near one: the arrays are where we think.
    let norm = weights.bytes(weights.tensor("output_norm.weight").unwrap());
    let values = norm.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    assert!(values.clone().all(|value| (0.0..20.0).contains(&value)) && values.sum::<f32>() > 32.0);
}

// Broken files.

/// Opens 3,000 damaged versions: cut off, with one bit flipped, with 8 bytes overwritten.
fn survives_damage(name: &str, valid: &[u8]) {
    let folder = Folder::new(&format!("damage-{name}"));
    assert!(valid.len() >= 1000);
    assert!(open(&folder.write(name, valid)).is_ok());
    let mut n_refused = 0;
    let mut check = |bytes: &[u8]| {
        if let Err(error) = open(&folder.write(name, bytes)) {
            assert!(!error.to_string().is_empty());
            n_refused += 1;
        }
    };
    for i in 0..1000 {
        check(&valid[..i * valid.len() / 1000]);
    }
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for i in 0..2000 {
        let mut bytes = valid.to_vec();
        // Half of all damage is near the start, where the counts and the first keys are.
        let range = if i % 2 == 0 { valid.len().min(400) } else { valid.len() };
        if i < 1000 {
            bytes[random(range)] ^= 1 << random(8);
        } else {
            let at = random(range - 8);
            let words = [u64::MAX, u64::MAX / 8, 1 << 63, 1 << 32, 1 << 31, 0, 1 << 24, 65536];
            bytes[at..at + 8].copy_from_slice(&words[random(words.len())].to_le_bytes());
        }
        check(&bytes);
    }
    assert!(n_refused >= 1000, "only {n_refused} of 3000 damaged files were refused");
}

#[test]
fn damaged_gguf_is_refused_or_read() {
    survives_damage("model.gguf", &gguf_sample());
}

#[test]
fn damaged_safetensors_is_refused_or_read() {
    survives_damage("model.safetensors", &safetensors_sample());
}

#[test]
fn damaged_llama2c_is_refused_or_read() {
    survives_damage("model.bin", &llama2c_sample(-5));
}

// Hostile files.

fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

/// key | type | value
fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&string(name), &kind.to_le_bytes()[..], value].concat()
}

/// name | rank | extents, contiguous first | type | offset
fn entry(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend((dims.len() as u32).to_le_bytes());
    bytes.extend(dims.iter().flat_map(|extent| extent.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

/// A file of these keys and tensors, with 256 bytes of data.
fn gguf_of(keys: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = gguf_counts(3, tensors.len() as u64, keys.len() as u64);
    bytes.extend(keys.concat());
    bytes.extend(tensors.concat());
    bytes.resize(bytes.len().next_multiple_of(32) + 256, 0);
    bytes
}

fn gguf_counts(version: u32, n_tensors: u64, n_keys: u64) -> Vec<u8> {
    [b"GGUF", &version.to_le_bytes()[..], &n_tensors.to_le_bytes(), &n_keys.to_le_bytes()].concat()
}

const U32: u32 = 4;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const F32: u32 = 0;
const Q4_0: u32 = 2;

#[test]
fn hostile_gguf_is_refused_in_words() {
    let array = |kind: u32, n: u64| [&kind.to_le_bytes()[..], &n.to_le_bytes()].concat();
    let nested = |depth: usize| {
        let mut value = Vec::new();
        (0..depth).for_each(|_| value.extend(array(ARRAY, 1)));
        value
    };
    let alignment = |n: u32| key("general.alignment", U32, &n.to_le_bytes());
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (gguf_counts(1, 0, 0), &["GGUF version 1 is not supported"]),
        (gguf_counts(4, 0, 0), &["GGUF version 4 is not supported; supported: 2, 3"]),
        (gguf_counts(3u32.swap_bytes(), 0, 0), &["big-endian GGUF is not supported"]),
        (b"GGUF".to_vec(), &["the version needs 4 bytes at byte 4, 0 remain"]),
        (
            gguf_counts(3, u64::MAX, 0),
            &["the number of tensors: a count of 18446744073709551615 needs at least"],
        ),
        (gguf_counts(3, 0, 1 << 60), &["the number of keys: a count of 1152921504606846976", "0 remain"]),
        (
            gguf_of(&[key("a", U32, &[1, 0, 0, 0]), key("a", U32, &[2, 0, 0, 0])], &[]),
            &["key a appears twice"],
        ),
        (gguf_of(&[key("a", 13, &[])], &[]), &["key a: unknown type 13"]),
        (gguf_of(&[key("a", BOOL, &[2])], &[]), &["key a: expected 0 or 1 for a boolean, found 2"]),
        (gguf_of(&[key("a", ARRAY, &array(13, 1))], &[]), &["key a: unknown array type 13"]),
        (
            gguf_of(&[key("a", ARRAY, &array(U32, 1 << 62))], &[]),
            &["key a: a count of 4611686018427387904 needs"],
        ),
        (
            gguf_of(&[key("a", ARRAY, &array(STRING, 1 << 40))], &[]),
            &["key a: a count of 1099511627776 needs at least"],
        ),
        (gguf_of(&[key("a", ARRAY, &nested(100_000))], &[]), &["key a: arrays of arrays are not supported"]),
        (
            gguf_of(&[key("a", STRING, &u64::MAX.to_le_bytes())], &[]),
            &["key a needs 18446744073709551615 bytes"],
        ),
        (gguf_of(&[key("a", STRING, &string([0xFF]))], &[]), &["key a: not UTF-8", "before byte"]),
        (
            gguf_of(&[key(&"k".repeat(65536), U32, &[0; 4])], &[]),
            &["key 0: a string of 65536 bytes is too long; at most 65535"],
        ),
        (
            gguf_of(&[key("a", STRING, &string(vec![b'x'; 17 << 20]))], &[]),
            &["key a: a string of 17825792 bytes is too long"],
        ),
        (gguf_of(&[alignment(0)], &[]), &["general.alignment: expected a power of two up to 65536, found 0"]),
        (gguf_of(&[alignment(24)], &[]), &["found 24"]),
        (gguf_of(&[alignment(1 << 31)], &[]), &["found 2147483648"]),
        (gguf_of(&[key("general.alignment", BOOL, &[1])], &[]), &["expected an integer from 0, found true"]),
        (gguf_of(&[key("split.count", U32, &[3, 0, 0, 0])], &[]), &["one of 3 parts of a model"]),
        (gguf_of(&[], &[entry("t", &[8], F32, 0), entry("t", &[8], F32, 32)]), &["tensor t: appears twice"]),
        (
            gguf_of(&[], &[entry("s", &[16], F32, 0), entry("t", &[8], F32, 32)]),
            &["tensors s and t overlap at byte"],
        ),
        (gguf_of(&[], &[entry("t", &[], F32, 0)]), &["tensor t: expected 1 to 4 dimensions, found 0"]),
        (gguf_of(&[], &[entry("t", &[1; 5], F32, 0)]), &["tensor t: expected 1 to 4 dimensions, found 5"]),
        (gguf_of(&[], &[entry("t", &[8, 0], F32, 0)]), &["tensor t: a dimension of 0 is not possible"]),
        (
            gguf_of(&[], &[entry("t", &[33], Q4_0, 0)]),
            &["tensor t: a row of 33 weights is not a whole number of Q4_0 blocks of 32"],
        ),
        (gguf_of(&[], &[entry("t", &[32], 17, 0)]), &["tensor t: IQ2_XS is not supported; supported: F32"]),
        (gguf_of(&[], &[entry("t", &[32], 4711, 0)]), &["tensor t: type 4711 is unknown"]),
        (
            gguf_of(&[], &[entry("t", &[1 << 32; 4], F32, 0)]),
            &["tensor t: (4294967296,", "does not fit in the file, which has 256 bytes"],
        ),
        (gguf_of(&[], &[entry("t", &[u64::MAX], F32, 0)]), &["tensor t:", "too long"]),
        (
            gguf_of(&[], &[entry("t", &[65], F32, 0)]),
            &["tensor t: (65) of F32 at offset 0 of the data does not fit"],
        ),
        (
            gguf_of(&[], &[entry("t", &[8], F32, u64::MAX - 31)]),
            &["offset 18446744073709551584 of the data does not fit"],
        ),
        (
            gguf_of(&[], &[entry("t", &[8], F32, 8)]),
            &["tensor t: offset 8 is not a multiple of the alignment 32"],
        ),
        (
            gguf_of(&[], &[entry(&"n".repeat(1025), &[8], F32, 0)]),
            &["the name of tensor 0: a string of 1025 bytes is too long"],
        ),
    ];
    let folder = Folder::new("hostile-gguf");
    for (bytes, fragments) in cases {
        assert_refused(&folder.write("model.gguf", bytes), fragments);
    }
}

#[test]
fn a_gguf_buffer_of_integers_is_set_aside() {
    let folder = Folder::new("integers-gguf");
    let file = gguf_of(&[], &[entry("ids", &[8], 26, 0), entry("t", &[8], F32, 32)]);
    let weights = open(&folder.write("model.gguf", file)).unwrap();
    assert_eq!(weights.ignored()[0].dtype, "I32");
    assert!(weights.tensor("ids").unwrap_err().to_string().contains("stored as I32"));
}

#[test]
fn hostile_safetensors_is_refused_in_words() {
    let tensor = |shape: &str, start: u64, end: u64| {
        format!("{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{start},{end}]}}")
    };
    let one = |shape: &str, start: u64, end: u64| {
        with_header(&format!("{{\"t\":{}}}", tensor(shape, start, end)), &[0; 8])
    };
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (vec![1, 2, 3], &["3 bytes are too few for a safetensors file"]),
        (vec![0xFF; 64], &["a header of 18446744073709551615 bytes is too long, at most 16777216"]),
        ([&1000u64.to_le_bytes()[..], b"{}"].concat(), &["the header needs 1000 bytes, 2 remain"]),
        (with_header("[]", &[]), &["the header is not valid", "expected an object of tensors by name"]),
        (with_header("{\"t\":", &[]), &["the header is not valid"]),
        ([&2u64.to_le_bytes()[..], b"{\xFF"].concat(), &["the header is not valid"]),
        (with_header(&"[".repeat(1 << 20), &[]), &["the header is not valid"]),
        (with_header(&format!("{{\"t\":{}1", "[".repeat(1 << 20)), &[]), &["the header is not valid"]),
        (
            with_header(&format!("{{\"t\":{},\"t\":{}}}", tensor("[1]", 0, 4), tensor("[1]", 4, 8)), &[0; 8]),
            &["the header is not valid: tensor t appears twice"],
        ),
        (
            with_header(&format!("{{\"s\":{},\"t\":{}}}", tensor("[2]", 0, 8), tensor("[1]", 4, 8)), &[0; 8]),
            &["invalid offset for tensor `t`"],
        ),
        (one("[3]", 0, 8), &["invalid shape, data type, or offset"]),
        (one("[2]", 8, 0), &["invalid offset for tensor `t`"]),
        (one("[2]", 0, 8)[..60].to_vec(), &["the header needs"]),
        (one("[4294967296,4294967296,4294967296]", 0, 8), &["overflow"]),
        (one("[4]", 0, 16), &["not fully covered"]),
        (one("[-1]", 0, 8), &["invalid value: integer `-1`"]),
        (
            with_header("{\"t\":{\"dtype\":\"Q4\",\"shape\":[1],\"data_offsets\":[0,4]}}", &[0; 4]),
            &["unknown variant `Q4`"],
        ),
    ];
    let folder = Folder::new("hostile-safetensors");
    for (bytes, fragments) in cases {
        assert_refused(&folder.write("model.safetensors", bytes), fragments);
    }
}

#[test]
fn hostile_llama2c_is_refused_in_words() {
    let header = |fields: [i32; 7]| fields.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let mut long = llama2c_sample(5);
    long.push(0);
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (vec![1, 2, 3], &["3 bytes are too few for the header of llama2.c"]),
        (b"24ka\x02\0\0\0".to_vec(), &["a later version of the llama2.c file is not supported"]),
        (header([0, 12, 2, 4, 2, 5, 3]), &["not a llama2.c file: dim is 0"]),
        (header([8, 12, -2, 4, 2, 5, 3]), &["not a llama2.c file: n_layers is -2"]),
        (header([8, 12, 2, 4, 2, i32::MIN, 3]), &["not a llama2.c file: vocab_size is 2147483647"]),
        (header([8, 12, 2, 3, 1, 5, 3]), &["dim 8, 3 heads and 1 kv heads do not divide evenly"]),
        (header([1 << 24; 7]), &["do not divide evenly"]),
        (
            header([1 << 24, 1 << 24, 1 << 24, 4, 4, 1 << 24, 1 << 24]),
            &["expected 132226265179", "the file has 28"],
        ),
        (long, &["bytes for llama2.c with dim 8, hidden_dim 12, 2 layers, 2 of 4 heads"]),
    ];
    let folder = Folder::new("hostile-llama2c");
    for (bytes, fragments) in cases {
        assert_refused(&folder.write("model.bin", bytes), fragments);
    }
}

#[test]
fn what_is_no_model_file_is_named() {
    let folder = Folder::new("others");
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("empty.gguf", b"", &["empty.gguf: the file is empty"]),
        ("a.txt", b"hello world", &["not a model file", "found the bytes [68, 65, 6c, 6c]"]),
        ("model.pt", b"PK\x03\x04abc", &["is a PyTorch pickle", "convert it to safetensors"]),
        (
            "pytorch_model.bin",
            b"\x80\x02\x8a\x0a\x6c\xfc",
            &["is a PyTorch pickle", "convert it to safetensors"],
        ),
        ("old.bin", b"tjgg\x03\0\0\0", &["is a GGML file from before GGUF"]),
        ("lfs.gguf", b"version https://git-lfs.github.com/spec/v1\n", &["is a pointer of Git LFS"]),
        ("short", b"x", &["not a model file"]),
    ];
    for (name, bytes, fragments) in cases {
        assert_refused(&folder.write(name, bytes), fragments);
    }
    assert_refused(&folder.0.join("absent.gguf"), &["absent.gguf: "]);

    let folder = Folder::new("folders");
    assert_refused(&folder.0, &["neither model.safetensors nor model.safetensors.index.json"]);
    folder.write("pytorch_model.bin", b"PK\x03\x04abc");
    assert_refused(&folder.0, &["pytorch_model.bin is a PyTorch pickle"]);
    folder.write("model.safetensors", safetensors_sample());
    assert_refused(&folder.0, &["config.json: "]);
    folder.write("config.json", "{\"a\": ");
    assert_refused(&folder.0, &["config.json: not valid"]);
    folder.write("config.json", "[".repeat(100_000));
    assert_refused(&folder.0, &["config.json: not valid: recursion limit exceeded"]);
    folder.write("config.json", " ".repeat(3 << 20));
    assert_refused(&folder.0, &["config.json: 3.0 MiB is too long, at most 2.0 MiB"]);
}

#[test]
fn the_writer_refuses_what_gguf_cannot_hold() {
    let q4_0 = format::by_name("Q4_0").unwrap();
    let write = |shape: Shape, bytes: &'static [u8]| {
        let tensor = NewTensor { name: "t".into(), shape, format: q4_0 };
        let path = Path::new("out");
        gguf::write_to(&mut Vec::new(), path, &Metadata::new("out"), &[tensor], |_| Ok(Cow::Borrowed(bytes)))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(write(Shape::from([2, 32]), &[0; 35]), "tensor t: expected 36 bytes of Q4_0, got 35");
    assert!(write(Shape::from([33]), &[]).contains("is not a whole number of Q4_0 blocks"));
    assert!(write(Shape::from([1, 1, 1, 1, 32]), &[]).contains("cannot be written to GGUF"));
    assert!(write(Shape::from([0, 32]), &[]).contains("cannot be written to GGUF"));
}
