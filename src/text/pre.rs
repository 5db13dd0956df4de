//! Pre-tokenizers of byte-level BPE, by the names that GGUF files use (`tokenizer.ggml.pre`).
//!
//! A pre-tokenizer is a list of regular expressions; each cuts every part further, into its matches and
//! what lies between them. The expressions are those that the models' own `tokenizer.json` files hold.
//!
//! Most end in `\s+(?!\S)|\s+`: a run of blanks leaves its last one to the word behind it. Look-ahead would
//! make a backtracking matcher of the whole expression, with limits that a megabyte of blanks exceeds, so
//! the expressions here say `\s+` and [`PreTokenizer::split`] takes the last blank off: linear time.

use std::ops::Range;

use tokenizers::utils::SysRegex;

use crate::error::{Error, Result};

/// `'s`, `'ll` and so on, as GPT-2 has them.
macro_rules! gpt2 {
    () => {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"
    };
}
macro_rules! contractions {
    () => {
        r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    };
}
/// The cl100k family: `$numbers` is how many digits make one part.
macro_rules! cl100k {
    ($numbers:literal) => {
        concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|",
            $numbers,
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
        )
    };
}
/// The o200k family: words split where lower case turns to upper case.
macro_rules! o200k {
    ($contractions:expr, $numbers:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            $contractions,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            $contractions,
            "|",
            $numbers,
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
        )
    };
}
/// The third expression of DeepSeek V3.
macro_rules! deepseek_v3 {
    () => {
        concat!(
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
            r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+"
        )
    };
}

/// The letters of DeepSeek LLM: alphabets with case, as ranges.
const CASED_LETTERS: &str = concat!(
    r"\s?[",
    "A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\u{295}-\u{2af}",
    "\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\u{3a1}",
    "\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\u{13f5}",
    "\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-",
    "\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}",
    "\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-",
    "\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}",
    "\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}",
    "\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}",
    "\u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-",
    "\u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}",
    "\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-",
    "\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-",
    "\u{1e943}",
    "]+"
);

/// One row per pre-tokenizer: its names, whether a part that is a token as a whole skips the merges,
/// whether texts start with the bos token where the file does not say, and the expressions.
struct Row {
    names: &'static [&'static str],
    whole_words: bool,
    adds_bos: bool,
    expressions: &'static [&'static str],
}

const fn row(names: &'static [&'static str], expressions: &'static [&'static str]) -> Row {
    Row { names, whole_words: false, adds_bos: false, expressions }
}

/// The list of pre-tokenizers.
const ROWS: &[Row] = &[
    row(&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", gpt2!(), r"\p{N}+", r"[0-9][0-9][0-9]"]),
    row(
        &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "roberta-bpe",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
        ],
        &[gpt2!()],
    ),
    row(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[r"\p{N}", gpt2!()],
    ),
    Row {
        whole_words: true,
        adds_bos: true,
        ..row(
            &[
                "llama-bpe",
                "llama3",
                "llama-v3",
                "falcon3",
                "falcon-h1",
                "pixtral",
                "midm-2.0",
                "lfm2",
                "jina-v5-nano",
            ],
            &[cl100k!(r"\p{N}{1,3}")],
        )
    },
    row(&["dbrx", "smaug-bpe", "chatglm-bpe", "cl100k"], &[cl100k!(r"\p{N}{1,3}")]),
    Row { whole_words: true, ..row(&["glm4", "glm5"], &[cl100k!(r"\p{N}{1,3}")]) },
    Row { whole_words: true, ..row(&["minicpm5"], &[r"\p{N}{1,3}", cl100k!(r"\p{N}+")]) },
    row(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        &[cl100k!(r"\p{N}")],
    ),
    row(
        &["qwen35"],
        &[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
        )],
    ),
    row(
        &["seed-coder"],
        &[concat!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+")],
    ),
    row(
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        &[concat!(
            r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])",
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+"
        )],
    ),
    row(
        &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2", "o200k"],
        &[o200k!(concat!(contractions!(), "?"), r"\p{N}{1,3}")],
    ),
    Row { whole_words: true, adds_bos: true, ..row(&["tekken"], &[o200k!("", r"\p{N}")]) },
    row(
        &["deepseek-llm"],
        &[
            r"[\r\n]",
            CASED_LETTERS,
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            "[一-龥ࠀ-一가-\u{d7ff}]+",
            r"\p{N}+",
        ],
    ),
    row(&["deepseek-coder"], &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\u{d7ff}]+", r"\p{N}"]),
    row(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[r"\p{N}{1,3}", "[一-龥\u{3040}-ゟ゠-ヿ]+", deepseek_v3!()],
    ),
    row(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", gpt2!(), r"[0-9][0-9][0-9]"]),
    row(&["poro-chat", "bloom", "gpt3-finnish"], &[r" ?[^(\s|.,!?…。，、।۔،)]+"]),
    row(&["viking"], &[r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"]),
];

/// Every name that [`crate::text::Tokenizer::from_parts`] knows.
pub fn pre_tokenizer_names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|row| row.names.iter().copied())
}

pub struct PreTokenizer {
    steps: Vec<Step>,
    /// A part that is a token as a whole is that token, whatever the merges would give.
    pub whole_words: bool,
    pub adds_bos: bool,
}

struct Step {
    regex: SysRegex,
    /// The expression ends in `\s+` that stands for `\s+(?!\S)|\s+`.
    leaves_last_blank: bool,
    /// Runs of blanks up to a line end are matched by an earlier alternative, which has no look-ahead.
    ends_lines: bool,
}

impl PreTokenizer {
    /// Fails when no pre-tokenizer has this name.
    pub fn named(name: &str) -> Result<PreTokenizer> {
        let Some(row) = ROWS.iter().find(|row| row.names.contains(&name)) else {
            let mut known: Vec<&str> = pre_tokenizer_names().collect();
            known.sort_unstable();
            return Err(Error::Unsupported(format!(
                "pre-tokenizer {name:?} is not known; known are {}",
                known.join(", ")
            )));
        };
        let step = |expression: &&str| {
            let regex = SysRegex::new(expression)
                .map_err(|error| Error::Text(format!("pre-tokenizer {name}: {error}")))?;
            let leaves_last_blank = expression.ends_with(r"|\s+");
            Ok(Step { regex, leaves_last_blank, ends_lines: expression.contains(r"|\s*[\r\n]") })
        };
        let steps = row.expressions.iter().map(step).collect::<Result<Vec<_>>>()?;
        Ok(PreTokenizer { steps, whole_words: row.whole_words, adds_bos: row.adds_bos })
    }

    /// Cuts `text` into parts, in order and without gaps, as byte ranges.
    pub fn split(&self, text: &str) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> =
            std::iter::once(0..text.len()).filter(|all| !all.is_empty()).collect();
        for step in &self.steps {
            let mut finer = Vec::with_capacity(parts.len() * 2);
            for part in parts {
                step.split(text, part, &mut finer);
            }
            parts = finer;
        }
        parts
    }
}

impl Step {
    fn split(&self, text: &str, part: Range<usize>, parts: &mut Vec<Range<usize>>) {
        let mut done = part.start;
        let mut cut = |done: &mut usize, end: usize| {
            if *done < end {
                parts.push(*done..end);
                *done = end;
            }
        };
        // The search starts anew behind a run of blanks that was shortened.
        'search: loop {
            let from = done;
            for (start, end) in self.regex.find_iter(&text[from..part.end]) {
                let (start, mut end) = (from + start, from + end);
                let found = &text[start..end];
                let blank =
                    self.leaves_last_blank && end < part.end && found.chars().all(char::is_whitespace);
                let last = found.chars().next_back().map_or(0, char::len_utf8);
                let line_end = self.ends_lines && found.ends_with(['\r', '\n']);
                let shorten = blank && !line_end && last < found.len();
                if shorten {
                    end -= last;
                }
                cut(&mut done, start);
                cut(&mut done, end);
                if shorten {
                    continue 'search;
                }
            }
            break;
        }
        cut(&mut done, part.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
        let pre = PreTokenizer::named(name).expect("a known name");
        pre.split(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn every_expression_compiles_and_covers_the_text() {
        let text = "It's  12345 \t\n\n  naïve—日本語🙂\u{301}\0 x\r\n ";
        for name in pre_tokenizer_names() {
            assert_eq!(parts(name, text).concat(), text, "{name}");
        }
    }

    #[test]
    fn blanks_leave_one_to_the_word() {
        assert_eq!(parts("gpt-2", "a   b  "), ["a", "  ", " b", "  "]);
        assert_eq!(parts("gpt-2", "\n\n\u{3000}b"), ["\n\n", "\u{3000}", "b"]);
        assert_eq!(parts("llama-bpe", "a \n\n   b"), ["a", " \n\n", "  ", " b"]);
        assert_eq!(parts("llama-bpe", "1234567 I'LL"), ["123", "456", "7", " I", "'LL"]);
        assert_eq!(parts("smollm", " 12"), [" ", "1", "2"]);
    }

    #[test]
    fn unknown_name_lists_the_known_ones() {
        let message = PreTokenizer::named("martian").err().expect("unknown").to_string();
        assert!(message.contains("martian") && message.contains("llama-bpe"), "{message}");
    }
}
