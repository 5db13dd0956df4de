//! The tokenizer of a model file.

use std::path::Path;

use crate::error::{Error, Result};
use crate::text::{Companions, GgufVocab, Tokenizer, WordPieceOptions};
use crate::weights::{Container, FromValue, Metadata, Weights};

/// The tokenizer that comes with `weights`: in the file, or in files beside it.
pub fn tokenizer(weights: &Weights) -> Result<Tokenizer> {
    match weights.container() {
        Container::Gguf => {
            let file = weights.path().display().to_string();
            Tokenizer::from_parts(gguf_vocab(weights.metadata())?, &file)
        }
        Container::Llama2c => {
            let beside = weights.path().with_file_name("tok512.bin");
            let fallback = weights.path().with_file_name("tokenizer.bin");
            let path = if beside.exists() { beside } else { fallback };
            Tokenizer::from_llama2c(&read(&path)?, &path.display().to_string())
        }
        Container::Safetensors => {
            with_companions(if weights.path().is_dir() { weights.path() } else { parent(weights.path()) })
        }
    }
}

/// The tokenizer of a folder and what the files beside it say.
fn with_companions(folder: &Path) -> Result<Tokenizer> {
    let bytes = |file: &str| std::fs::read(folder.join(file)).ok();
    let files =
        [bytes("tokenizer_config.json"), bytes("special_tokens_map.json"), bytes("generation_config.json")];
    let template = std::fs::read_to_string(folder.join("chat_template.jinja")).ok();
    let companions = Companions {
        tokenizer_config: files[0].as_deref(),
        special_tokens_map: files[1].as_deref(),
        generation_config: files[2].as_deref(),
        chat_template: template.as_deref(),
    };
    in_folder(folder)?.with_companions(&companions)
}

/// The files that hold a tokenizer in a model's folder, the fullest first.
const FILES: [&str; 6] = [
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
];

fn in_folder(folder: &Path) -> Result<Tokenizer> {
    match FILES.iter().map(|name| folder.join(name)).find(|path| path.exists()) {
        Some(path) => of_file(&path),
        None => Err(Error::file(
            folder.display(),
            format!("no tokenizer: expected one of {} in this folder", FILES.join(", ")),
        )),
    }
}

/// The tokenizer in a file of its own, or in a model. By name: `tokenizer.json`, `vocab.txt`, `vocab.json`
/// with `merges.txt` beside it (also `encoder.json` with `vocab.bpe`), `*.model` (SentencePiece, or ranks
/// under that name), `*.tiktoken`, and llama2.c's `tok*.bin`.
pub fn open_tokenizer(path: &Path) -> Result<Tokenizer> {
    if path.is_dir() {
        // A folder may have a tokenizer and no model, or a model in one file with its tokenizer inside.
        let is_model =
            path.join("config.json").exists() && !FILES.iter().any(|name| path.join(name).exists());
        return if is_model { tokenizer(&Weights::open(path)?) } else { with_companions(path) };
    }
    let file = file_name(path);
    let known_ends = [".json", ".txt", ".model", ".tiktoken", ".bpe"];
    let is_llama2c = file.starts_with("tok") && file.ends_with(".bin");
    // `tokenizer.model.v3`: a version behind the name.
    let versioned = || file.contains(".model.") && !file.ends_with(".gguf");
    match is_llama2c || known_ends.iter().any(|end| file.ends_with(end)) || versioned() {
        true => of_file(path),
        false => tokenizer(&Weights::open(path)?),
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

fn of_file(path: &Path) -> Result<Tokenizer> {
    let name = path.display().to_string();
    let file = file_name(path);
    let bytes = read(path)?;
    match path.extension().and_then(|e| e.to_str()) {
        Some("model") if is_ranks(&bytes) => Tokenizer::from_ranks(&bytes, &name),
        Some("model") => Tokenizer::from_sentencepiece(&bytes, &name),
        Some("tiktoken") => Tokenizer::from_ranks(&bytes, &name),
        Some("bin") => Tokenizer::from_llama2c(&bytes, &name),
        Some("bpe") => with_merges(&path.with_file_name("encoder.json"), path),
        Some("txt") if file == "merges.txt" => with_merges(&path.with_file_name("vocab.json"), path),
        Some("txt") => {
            // What becomes of capitals stands in another file; those models that keep them say so.
            let config = std::fs::read(parent(path).join("tokenizer_config.json")).unwrap_or_default();
            let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
            let has_capitals = || {
                let text = String::from_utf8_lossy(&bytes);
                // `ℝ` counts as a capital, but there is no small one that it would become.
                let capital = |c: char| !c.to_lowercase().eq([c]);
                text.lines().any(|piece| !piece.starts_with('[') && piece.chars().any(capital))
            };
            let lowercase = config["do_lower_case"].as_bool().unwrap_or_else(|| !has_capitals());
            let strip_accents = config["strip_accents"].as_bool().unwrap_or(lowercase);
            Tokenizer::from_vocab_txt(&bytes, &name, WordPieceOptions { lowercase, strip_accents })
        }
        Some("json") if file == "vocab.json" => with_merges(path, &path.with_file_name("merges.txt")),
        Some("json") if file == "encoder.json" => with_merges(path, &path.with_file_name("vocab.bpe")),
        Some("json") => Tokenizer::from_json(&bytes, &name),
        _ => Tokenizer::from_sentencepiece(&bytes, &name),
    }
}

fn with_merges(vocab: &Path, merges: &Path) -> Result<Tokenizer> {
    let name = vocab.display().to_string();
    Tokenizer::from_vocab_and_merges(&read(vocab)?, &read(merges)?, &name, "gpt-2")
}

/// Whether a file begins as a list of ranks does: base64, a blank, a number.
fn is_ranks(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
    let line = line.trim_ascii_end();
    line.iter()
        .position(|&b| b == b' ')
        .is_some_and(|blank| blank > 0 && line[..blank].iter().all(base64) && digits(&line[blank + 1..]))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(path, error))
}

fn gguf_vocab(metadata: &Metadata) -> Result<GgufVocab> {
    fn own<'a, T: FromValue<'a>>(metadata: &'a Metadata, key: &str) -> Result<Option<T>> {
        metadata.optional(&format!("tokenizer.{key}"))
    }
    let m = metadata;
    let strings =
        |key: &str| Ok::<_, Error>(own::<&[String]>(m, key)?.map(<[String]>::to_vec).unwrap_or_default());
    Ok(GgufVocab {
        model: m.str("tokenizer.ggml.model")?.to_owned(),
        pre: own::<&str>(m, "ggml.pre")?.map(str::to_owned),
        tokens: m.strings("tokenizer.ggml.tokens")?.to_vec(),
        scores: own::<&[f32]>(m, "ggml.scores")?.map(<[f32]>::to_vec).unwrap_or_default(),
        token_types: own::<&[i32]>(m, "ggml.token_type")?.map(<[i32]>::to_vec).unwrap_or_default(),
        merges: strings("ggml.merges")?,
        bos: own(m, "ggml.bos_token_id")?,
        eos: own(m, "ggml.eos_token_id")?,
        eot: own(m, "ggml.eot_token_id")?,
        eom: own(m, "ggml.eom_token_id")?,
        unk: own(m, "ggml.unknown_token_id")?,
        sep: own(m, "ggml.seperator_token_id")?,
        pad: own(m, "ggml.padding_token_id")?,
        cls: own(m, "ggml.cls_token_id")?,
        mask: own(m, "ggml.mask_token_id")?,
        add_bos: own(m, "ggml.add_bos_token")?,
        add_eos: own(m, "ggml.add_eos_token")?,
        add_sep: own(m, "ggml.add_sep_token")?,
        add_space_prefix: own(m, "ggml.add_space_prefix")?,
        remove_extra_whitespaces: own(m, "ggml.remove_extra_whitespaces")?,
        precompiled_charsmap: own::<&[u8]>(m, "ggml.precompiled_charsmap")?
            .map(<[u8]>::to_vec)
            .unwrap_or_default(),
        lowercase: own(m, "ggml.normalizer.lowercase")?,
        strip_accents: own(m, "ggml.normalizer.strip_accents")?,
        chat_template: own::<&str>(m, "chat_template")?.map(str::to_owned),
        as_sentencepiece: false,
    })
}
