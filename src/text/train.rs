//! Making a `tokenizer.json` from texts.
//!
//! Words are counted here; merges (BPE, WordPiece) and probabilities (Unigram) are learned by the trainers of
//! the `tokenizers` crate, and the file is what its other readers expect of that kind. The same texts give the
//! same file: whatever the trainers leave to the order of a hash table is put in order before or after them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::iter::{ParallelBridge, ParallelIterator};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer as _,
};

use crate::error::{Error, Result};
use crate::text::tokenizer::{Tokenizer, guarded};

/// What to make.
#[derive(Debug, Clone)]
pub struct Training {
    pub kind: TrainKind,
    /// The size of the vocabulary, with special tokens.
    pub n_vocab: usize,
    /// Pairs and words that come up less often become no tokens.
    pub min_count: u64,
    /// Makes the texts small first.
    pub lowercase: bool,
    /// Special tokens behind those that the kind has anyway.
    pub specials: Vec<String>,
}

/// The kinds that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainKind {
    /// Byte-level BPE, as GPT-2.
    Bpe,
    /// As BERT.
    WordPiece,
    /// As T5 and XLM-RoBERTa.
    Unigram,
    Words,
    Characters,
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainProgress {
    /// Bytes of text whose words are counted.
    Counted(u64),
    /// All words are counted; what is learned from so many different ones takes a while.
    Learning { n_words: usize },
}

/// Words longer than this many characters are counted in parts: they are data rather than language, and
/// learning takes time by the square of their length.
const N_WORD_CHARS_MAX: usize = 256;
/// WordPiece keeps this many of the commonest characters; each may take two tokens.
const N_ALPHABET_MAX: usize = 1000;

/// Learns a vocabulary and gives the text of its `tokenizer.json`. The texts are cut into words one by one,
/// so a text should end where a line ends.
pub fn train(
    texts: impl Iterator<Item = Result<String>> + Send,
    training: &Training,
    progress: &(dyn Fn(TrainProgress) + Sync),
) -> Result<String> {
    let mut file = skeleton(training);
    let specials = specials(training);
    check(training, &specials)?;
    let words = count(texts, &file, progress)?;
    if words.is_empty() {
        return Err(Error::Input("there is nothing to learn from: the texts have no words".into()));
    }
    let n_symbols: u64 = words.iter().map(|(word, n)| word.chars().count() as u64 * n).sum();
    if n_symbols > i32::MAX as u64 {
        // The trainers count in 32 bits.
        let message =
            format!("the texts have {n_symbols} characters, at most {} can be learned from", i32::MAX);
        return Err(Error::Input(format!("{message}; leave some out")));
    }
    progress(TrainProgress::Learning { n_words: words.len() });
    file["model"] = match training.kind {
        TrainKind::Bpe => byte_bpe(&words, training, &specials)?,
        TrainKind::WordPiece => wordpiece(words, training, &specials)?,
        TrainKind::Unigram => unigram(words, training, &specials)?,
        TrainKind::Words | TrainKind::Characters => listed(words, training, &specials),
    };
    file["added_tokens"] = specials
        .iter()
        .zip(0..)
        .map(|(name, id)| {
            json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    if training.kind == TrainKind::WordPiece {
        file["post_processor"] = json!({"type": "TemplateProcessing",
            "single": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
            "pair": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1)],
            "special_tokens": {"[CLS]": template("[CLS]", 2), "[SEP]": template("[SEP]", 3)}});
    }
    let text = serde_json::to_string_pretty(&file).map_err(|error| Error::Text(error.to_string()))?;
    // What was made must be readable, here and elsewhere.
    Tokenizer::from_json(text.as_bytes(), "the new tokenizer")?;
    Ok(text)
}

fn special(name: &str, type_id: u32) -> Value {
    json!({"SpecialToken": {"id": name, "type_id": type_id}})
}

fn sequence(name: &str, type_id: u32) -> Value {
    json!({"Sequence": {"id": name, "type_id": type_id}})
}

fn template(name: &str, id: u32) -> Value {
    json!({"id": name, "ids": [id], "tokens": [name]})
}

/// Names of special tokens; their places are their ids.
fn specials(training: &Training) -> Vec<String> {
    let own: &[&str] = match training.kind {
        TrainKind::Bpe => &["<|endoftext|>"],
        TrainKind::WordPiece => &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        TrainKind::Unigram => &["<pad>", "</s>", "<unk>"],
        TrainKind::Words | TrainKind::Characters => &["<unk>"],
    };
    let mut names: Vec<String> = own.iter().map(|name| (*name).to_owned()).collect();
    for name in &training.specials {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn check(training: &Training, specials: &[String]) -> Result<()> {
    let least = specials.len() + if training.kind == TrainKind::Bpe { 256 } else { 1 };
    if training.n_vocab < least || training.n_vocab > 10_000_000 {
        let found = training.n_vocab;
        return Err(Error::Input(format!("--size: expected {least} to 10000000 tokens, found {found}")));
    }
    match specials.iter().any(String::is_empty) {
        true => Err(Error::Input("the name of a special token is empty".into())),
        false => Ok(()),
    }
}

/// The file without its model: what happens to a text before and after.
fn skeleton(training: &Training) -> Value {
    let lowercase = training.lowercase.then(|| json!({"type": "Lowercase"}));
    let steps = |more: Vec<Value>| match more.into_iter().chain(lowercase.clone()).collect::<Vec<_>>() {
        list if list.is_empty() => Value::Null,
        list => json!({"type": "Sequence", "normalizers": list}),
    };
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let metaspace =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let (normalizer, pre_tokenizer, decoder) = match training.kind {
        TrainKind::Bpe => (steps(vec![]), byte_level.clone(), byte_level),
        TrainKind::WordPiece => (
            json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": training.lowercase}),
            json!({"type": "BertPreTokenizer"}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        ),
        TrainKind::Unigram => {
            let blanks = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "});
            let strip = json!({"type": "Strip", "strip_left": false, "strip_right": true});
            let punctuation = json!({"type": "Punctuation", "behavior": "Contiguous"});
            (
                steps(vec![json!({"type": "Nmt"}), json!({"type": "NFKC"}), strip, blanks]),
                json!({"type": "Sequence", "pretokenizers": [metaspace.clone(), punctuation]}),
                metaspace,
            )
        }
        TrainKind::Words => (steps(vec![]), json!({"type": "Whitespace"}), Value::Null),
        TrainKind::Characters => (
            steps(vec![]),
            json!({"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": false}),
            json!({"type": "Fuse"}),
        ),
    };
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "x"}})
}

/// How often each word comes up in the texts, in the order of words.
fn count(
    mut texts: impl Iterator<Item = Result<String>> + Send,
    file: &Value,
    progress: &(dyn Fn(TrainProgress) + Sync),
) -> Result<BTreeMap<String, u64>> {
    let bytes = serde_json::to_vec(file).map_err(|error| Error::Text(error.to_string()))?;
    let tokenizer = guarded("training", || tokenizers::Tokenizer::from_bytes(bytes))?;
    let n_bytes = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let fail = |error: Error| {
        failed.store(true, Ordering::Relaxed);
        failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
    };
    let texts = std::iter::from_fn(|| match texts.next()? {
        _ if failed.load(Ordering::Relaxed) => None,
        Ok(text) => Some(text),
        Err(error) => {
            fail(error);
            None
        }
    });
    let count_in = |mut counts: HashMap<String, u64>, text: String| {
        match words(&tokenizer, &text) {
            Ok(words) => words.into_iter().for_each(|word| *counts.entry(word).or_default() += 1),
            Err(error) => fail(error),
        }
        let done = n_bytes.fetch_add(text.len() as u64, Ordering::Relaxed) + text.len() as u64;
        progress(TrainProgress::Counted(done));
        counts
    };
    let counts = texts.par_bridge().fold(HashMap::new, count_in).reduce(HashMap::new, |mut all, more| {
        more.into_iter().for_each(|(word, n)| *all.entry(word).or_default() += n);
        all
    });
    match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        Some(error) => Err(error),
        None => Ok(counts.into_iter().collect()),
    }
}

/// The words of a text as the tokenizer's own first steps cut them.
fn words(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<String>> {
    guarded("training", || {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = tokenizer.get_normalizer() {
            normalizer.normalize(&mut normalized)?;
        }
        let mut parts = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut parts)?;
        }
        let splits = parts.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let mut words = Vec::with_capacity(splits.len());
        for (word, ..) in splits {
            if word.len() <= N_WORD_CHARS_MAX {
                words.push(word.to_owned());
            } else {
                let characters: Vec<char> = word.chars().collect();
                words.extend(characters.chunks(N_WORD_CHARS_MAX).map(|part| part.iter().collect::<String>()));
            }
        }
        Ok(words)
    })
}

fn added(names: &[String]) -> Vec<AddedToken> {
    names.iter().map(|name| AddedToken::from(name.clone(), true)).collect()
}

fn byte_bpe(words: &BTreeMap<String, u64>, training: &Training, specials: &[String]) -> Result<Value> {
    let trainer = BpeTrainer::builder()
        .vocab_size(training.n_vocab)
        .min_frequency(training.min_count)
        .show_progress(false)
        .special_tokens(added(specials))
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let model = learn(&trainer, words)?;
    serde_json::to_value(&model).map_err(|error| Error::Text(error.to_string()))
}

fn learn(trainer: &BpeTrainer, words: &BTreeMap<String, u64>) -> Result<BPE> {
    let words = words.iter().map(|(word, n)| (word.as_str().into(), *n)).collect();
    let mut model = BPE::default();
    guarded("training", || trainer.do_train(&words, &mut model))?;
    Ok(model)
}

/// WordPiece is learned as a BPE whose pieces inside words begin with `##`; only the vocabulary is kept.
fn wordpiece(words: BTreeMap<String, u64>, training: &Training, specials: &[String]) -> Result<Value> {
    let alphabet = commonest_characters(&words);
    let room = training.n_vocab.saturating_sub(specials.len()) / 2;
    let known: BTreeSet<char> = alphabet.into_iter().take(N_ALPHABET_MAX.min(room.max(1))).collect();
    let words: BTreeMap<String, u64> =
        words.into_iter().filter(|(word, _)| word.chars().all(|c| known.contains(&c))).collect();
    // The trainer numbers `##x` in the order of a hash table, unless they are there before.
    let inner: BTreeSet<char> = words.keys().flat_map(|word| word.chars().skip(1)).collect();
    let first: Vec<String> = specials.iter().cloned().chain(inner.iter().map(|c| format!("##{c}"))).collect();
    let trainer = BpeTrainer::builder()
        .vocab_size(training.n_vocab)
        .min_frequency(training.min_count)
        .show_progress(false)
        .special_tokens(added(&first))
        .continuing_subword_prefix("##".into())
        .build();
    let vocab = in_order(learn(&trainer, &words)?.get_vocab());
    Ok(json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocab}))
}

fn unigram(words: BTreeMap<String, u64>, training: &Training, specials: &[String]) -> Result<Value> {
    let n_characters = commonest_characters(&words).len();
    let least = n_characters + specials.len() + 1;
    if training.n_vocab < least {
        return Err(Error::Input(format!(
            "--size: the texts have {n_characters} different characters, each of which is a token; expected at \
             least {least}, found {}",
            training.n_vocab
        )));
    }
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(training.n_vocab as u32)
        .special_tokens(added(specials))
        .unk_token(Some("<unk>".to_owned()))
        .build()
        .map_err(|error| Error::Text(error.to_string()))?;
    let sentences = words.into_iter().map(|(word, n)| (word, n as u32)).collect();
    let mut model = Unigram::default();
    guarded("training", || trainer.do_train(sentences, &mut model))?;
    let mut pieces: Vec<(String, f64)> = model.iter().skip(specials.len()).cloned().collect();
    order_rare_characters(&mut pieces);
    let pieces = specials.iter().map(|name| (name.clone(), 0.0)).chain(pieces);
    Ok(json!({"type": "Unigram", "unk_id": 2, "vocab": pieces.collect::<Vec<_>>(), "byte_fallback": false}))
}

/// Characters that training dropped get scores in steps of 0.0001 from the lowest one on, in the order of a
/// hash table: here in the order of code points.
fn order_rare_characters(pieces: &mut [(String, f64)]) {
    let single = |piece: &str| piece.chars().nth(1).is_none();
    let lowest = pieces.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let step = |score: f64| {
        let steps = (score - lowest) / 0.0001;
        ((steps - steps.round()).abs() < 1e-6).then(|| steps.round() as usize)
    };
    let mut rare: Vec<usize> =
        (0..pieces.len()).filter(|&i| single(&pieces[i].0) && step(pieces[i].1).is_some()).collect();
    rare.sort_by(|&a, &b| pieces[a].0.cmp(&pieces[b].0));
    let mut scores: Vec<f64> = rare.iter().map(|&i| pieces[i].1).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    for (&i, score) in rare.iter().zip(scores) {
        pieces[i].1 = score;
    }
    pieces.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

/// Whole words, or characters, the commonest first.
fn listed(words: BTreeMap<String, u64>, training: &Training, specials: &[String]) -> Value {
    let mut words: Vec<(String, u64)> = words.into_iter().filter(|(_, n)| *n >= training.min_count).collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let words = words.into_iter().map(|(word, _)| word).filter(|word| !specials.contains(word));
    let pieces = specials.iter().cloned().chain(words).take(training.n_vocab);
    let vocab: serde_json::Map<String, Value> =
        pieces.zip(0u32..).map(|(word, id)| (word, id.into())).collect();
    json!({"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"})
}

/// Every character, the commonest first.
fn commonest_characters(words: &BTreeMap<String, u64>) -> Vec<char> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for (word, n) in words {
        word.chars().for_each(|c| *counts.entry(c).or_default() += n);
    }
    let mut characters: Vec<(char, u64)> = counts.into_iter().collect();
    characters.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    characters.into_iter().map(|(c, _)| c).collect()
}

/// A vocabulary in the order of its ids.
fn in_order(vocab: HashMap<String, u32>) -> serde_json::Map<String, Value> {
    let mut pieces: Vec<(String, u32)> = vocab.into_iter().collect();
    pieces.sort_by_key(|(_, id)| *id);
    pieces.into_iter().map(|(piece, id)| (piece, id.into())).collect()
}
