//! Tokenizers against golden ids, and chat templates against golden renderings.
//!
//! The vocabularies in `tests/data/text` are small. `AQUATINT_VOCABS` names a folder with more, in llama.cpp's
//! layout: `ggml-vocab-NAME.gguf` with `ggml-vocab-NAME.gguf.inp` and `.out` beside it, and `templates/*.jinja`.
//! The golden tests then cover it too, and fail if it is not there or holds no pair.

use std::path::{Path, PathBuf};

use aquatint::text::{Decode, Encode, GgufVocab, Tokenizer};

#[path = "data/text/gguf.rs"]
mod gguf;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/text").join(name)
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_text(path: impl AsRef<Path>) -> String {
    String::from_utf8(read(path)).expect("test data is UTF-8")
}

/// The folder of further vocabularies, if one is named.
fn more_vocabularies() -> Option<PathBuf> {
    std::env::var_os("AQUATINT_VOCABS").map(PathBuf::from)
}

const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Encodes each text of the `.inp` file and compares with its line of the `.out` file.
fn check_pairs(tokenizer: &Tokenizer, inputs: &str, outputs: &str, name: &str) {
    let texts: Vec<&str> = inputs
        .strip_suffix(SEPARATOR)
        .unwrap_or(inputs)
        .split(SEPARATOR)
        .collect();
    let lines: Vec<&str> = outputs.lines().collect();
    assert_eq!(texts.len(), lines.len() , "{name}: texts and lines");
    let plain = Encode { bos: Some(false), eos: Some(false), ..Encode::default() };
    for (text, line) in texts.iter().zip(lines) {
        let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().expect("an id")).collect();
        let got = tokenizer.encode(text, plain).expect("encodes");
        assert_eq!(got, expected, "{name}: {text:?}");
    }
}

#[test]
fn golden_ids_of_further_vocabularies() {
    let Some(folder) = more_vocabularies() else { return };
    let mut n_pairs = 0;
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("AQUATINT_VOCABS: {}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "gguf"))
        .collect();
    names.sort();
    for path in names {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let tokenizer = match Tokenizer::from_parts(gguf::vocabulary(&path), &name) {
            Ok(tokenizer) => tokenizer,
            Err(error) => panic!("{error}"),
        };
        let with = |suffix: &str| path.with_file_name(format!("{name}.{suffix}"));
        if !with("inp").exists() {
            println!("{tokenizer:?}: loads");
            continue;
        }
        check_pairs(&tokenizer, &read_text(with("inp")), &read_text(with("out")), &name);
        n_pairs += 1;
        println!("{tokenizer:?}: ids equal");
    }
    assert!(n_pairs > 0, "AQUATINT_VOCABS: no pair in {}", folder.display());
}
