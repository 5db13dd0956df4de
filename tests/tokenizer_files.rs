//! Tokenizer files from anywhere: damaged ones are an error, never a panic, a hang or an id outside the
//! vocabulary; and making tokenizers.
//!
//! Each reader gets a few thousand changed versions of a good file. `AQUATINT_FUZZ` multiplies their number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aquatint::Error;
use aquatint::text::{Encode, Kind, Tokenizer, TrainKind, Training, WordPieceOptions, train};
use serde_json::{Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/text");
const UNCASED: WordPieceOptions = WordPieceOptions { lowercase: true, strip_accents: true };
const BARE: Encode = Encode { special: false, bos: Some(false), eos: Some(false) };

fn read(name: &str) -> Vec<u8> {
    std::fs::read(format!("{DATA}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Numbers in no order, always the same ones.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Panics in any thread, caught or not.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        report(info);
    }));
}

/// A text to learn from: one with letters, blanks, digits, accents and signs from everywhere.
fn corpus() -> String {
    let texts = String::from_utf8(read("texts.inp")).expect("UTF-8");
    let words =
        "the cat sat on the mat and the dog sat on the cat; unbelievable believers believe 12345 times. ";
    format!("{}{texts}", words.repeat(20))
}

fn trained(kind: TrainKind, n_vocab: usize) -> String {
    let training =
        Training { kind, n_vocab, min_count: 1, lowercase: false, specials: vec!["<|new|>".into()] };
    train(std::iter::once(Ok(corpus())), &training, &|_| {}).expect("learns")
}

type Load = Box<dyn Fn(&[u8]) -> aquatint::Result<Tokenizer>>;

/// Loads a changed file and, if that goes, uses it.
fn try_out(load: &Load, bytes: &[u8], what: &dyn Fn() -> String) -> bool {
    let (before, start) = (PANICS.load(Ordering::SeqCst), Instant::now());
    let loaded = load(bytes);
    if let Ok(tokenizer) = &loaded {
        let long = "a".repeat(3000);
        for text in ["", "Some text ① naïve 日本 the cat <unk>[CLS]\u{301}\0  \n", long.as_str()] {
            for special in [false, true] {
                if let Ok(tokens) =
                    tokenizer.encode_with_offsets(text, Encode { special, ..Encode::default() })
                {
                    let ids: Vec<u32> = tokens.iter().map(|t| t.id).collect();
                    assert!(tokens.iter().all(|t| t.start <= t.end && t.end <= text.len()), "{}", what());
                    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.n_vocab()), "{}", what());
                    tokenizer.decode(&ids);
                }
            }
        }
        tokenizer.decode(&[0, 1, 5, u32::MAX]);
    } else if let Err(error) = &loaded {
        let message = error.to_string();
        assert!(!message.is_empty() && message.len() < 4000, "{}: {message}", what());
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), before, "{}: panicked", what());
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(10), "{}: took {taken:?}", what());
    loaded.is_ok()
}

/// A copy of a file with parts changed, cut out, doubled, or cut off.
fn changed(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(40)).min(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes[at..end].fill([0, 0xff, b' ', b'9'][random.below(4)]),
            4 => bytes[at] ^= 1 << random.below(8),
            5 => bytes[at] = random.below(256) as u8,
            _ => {
                let from = random.below(bytes.len() - (end - at));
                bytes.copy_within(from..from + (end - at), at);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// A copy of a JSON file in which one value somewhere is another one.
fn changed_json(json: &Value, random: &mut Random) -> Value {
    let mut json = json.clone();
    let mut place = &mut json;
    loop {
        let n_inside = match place {
            _ if random.below(4) == 0 => 0,
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        };
        let at = random.below(n_inside);
        if n_inside == 0 {
            let odd = [
                Value::Null,
                json!(-1),
                json!(0),
                json!(4_000_000_000u32),
                json!(1e300),
                json!(true),
                json!(""),
                json!("a"),
                json!("\u{10ffff}\0 x"),
                json!("a".repeat(5000)),
                json!([]),
                json!({}),
                json!(["a", "b"]),
                json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}),
                json!({"Regex": "(a*)*(?!b)"}),
                json!({"Regex": "((((((((((a{9}){9}){9}){9}){9}){9}"}),
            ];
            *place = odd[random.below(odd.len())].clone();
            return json;
        }
        place = match place {
            Value::Object(map) => map.values_mut().nth(at).expect("it is there"),
            Value::Array(list) => &mut list[at],
            _ => unreachable!("nothing else has values inside"),
        };
    }
}

fn n_versions(n: usize) -> usize {
    n * std::env::var("AQUATINT_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

#[test]
fn changed_files_are_errors_or_work() {
    count_panics();
    let json_loader = || -> Load { Box::new(|bytes| Tokenizer::from_json(bytes, "tokenizer.json")) };
    let bpe = trained(TrainKind::Bpe, 400);
    let bpe_json: Value = serde_json::from_str(&bpe).expect("JSON");
    let merges: String = bpe_json["model"]["merges"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| match pair {
            Value::Array(pair) => {
                format!("{} {}\n", pair[0].as_str().expect("text"), pair[1].as_str().expect("text"))
            }
            pair => format!("{}\n", pair.as_str().expect("text")),
        })
        .collect();
    let vocab = bpe_json["model"]["vocab"].to_string();
    let (own_vocab, own_merges) = (vocab.clone(), merges.clone());
    let unigram = with_charsmap(&trained(TrainKind::Unigram, 400));
    let bert: String = String::from_utf8(read("bert.txt")).expect("UTF-8").lines().step_by(40).fold(
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned(),
        |all, line| {
            if line.starts_with('[') { all } else { all + line + "\n" }
        },
    );
    let ranks: String = (0..=255u8).map(|b| format!("{} {b}\n", base64(&[b]))).collect::<String>()
        + &format!("{} 256\n{} 257\n", base64(b"th"), base64(b"the"));
    let folder = std::env::temp_dir().join(format!("aquatint-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let gguf_path = folder.join("vocab.gguf");
    let cases: Vec<(&str, Vec<u8>, usize, Load)> = vec![
        ("BPE tokenizer.json", bpe.into_bytes(), 1000, json_loader()),
        ("WordPiece tokenizer.json", trained(TrainKind::WordPiece, 300).into_bytes(), 1000, json_loader()),
        ("Unigram tokenizer.json", unigram.into_bytes(), 250, json_loader()),
        ("words tokenizer.json", trained(TrainKind::Words, 200).into_bytes(), 800, json_loader()),
        ("characters tokenizer.json", trained(TrainKind::Characters, 200).into_bytes(), 1000, json_loader()),
        (
            "vocab.json",
            vocab.into_bytes(),
            400,
            Box::new(move |b| {
                Tokenizer::from_vocab_and_merges(b, own_merges.as_bytes(), "vocab.json", "gpt-2")
            }),
        ),
        (
            "merges.txt",
            merges.into_bytes(),
            600,
            Box::new(move |b| {
                Tokenizer::from_vocab_and_merges(own_vocab.as_bytes(), b, "vocab.json", "gpt-2")
            }),
        ),
        (
            "vocab.txt",
            bert.into_bytes(),
            1500,
            Box::new(|b| Tokenizer::from_vocab_txt(b, "vocab.txt", UNCASED)),
        ),
        ("ranks", ranks.into_bytes(), 600, Box::new(|b| Tokenizer::from_ranks(b, "ranks.tiktoken"))),
        ("llama2.c", read("tok512.bin"), 2000, Box::new(|b| Tokenizer::from_llama2c(b, "tok512.bin"))),
        ("bpe.model", read("bpe.model"), 300, Box::new(|b| Tokenizer::from_sentencepiece(b, "bpe.model"))),
        (
            "unigram.model",
            read("unigram.model"),
            300,
            Box::new(|b| Tokenizer::from_sentencepiece(b, "unigram.model")),
        ),
        (
            "GGUF",
            gguf(),
            2000,
            Box::new(move |bytes| {
                std::fs::write(&gguf_path, bytes).map_err(|error| Error::io(&gguf_path, error))?;
                aquatint::model::open_tokenizer(&gguf_path)
            }),
        ),
    ];
    for (name, bytes, n, load) in &cases {
        let start = Instant::now();
        assert!(try_out(load, bytes, &|| name.to_string()), "{name}: the file itself loads");
        let mut random = Random(20_260_724);
        let mut n_loaded = 0;
        for bad in [&b""[..], b"\n", b"{}", b"[]", b"null", b"\0\0\0\0", &[0xff; 100]] {
            let refused = || format!("{name}: {bad:?}");
            // One line is a vocabulary of one word for some.
            if try_out(load, bad, &refused) {
                assert!(*name == "vocab.txt" || *name == "merges.txt", "{}", refused());
            }
        }
        for i in 0..n_versions(*n) {
            let version = changed(bytes, &mut random);
            n_loaded += usize::from(try_out(load, &version, &|| format!("{name}, version {i}")));
        }
        let mut n_json = 0;
        if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
            n_json = n_versions(*n);
            for i in 0..n_json {
                let version = changed_json(&json, &mut random).to_string();
                let what = || format!("{name}, JSON version {i}");
                n_loaded += usize::from(try_out(load, version.as_bytes(), &what));
            }
        }
        let n = n_versions(*n) + n_json;
        println!("{name}: {n} versions, {n_loaded} load, {:.1} s", start.elapsed().as_secs_f64());
        // Otherwise the changes are too coarse to get past the first check, or too fine.
        assert!(n_loaded > 0 && n_loaded < n, "{name}: {n_loaded} of {n} load");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// The Unigram file with the normalisation table of a SentencePiece model as its normaliser.
fn with_charsmap(file: &str) -> String {
    let model = read("unigram.model");
    // Field 3, the normaliser; in it field 2, the table: found by its length, which stands before it.
    let at = (0..model.len() - 8)
        .find(|&at| model[at] == 0x12 && number(&model[at + 1..]).is_some_and(|(n, _)| n > 200_000))
        .expect("the table is there");
    let (length, n_digits) = number(&model[at + 1..]).expect("found just now");
    let table = &model[at + 1 + n_digits..][..length];
    let mut json: Value = serde_json::from_str(file).expect("JSON");
    json["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": base64(table)});
    json.to_string()
}

/// A number in groups of 7 bits and how many bytes it takes.
fn number(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &b| bits << 8 | u32::from(b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A GGUF file of a tokenizer and nothing else.
fn gguf() -> Vec<u8> {
    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }
    fn list(kind: u32, values: Vec<Vec<u8>>) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &values.concat()].concat()
    }
    let pieces: Vec<String> = ["<unk>", "<s>", "</s>"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..=255u8).map(|b| format!("<0x{b:02X}>")))
        .chain("▁ a b c e h m n o s t th the ▁the at cat ▁cat".split(' ').map(str::to_owned))
        .collect();
    let types = (0..pieces.len()).map(|i| match i {
        0 => 2i32,
        1 | 2 => 3,
        3..=258 => 6,
        _ => 1,
    });
    let scores = (0..pieces.len()).map(|i| -(i as f32));
    let entries: Vec<(&str, u32, Vec<u8>)> = vec![
        ("general.architecture", 8, text("llama")),
        ("tokenizer.ggml.model", 8, text("llama")),
        ("tokenizer.ggml.tokens", 9, list(8, pieces.iter().map(|piece| text(piece)).collect())),
        ("tokenizer.ggml.scores", 9, list(6, scores.map(|s| s.to_le_bytes().to_vec()).collect())),
        ("tokenizer.ggml.token_type", 9, list(5, types.map(|t| t.to_le_bytes().to_vec()).collect())),
        ("tokenizer.ggml.bos_token_id", 4, 1u32.to_le_bytes().to_vec()),
        ("tokenizer.ggml.eos_token_id", 4, 2u32.to_le_bytes().to_vec()),
        ("tokenizer.ggml.add_bos_token", 7, vec![1]),
    ];
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend((entries.len() as u64).to_le_bytes());
    for (key, kind, value) in entries {
        file.extend(text(key));
        file.extend(kind.to_le_bytes());
        file.extend(value);
    }
    file
}

#[test]
fn hostile_tokenizer_json_is_refused_with_a_reason() {
    let base: Value = serde_json::from_str(&trained(TrainKind::Words, 50)).expect("JSON");
    let refused = |change: &dyn Fn(&mut Value), part: &str| {
        let mut json = base.clone();
        change(&mut json);
        let message =
            Tokenizer::from_json(json.to_string().as_bytes(), "f.json").expect_err(part).to_string();
        assert!(message.contains(part), "{part:?} is not in: {message}");
    };
    let replace = |n: usize| json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(n)});
    let twice = json!({"type": "Sequence", "normalizers": [replace(40), replace(40)]});
    refused(&|j| j["normalizer"] = twice.clone(), "1600 times as long");
    refused(&|j| j["normalizer"] = json!({"precompiled_charsmap": "AAAA"}), "expected an object with a type");
    refused(&|j| j["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0}), "length 0");
    refused(&|j| j["model"]["type"] = "Magic".into(), "\"Magic\"");
    refused(&|j| j["model"]["type"] = "BPE".into(), "no list of merges");
    refused(&|j| j["model"]["max_input_chars_per_word"] = 1_000_000.into(), "max_input_chars_per_word");
    refused(&|j| j["added_tokens"][0]["id"] = 7.into(), "the file says id 7");
    refused(
        &|j| {
            j["post_processor"] = json!({"type": "BertProcessing", "sep": ["x", 1], "cls": ["y", 4_000_000]});
        },
        "adds token 4000000",
    );
    let deep = format!("{{\"normalizer\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Tokenizer::from_json(deep.as_bytes(), "f.json").is_err());
    let pattern = format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000));
    let split =
        json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    refused(&|j| j["pre_tokenizer"] = split.clone(), "f.json");
}

#[test]
fn the_same_texts_give_the_same_tokenizer() {
    for (kind, n_vocab, name) in [
        (TrainKind::Bpe, 400, Kind::ByteBpe),
        (TrainKind::WordPiece, 300, Kind::WordPiece),
        (TrainKind::Unigram, 400, Kind::Unigram),
        (TrainKind::Words, 100, Kind::Words),
        (TrainKind::Characters, 100, Kind::Characters),
    ] {
        let file = trained(kind, n_vocab);
        assert_eq!(file, trained(kind, n_vocab), "{kind:?}");
        let tokenizer = Tokenizer::from_json(file.as_bytes(), "f.json").expect("loads");
        assert_eq!(tokenizer.kind(), name);
        assert!(tokenizer.n_vocab() <= n_vocab && tokenizer.n_vocab() > n_vocab / 4, "{tokenizer:?}");
        let new = tokenizer.id("<|new|>").expect("the special token is there");
        let special = Encode { special: true, ..BARE };
        assert_eq!(tokenizer.encode("<|new|>", special).expect("encodes"), [new]);
        assert!(!tokenizer.encode("<|new|>", BARE).expect("encodes").contains(&new));
        let text = "the cat believes";
        let ids = tokenizer.encode(text, BARE).expect("encodes");
        assert!(ids.len() <= text.len(), "{kind:?}: {ids:?}");
        if kind != TrainKind::Words {
            assert_eq!(tokenizer.decode(&ids), text, "{kind:?}");
        }
    }
    // What comes up most is one token.
    let bpe = Tokenizer::from_json(trained(TrainKind::Bpe, 400).as_bytes(), "f.json").expect("loads");
    assert_eq!(bpe.encode(" the cat", BARE).expect("encodes").len(), 2);
}

#[test]
fn training_says_what_is_wrong() {
    let refused = |kind, n_vocab, text: &str, part: &str| {
        let training = Training { kind, n_vocab, min_count: 1, lowercase: false, specials: vec![] };
        let result = train(std::iter::once(Ok(text.to_owned())), &training, &|_| {});
        let message = result.expect_err(part).to_string();
        assert!(message.contains(part), "{part:?} is not in: {message}");
    };
    refused(TrainKind::Bpe, 100, "abc", "expected 257 to");
    refused(TrainKind::Words, 100, " \n ", "nothing to learn from");
    refused(TrainKind::Unigram, 10, &corpus(), "different characters");
    let failing = std::iter::once(Err(Error::Input("the disk is on fire".into())));
    let training =
        Training { kind: TrainKind::Bpe, n_vocab: 300, min_count: 1, lowercase: false, specials: vec![] };
    let message = train(failing, &training, &|_| {}).expect_err("fails").to_string();
    assert_eq!(message, "the disk is on fire");
}

/// A line with no blank in it, as long as a book.
#[test]
fn a_long_line_can_be_learned_from() {
    let line = "abcde".repeat(200_000);
    for kind in [TrainKind::Bpe, TrainKind::WordPiece, TrainKind::Unigram] {
        let start = Instant::now();
        let training = Training { kind, n_vocab: 300, min_count: 1, lowercase: false, specials: vec![] };
        train(std::iter::once(Ok(line.clone())), &training, &|_| {}).expect("learns");
        assert!(start.elapsed() < Duration::from_secs(60), "{kind:?}: {:?}", start.elapsed());
    }
}
