//! Tokenizers against golden ids, and chat templates against golden renderings.
//!
//! The vocabularies in `tests/data/text` are small. `AQUATINT_VOCABS` names a folder with more:
//! `ggml-vocab-NAME.gguf` with `.gguf.inp` and `.gguf.out` beside it as llama.cpp has them, `*.tokenizer.json`
//! and `*.model` with `golden.json`, and `templates` with `templates.json`, both as `make.py` writes them. Golden
//! tests then cover that folder too, and fail if a part is missing.
//!
//! Longer than most files: all kinds of tokenizers are compared with the same golden texts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aquatint::text::{
    ChatOptions, ChatTemplate, Companions, Decode, Encode, GgufVocab, Kind, Message, Tokenizer,
    WordPieceOptions,
};
use serde_json::{Value, json};

#[path = "data/text/gguf.rs"]
mod gguf;

const PLAIN: Encode = Encode { special: false, bos: Some(false), eos: Some(false) };
const UNCASED: WordPieceOptions = WordPieceOptions { lowercase: true, strip_accents: true };

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

fn read_json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&read(path)).expect("test data is JSON")
}

/// The folder of further vocabularies, if one is named.
fn more_vocabularies() -> Option<PathBuf> {
    std::env::var_os("AQUATINT_VOCABS").map(PathBuf::from)
}

fn texts_of(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_owned()).collect()
}

fn ids_of(value: &Value) -> Vec<u32> {
    value.as_array().expect("a list").iter().map(|v| v.as_u64().expect("an id") as u32).collect()
}

/// A byte-level BPE vocabulary from its short form.
fn byte_bpe_vocab(name: &str) -> GgufVocab {
    let short = read_json(data(name));
    let (first, last) = (texts_of(&short["control_first"]), texts_of(&short["control_last"]));
    let merges: Vec<String> = short["merges"].as_str().expect("text").lines().map(str::to_owned).collect();
    let bytes = short["bytes"].as_str().expect("text").chars().map(String::from);
    let normal: Vec<String> = bytes.chain(merges.iter().map(|merge| merge.replace(' ', ""))).collect();
    let class = |n: usize, class: i32| std::iter::repeat_n(class, n);
    GgufVocab {
        model: "gpt2".into(),
        pre: short["pre"].as_str().map(str::to_owned),
        token_types: class(first.len(), 3)
            .chain(class(normal.len(), 1))
            .chain(class(last.len(), 3))
            .collect(),
        tokens: first.into_iter().chain(normal).chain(last).collect(),
        merges,
        bos: short["bos"].as_u64().map(|id| id as u32),
        eos: short["eos"].as_u64().map(|id| id as u32),
        add_bos: short["add_bos"].as_bool(),
        chat_template: short["chat_template"].as_str().map(str::to_owned),
        ..GgufVocab::default()
    }
}

fn gpt2() -> Tokenizer {
    Tokenizer::from_parts(byte_bpe_vocab("gpt-2.json"), "gpt-2").expect("loads")
}

fn smollm2() -> Tokenizer {
    Tokenizer::from_parts(byte_bpe_vocab("smollm2.json"), "smollm2").expect("loads")
}

/// BERT as a GGUF file has it: `▁` marks the starts of words.
fn bert_gguf() -> Tokenizer {
    let text = read_text(data("bert.txt"));
    let special = |line: &str| ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].contains(&line);
    let piece = |line: &str| match line.strip_prefix("##") {
        Some(rest) => rest.to_owned(),
        None if special(line) => line.to_owned(),
        None => format!("▁{line}"),
    };
    let vocab = GgufVocab {
        model: "bert".into(),
        tokens: text.lines().map(piece).collect(),
        token_types: text.lines().map(|line| if special(line) { 3 } else { 1 }).collect(),
        ..GgufVocab::default()
    };
    Tokenizer::from_parts(vocab, "bert").expect("loads")
}

fn bert() -> Tokenizer {
    Tokenizer::from_vocab_txt(&read(data("bert.txt")), "bert.txt", UNCASED).expect("loads")
}

fn sentencepiece(name: &str) -> Tokenizer {
    Tokenizer::from_sentencepiece(&read(data(name)), name).expect("loads")
}

fn tok512() -> Tokenizer {
    Tokenizer::from_llama2c(&read(data("tok512.bin")), "tok512.bin").expect("loads")
}

const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Encodes each text of the `.inp` file and compares with its line of the `.out` file.
fn check_pairs(tokenizer: &Tokenizer, inputs: &str, outputs: &str, name: &str) {
    let texts: Vec<&str> = inputs.strip_suffix(SEPARATOR).unwrap_or(inputs).split(SEPARATOR).collect();
    let lines: Vec<&str> = outputs.lines().collect();
    assert_eq!(texts.len(), lines.len(), "{name}: texts and lines");
    for (text, line) in texts.iter().zip(lines) {
        let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().expect("an id")).collect();
        let got = tokenizer.encode(text, PLAIN).expect("encodes");
        assert_eq!(got, expected, "{name}: {text:?}");
    }
}

#[test]
fn golden_ids() {
    let texts = read_text(data("texts.inp"));
    check_pairs(&gpt2(), &texts, &read_text(data("gpt-2.out")), "gpt-2");
    check_pairs(&bert_gguf(), &texts, &read_text(data("bert.out")), "bert, GGUF");
    check_pairs(&bert(), &texts, &read_text(data("bert.out")), "bert, vocab.txt");
    if let Some(folder) = more_vocabularies() {
        check_folder(&folder);
        check_golden(&folder);
    }
}

/// `*.tokenizer.json` and `*.model` files against the reference programs' ids and texts in `golden.json`.
fn check_golden(folder: &Path) {
    let golden = read_json(folder.join("golden.json"));
    let texts = texts_of(&golden["texts"]);
    let mut differ = vec![];
    for entry in golden["files"].as_array().expect("a list") {
        let name = entry["file"].as_str().expect("a name");
        let path = folder.join(name);
        let tokenizer = match path.extension().and_then(|e| e.to_str()) {
            Some("model") => Tokenizer::from_sentencepiece(&read(&path), name),
            Some("json") => Tokenizer::from_json(&read(&path), name),
            Some("gguf") => Tokenizer::from_parts(gguf::vocabulary(&path), name),
            Some("tiktoken") => Tokenizer::from_tiktoken(&read(&path), name, "qwen2", &[]),
            _ => panic!("{name}: no loader"),
        };
        let tokenizer = tokenizer.expect("loads");
        let options = match name.ends_with(".json") {
            true => Encode { special: true, ..Encode::default() },
            false => Encode { special: !name.ends_with(".model"), ..PLAIN },
        };
        for (i, text) in texts.iter().enumerate() {
            let expected = ids_of(&entry["ids"][i]);
            let got = tokenizer.encode(text, options).expect("encodes");
            if got != expected {
                differ.push(format!("{name}: {text:?}: expected {expected:?}\n  found {got:?}"));
            }
            // SentencePiece writes unknown tokens as a sign of its own.
            let decoded = entry["decoded"][i].as_str().expect("text");
            let found = tokenizer.decode(&expected);
            if found != decoded && !decoded.contains('⁇') {
                differ.push(format!("{name}: {expected:?}: expected {decoded:?}\n  found {found:?}"));
            }
        }
        check_streams(&tokenizer, name, 40);
        println!("{tokenizer:?}: {} texts, ends {:?}", texts.len(), tokenizer.end_ids());
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

fn check_folder(folder: &Path) {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("AQUATINT_VOCABS: {}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "gguf"))
        .collect();
    names.sort();
    let mut n_pairs = 0;
    for path in names {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let tokenizer = Tokenizer::from_parts(gguf::vocabulary(&path), &name).expect("loads");
        let with = |suffix: &str| path.with_file_name(format!("{name}.{suffix}"));
        let checked = match with("inp").exists() {
            true => {
                check_pairs(&tokenizer, &read_text(with("inp")), &read_text(with("out")), &name);
                n_pairs += 1;
                "ids equal"
            }
            false => "loads",
        };
        println!("{tokenizer:?}: {checked}; ends {:?}", tokenizer.end_ids());
        check_streams(&tokenizer, &name, 40);
    }
    assert!(n_pairs > 0, "AQUATINT_VOCABS: no pair in {}", folder.display());
}

/// Ids of SmolLM2 by llama.cpp and by the model hub's library.
#[test]
fn smollm2_ids() {
    let tokenizer = smollm2();
    let ids = |text: &str| tokenizer.encode(text, Encode::default()).expect("encodes");
    assert_eq!(ids("The capital of France is"), [504, 3575, 282, 4649, 314]);
    assert_eq!(ids("Once upon a time"), [6403, 1980, 253, 655]);
    let text = "Hello, wörld! 12345 naïve 日本語 🙂";
    let expected = [
        19556, 28, 267, 29989, 400, 17, 216, 33, 34, 35, 36, 37, 15486, 46494, 17097, 241, 115, 40993, 179,
        120, 248, 47526,
    ];
    assert_eq!(ids(text), expected);
    assert_eq!(tokenizer.decode(&expected), text);
    assert_eq!((tokenizer.adds_bos(), tokenizer.adds_eos()), (false, false));
    assert_eq!(tokenizer.end_ids(), [0, 2]);
    assert_eq!((tokenizer.n_vocab(), tokenizer.kind()), (49_152, Kind::ByteBpe));
    assert_eq!(tokenizer.piece(7042), Some("ĠParis"));
    assert_eq!(tokenizer.piece_bytes(7042), b" Paris");
    // Bytes that the vocabulary lacks are left out.
    assert_eq!(tokenizer.decode(&ids("a\u{4}b")), "ab");
}

#[test]
fn special_tokens_are_text_unless_asked_for() {
    let tokenizer = smollm2();
    let text = "<|im_start|>user\nHi<|im_end|>\n";
    let special = Encode { special: true, ..Encode::default() };
    let ids = tokenizer.encode(text, special).expect("encodes");
    assert_eq!((ids[0], ids[ids.len() - 2]), (1, 2));
    let plain = tokenizer.encode(text, Encode::default()).expect("encodes");
    assert!(!plain.contains(&1) && !plain.contains(&2));
    assert_eq!(tokenizer.decode(&plain), text);
    assert_eq!(tokenizer.decode(&ids), "user\nHi\n");
    let shown = Decode { special: true, ..Decode::default() };
    assert_eq!(tokenizer.decode_with(&ids, shown), text);
    let framed = Encode { bos: Some(true), eos: Some(true), ..Encode::default() };
    assert_eq!(tokenizer.encode("", framed).expect("encodes"), [1, 2]);
    assert_eq!(tokenizer.piece_bytes(1), b"");
}

#[test]
fn sentencepiece_ids() {
    let golden = read_json(data("sentencepiece.json"));
    let texts = texts_of(&golden["texts"]);
    for kind in ["bpe", "unigram"] {
        let tokenizer = sentencepiece(&format!("{kind}.model"));
        for (i, text) in texts.iter().enumerate() {
            let got = tokenizer.encode(text, PLAIN).expect("encodes");
            assert_eq!(got, ids_of(&golden[kind][i]), "{kind}: {text:?}");
            if !got.contains(&0) {
                let decoded = golden[format!("{kind}_decoded")][i].as_str().expect("text");
                assert_eq!(tokenizer.decode(&got), decoded, "{kind}: {text:?}");
            }
        }
    }
}

/// The start of the story that stories260K tells from the bos token alone, as upstream prints it.
#[test]
fn llama2c_ids() {
    let tokenizer = tok512();
    let ids =
        [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267];
    let text = tokenizer.decode(&ids);
    assert!(text.starts_with("Once upon a time, there was a little girl named Lily."), "{text}");
    let encoded = tokenizer.encode(&text, Encode::default()).expect("encodes");
    assert_eq!(tokenizer.decode(&encoded), text);
    assert_eq!(encoded[..11], ids[..11]);
    assert_eq!((tokenizer.n_vocab(), tokenizer.bos(), tokenizer.eos()), (512, Some(1), Some(2)));
    // Generation goes on behind a prompt: the blank before a word stays.
    let mut stream = tokenizer.decode_stream(Decode { start: false, ..Decode::default() });
    assert_eq!(stream.push(403).as_deref(), Some(" Once"));
}

/// A `tokenizer.json` of the same vocabulary gives the same ids, with the hub's own algorithm.
#[test]
fn tokenizer_json_agrees() {
    let vocab = byte_bpe_vocab("gpt-2.json");
    let added = json!({"id": 50256, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true});
    let map: serde_json::Map<String, Value> =
        vocab.tokens.iter().zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
    let file = json!({"version": "1.0",
        "truncation": {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "x"},
        "added_tokens": [added], "normalizer": null, "pre_tokenizer": byte_level, "post_processor": byte_level,
        "decoder": byte_level, "model": {"type": "BPE", "vocab": map, "merges": vocab.merges, "dropout": 0.5}});
    let hub = Tokenizer::from_json(file.to_string().as_bytes(), "gpt-2 tokenizer.json").expect("loads");
    assert_eq!((hub.kind(), hub.n_vocab(), hub.end_ids()), (Kind::ByteBpe, 50_257, &[50_256][..]));
    assert_agree(&hub, &gpt2());

    let merges = format!("#version: 0.2\n{}", vocab.merges.join("\n"));
    let listed = Tokenizer::from_vocab_and_merges(
        json!(map).to_string().as_bytes(),
        merges.as_bytes(),
        "vocab.json",
        "gpt-2",
    );
    assert_agree(&listed.expect("loads"), &gpt2());

    let text = read_text(data("bert.txt"));
    let map: serde_json::Map<String, Value> =
        text.lines().zip(0u32..).map(|(token, id)| (token.to_owned(), id.into())).collect();
    let added = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let file = json!({"version": "1.0",
        "added_tokens": [added(0, "[PAD]"), added(100, "[UNK]"), added(101, "[CLS]"), added(102, "[SEP]"), added(103, "[MASK]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": map}});
    let hub = Tokenizer::from_json(file.to_string().as_bytes(), "bert tokenizer.json").expect("loads");
    assert_agree(&hub, &bert());
    assert_agree(&hub, &bert_gguf());
    let ids = hub.encode("The cat sits on the mat.", Encode::default()).expect("encodes");
    assert_eq!(ids, [101, 1996, 4937, 7719, 2006, 1996, 13523, 1012, 102]);
    assert_eq!(hub.decode(&ids), "the cat sits on the mat.");
    assert_eq!((hub.cls(), hub.sep(), hub.mask()), (Some(101), Some(102), Some(103)));
}

fn assert_agree(a: &Tokenizer, b: &Tokenizer) {
    assert_eq!(a.n_vocab(), b.n_vocab());
    for text in random_texts(300) {
        for special in [false, true] {
            let options = Encode { special, ..Encode::default() };
            let (left, right) = (a.encode(&text, options), b.encode(&text, options));
            let (left, right) = (left.expect("encodes"), right.expect("encodes"));
            assert_eq!(left, right, "{text:?}");
            assert_eq!(a.decode(&left), b.decode(&right), "{text:?}");
        }
    }
}

/// Texts of characters from everywhere, of blanks and of common words, always the same ones.
fn random_texts(n_texts: usize) -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |n: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as u32) % n
    };
    let words = [
        " the",
        "Hello",
        "'ll",
        "12345",
        "  ",
        "\n",
        "\r\n\t",
        "naïve",
        "日本語",
        "🙂",
        "e\u{301}",
        "\u{301}",
        "<|endoftext|>",
        "[MASK]",
        "▁",
        "\0",
        ".",
        "\u{3000}",
    ];
    let mut text = || {
        let n_parts = random(24);
        let mut text = String::new();
        for _ in 0..n_parts {
            match random(4) {
                0 => text.extend(char::from_u32(random(0x11_0000))),
                1 => text.extend(char::from_u32(random(0x3000))),
                2 => text.push(char::from(random(128) as u8)),
                _ => text.push_str(words[random(words.len() as u32) as usize]),
            }
        }
        text
    };
    (0..n_texts).map(|_| text()).collect()
}

fn all() -> Vec<(&'static str, Tokenizer)> {
    vec![
        ("gpt-2", gpt2()),
        ("smollm2", smollm2()),
        ("bert", bert()),
        ("bert, GGUF", bert_gguf()),
        ("bpe", sentencepiece("bpe.model")),
        ("unigram", sentencepiece("unigram.model")),
        ("tok512", tok512()),
        ("bytes", Tokenizer::bytes().expect("loads")),
    ]
}

/// Decoding as ids come gives the text that decoding all of them gives, wherever one looks.
fn check_streams(tokenizer: &Tokenizer, name: &str, n_texts: usize) {
    for text in random_texts(n_texts) {
        let ids = tokenizer.encode(&text, Encode { special: true, ..Encode::default() }).expect("encodes");
        for special in [false, true] {
            let options = Decode { special, ..Decode::default() };
            let mut stream = tokenizer.decode_stream(options);
            let mut streamed = String::new();
            for (i, &id) in ids.iter().enumerate() {
                let piece = stream.push(id);
                assert_ne!(piece.as_deref(), Some(""), "{name}");
                streamed.extend(piece);
                let rest = stream.clone().finish().unwrap_or_default();
                let whole = tokenizer.decode_with(&ids[..=i], options);
                assert_eq!(format!("{streamed}{rest}"), whole, "{name}: {text:?} up to token {i}");
            }
        }
    }
}

#[test]
fn streams_equal_whole_decoding() {
    for (name, tokenizer) in all() {
        check_streams(&tokenizer, name, 200);
        // Ids in any order, some outside the vocabulary, are no valid text but must not differ either.
        let ids: Vec<u32> =
            (0..4000u32).map(|i| i.wrapping_mul(2_654_435_761) % (tokenizer.n_vocab() as u32 + 2)).collect();
        let mut stream = tokenizer.decode_stream(Decode::default());
        let mut streamed: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
        streamed.extend(stream.finish());
        assert_eq!(streamed, tokenizer.decode(&ids), "{name}");
    }
}

#[test]
fn byte_level_tokenizers_lose_nothing() {
    for (name, tokenizer) in
        [("gpt-2", gpt2()), ("bytes", Tokenizer::bytes().expect("loads")), ("tok512", tok512())]
    {
        for text in random_texts(2000) {
            let ids = tokenizer.encode(&text, PLAIN).expect("encodes");
            // SentencePiece cannot tell `▁` from a blank.
            let expected = if name == "tok512" { text.replace('▁', " ") } else { text.clone() };
            assert_eq!(tokenizer.decode(&ids), expected, "{name}: {text:?}");
        }
    }
}

#[test]
fn offsets_cover_the_text() {
    for (name, tokenizer) in all() {
        for text in random_texts(200) {
            let tokens = tokenizer.encode_with_offsets(&text, Encode::default()).expect("encodes");
            let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
            assert_eq!(ids, tokenizer.encode(&text, Encode::default()).expect("encodes"));
            let mut reached = 0;
            for token in tokens {
                assert!(token.start <= token.end && token.end <= text.len(), "{name}: {text:?} {token:?}");
                assert!(token.end >= reached, "{name}: {text:?} {token:?}");
                reached = token.end;
            }
            if name == "gpt-2" {
                assert_eq!(reached, text.len());
            }
        }
    }
    let tokens = bert().encode_with_offsets("Naïve  cats", PLAIN).expect("encodes");
    let ranges: Vec<_> = tokens.iter().map(|token| token.start..token.end).collect();
    assert_eq!(ranges, [0..6, 8..12]);
}

/// A megabyte of one character, of blanks, of line ends and of no blank at all: time in proportion.
#[test]
fn long_texts_take_linear_time() {
    let n_bytes = 1 << 20;
    let long = [
        "a".repeat(n_bytes),
        " ".repeat(n_bytes),
        "\n".repeat(n_bytes),
        "aĀ1!".repeat(n_bytes / 5),
        "\u{301}".repeat(n_bytes / 2),
        "\0".repeat(n_bytes),
    ];
    for (name, tokenizer) in all() {
        for text in &long {
            let start = Instant::now();
            let ids = tokenizer.encode(text, PLAIN).expect("encodes");
            let encoded = start.elapsed();
            tokenizer.decode(&ids);
            let first = text.chars().next().expect("not empty");
            println!(
                "{name}: 1 MiB of {first:?}: {} tokens, {encoded:?}, decoded {:?}",
                ids.len(),
                start.elapsed() - encoded
            );
            assert!(encoded < Duration::from_secs(30), "{name}: 1 MiB of {first:?} took {encoded:?}");
        }
    }
}

#[test]
fn damaged_files_are_errors() {
    for (name, load) in [
        ("tok512.bin", Tokenizer::from_llama2c as fn(&[u8], &str) -> aquatint::Result<Tokenizer>),
        ("unigram.model", Tokenizer::from_sentencepiece),
        ("bpe.model", Tokenizer::from_sentencepiece),
    ] {
        let bytes = read(data(name));
        // Cut short, and with single bytes changed: never a panic, whatever comes out.
        for i in 0..120 {
            let at = bytes.len() * i / 120;
            let _ = load(&bytes[..at], name).map(|tokenizer| tokenizer.encode("Some text ①", PLAIN));
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let _ = load(&damaged, name).map(|tokenizer| tokenizer.encode("Some text ①", PLAIN));
        }
        assert!(load(b"", name).is_err() && load(&[0xff; 64], name).is_err(), "{name}");
    }
    let vocab = |change: fn(&mut GgufVocab)| {
        let mut vocab = byte_bpe_vocab("gpt-2.json");
        change(&mut vocab);
        Tokenizer::from_parts(vocab, "gpt-2.gguf").expect_err("must fail").to_string()
    };
    assert!(vocab(|v| v.pre = Some("martian".into())).contains("\"martian\" is not known; known are"));
    assert!(vocab(|v| v.model = "elvish".into()).contains("\"elvish\""));
    assert!(vocab(|v| v.bos = Some(99_999)).contains("the bos token is 99999, but there are 50257 tokens"));
    assert!(vocab(|v| v.merges.push("Ġthe Ġthe".into())).contains("\"ĠtheĠthe\" is not in the vocabulary"));
    assert!(vocab(|v| v.tokens.clear()).contains("but there are 0 tokens"));
    assert!(vocab(|v| v.token_types.truncate(5)).contains("a type for each"));
}

#[test]
fn damaged_tokenizer_json_is_an_error() {
    let load = |model: Value, more: Value| {
        let mut file = json!({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": null, "model": model});
        for (key, value) in more.as_object().into_iter().flatten() {
            file[key] = value.clone();
        }
        let tokenizer = Tokenizer::from_json(file.to_string().as_bytes(), "tokenizer.json")?;
        tokenizer.encode("abc a", Encode::default())
    };
    let bpe = |merges: Value| json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges});
    let fails = |result: aquatint::Result<Vec<u32>>, part: &str| {
        let message = result.expect_err("must fail").to_string();
        assert!(message.contains(part), "{message}");
    };
    assert_eq!(load(bpe(json!(["a b"])), json!({})).expect("loads"), [2, 0]);
    assert_eq!(load(bpe(json!([["a", "b"]])), json!({})).expect("loads"), [2, 0]);
    fails(load(bpe(json!(["a bbbbbbbbbbbb"])), json!({})), "merge 0");
    fails(load(bpe(json!(["b a"])), json!({})), "\"ba\" is not in the vocabulary");
    fails(load(bpe(json!(["ab"])), json!({})), "expected two pieces");
    fails(load(bpe(json!(7)), json!({"model": {"type": "BPE", "vocab": 3}})), "no vocabulary");
    let fallback = json!({"type": "BPE", "vocab": {"a": 4_000_000_000u32}, "merges": []});
    fails(load(fallback, json!({})), "expected an id below");
    let prefixed =
        json!({"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"], "continuing_subword_prefix": "###"});
    fails(load(prefixed, json!({})), "shorter than the prefix");
    let unigram = json!({"type": "Unigram", "unk_id": 5, "vocab": [["a", -1.0]]});
    fails(load(unigram, json!({})), "the unknown token is 5");
    let unigram = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]});
    let charsmap = |base64: &str| {
        json!({"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Precompiled", "precompiled_charsmap": base64}]}})
    };
    fails(load(unigram.clone(), charsmap("////")), "normalisation table");
    fails(load(unigram.clone(), charsmap("EAAAAP//////////////////////AA==")), "normalisation table");
    fails(load(unigram.clone(), charsmap("no!")), "not base64");
    fails(
        load(
            unigram,
            json!({"decoder": {"type": "CTC", "pad_token": "x", "word_delimiter_token": "|", "cleanup": true}}),
        ),
        "CTC",
    );
    assert!(Tokenizer::from_json(b"{", "f").is_err() && Tokenizer::from_json(b"[]", "f").is_err());
}

#[test]
fn companion_files() {
    let config =
        br#"{"bos_token": {"content": "<|endoftext|>"}, "eos_token": "<|endoftext|>", "add_bos_token": true,
        "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}"#;
    let generation = br#"{"eos_token_id": [50256, 13, 99999999]}"#;
    let companions = Companions {
        tokenizer_config: Some(config),
        generation_config: Some(generation),
        ..Companions::default()
    };
    let tokenizer = gpt2().with_companions(&companions).expect("reads");
    assert_eq!(tokenizer.chat_template(), Some("D"));
    assert_eq!(tokenizer.end_ids(), [13, 50256]);
    assert_eq!(tokenizer.encode("Hi", Encode::default()).expect("encodes"), [50256, 17250]);
    let broken = Companions { special_tokens_map: Some(b"{"), ..Companions::default() };
    assert!(gpt2().with_companions(&broken).is_err());
}

#[test]
fn threads_share_tokenizers_and_templates() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Tokenizer>();
    shared::<ChatTemplate>();
    let tokenizer = std::sync::Arc::new(gpt2());
    let mut stream = aquatint::text::DecodeStream::new(tokenizer.clone(), Decode::default());
    let thread = std::thread::spawn(move || stream.push(17250));
    assert_eq!(thread.join().expect("runs").as_deref(), Some("Hi"));
    assert_eq!(tokenizer.encode("Hi", PLAIN).expect("encodes"), [17250]);
}

#[test]
fn tiktoken_ranks() {
    // The ranks of GPT-2's merges are its ids, once the bytes come first.
    let file: String =
        ["YQ==", "Yg==", "YWI=", "IA==", "IGFi"].iter().zip(0..).map(|(b, i)| format!("{b} {i}\n")).collect();
    let tokenizer =
        Tokenizer::from_tiktoken(file.as_bytes(), "ranks", "gpt-2", &[("<|end|>", 9)]).expect("loads");
    let special = Encode { special: true, ..Encode::default() };
    assert_eq!(tokenizer.encode("ab ab ba<|end|>", special).expect("encodes"), [2, 4, 3, 1, 0, 9]);
    assert_eq!(tokenizer.decode(&[2, 4, 9]), "ab ab");
    assert_eq!(tokenizer.n_vocab(), 10);
    assert!(Tokenizer::from_tiktoken(b"YQ== x", "ranks", "gpt-2", &[]).is_err());
    assert!(Tokenizer::from_tiktoken(b"YQ== 4000000000", "ranks", "gpt-2", &[]).is_err());
}

#[test]
fn tokenizers_without_a_file() {
    let characters = Tokenizer::characters("héllo").expect("loads");
    assert_eq!(characters.encode("ohé", PLAIN).expect("encodes"), [2, 0, 3]);
    assert!(characters.encode("x", PLAIN).is_err());
    let words = Tokenizer::words(["<unk>", "king", "queen"], Some("<unk>")).expect("loads");
    let ids = words.encode(" queen of\nking", PLAIN).expect("encodes");
    assert_eq!((ids.as_slice(), words.decode(&ids)), (&[2, 0, 1][..], "queen <unk> king".to_owned()));
    let strict = Tokenizer::words(["king"], None).expect("loads");
    assert!(strict.encode("queen", PLAIN).expect_err("must fail").to_string().contains("\"queen\""));
}

#[test]
fn chat_templates() {
    check_templates(&data("templates"), &data("templates.json"));
    if let Some(folder) = more_vocabularies() {
        check_templates(&folder.join("templates"), &folder.join("templates.json"));
    }
    let tokenizer = smollm2();
    let template =
        ChatTemplate::new(tokenizer.chat_template().expect("has one"), None, None).expect("compiles");
    let options = ChatOptions { add_generation_prompt: true, ..ChatOptions::default() };
    let text = template.render(&[Message::new("user", "Hi")], &options).expect("renders");
    assert!(text.ends_with("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"), "{text}");
}

fn check_templates(folder: &Path, golden: &Path) {
    let golden = read_json(golden);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(golden["now"].as_u64().expect("seconds"));
    let mut differ = vec![];
    let (mut n_templates, mut n_rendered) = (0, 0);
    for (name, texts) in golden["rendered"].as_object().expect("an object") {
        n_templates += 1;
        let template = match ChatTemplate::new(&read_text(folder.join(name)), Some("<s>"), Some("</s>")) {
            Ok(template) => template,
            Err(error) => {
                differ.push(format!("{name}: {error}"));
                continue;
            }
        };
        for (case, expected) in
            golden["cases"].as_array().expect("a list").iter().zip(texts.as_array().expect("a list"))
        {
            let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).expect("messages");
            let options = ChatOptions {
                add_generation_prompt: case["add_generation_prompt"] == true,
                variables: case["variables"].as_object().expect("an object").clone(),
                now: Some(now),
            };
            match (template.render(&messages, &options), expected.as_str()) {
                (Ok(text), Some(expected)) if text == expected => n_rendered += 1,
                (Ok(text), Some(expected)) => {
                    differ.push(format!("{name}, {}: expected {expected:?}\n  found {text:?}", case["name"]));
                }
                (Err(error), Some(_)) => differ.push(format!("{name}, {}: {error}", case["name"])),
                // Where the reference fails, an error or an empty value are both right.
                (_, None) => {}
            }
        }
    }
    println!("{}: {n_templates} templates, {n_rendered} renderings equal", folder.display());
    assert!(n_templates > 0 && differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}
