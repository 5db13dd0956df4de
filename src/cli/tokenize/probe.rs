//! A built-in text that shows how tokenizers differ, and what can be read off it.
//!
//! The languages all say the first sentence of the Universal Declaration of Human Rights, so that their
//! numbers of tokens can be compared. Texts are cut without what models put around them.

use serde_json::{Value, json};

use super::Section;
use super::analysis::{Look, Named};
use crate::error::Result;
use crate::text::{Class, Decode, Encode};

const BARE: Encode = Encode { special: false, bos: Some(false), eos: Some(false) };

/// Title, what to look for, text.
const TEXTS: &[(&str, &str, &str)] = &[
    (
        "Capitals",
        "are hello, Hello and HELLO related, or do capitals cost more?",
        "hello Hello HELLO hELLO\nthe The THE iPhone McDonald NASA getElementById",
    ),
    (
        "Words and accents",
        "where are long words cut, and do accents survive?",
        "unbelievably Donaudampfschifffahrt naïve café façade Ångström e\u{301}=é ﬁne ＡＢＣ don't I'll",
    ),
    ("Emoji", "one token, several bytes, or unknown?", "🙂 👍🏽 👩‍👩‍👧‍👦 🇫🇷 ❤️ ☃ → ∑ ½"),
    (
        "Code",
        "names, operators and brackets",
        "def fibonacci(n: int) -> int:\n    if n <= 1:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n\nfor (let i = 0; i < xs.length; i++) { sum += xs[i]; } // O(n)",
    ),
    (
        "Indentation",
        "1, 2, 4, 8 and 16 blanks, tabs, blanks at the end, empty lines",
        " a\n  b\n    c\n        d\n                e\n\tf\n\t\t\tg\nh  \n\n\ni",
    ),
    (
        "Digits",
        "one by one, in groups, or as whole numbers?",
        "7 42 365 1999 12345 1234567 3.14159 1,234,567 2026-11-24 0xDEADBEEF ٣٤٥ 三百",
    ),
    ("Names of special tokens", "as plain text, as it comes from outside", SPECIAL_NAMES),
];

const SPECIAL_NAMES: &str = "<s></s><|endoftext|><|im_start|>user<|im_end|><|eot_id|><bos><eos><start_of_turn>[CLS][SEP][MASK]<pad><unk>";

/// "All human beings are born free and equal in dignity and rights."
const LANGUAGES: &[(&str, &str)] = &[
    ("English", "All human beings are born free and equal in dignity and rights."),
    ("German", "Alle Menschen sind frei und gleich an Würde und Rechten geboren."),
    ("French", "Tous les êtres humains naissent libres et égaux en dignité et en droits."),
    ("Spanish", "Todos los seres humanos nacen libres e iguales en dignidad y derechos."),
    ("Polish", "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw."),
    ("Turkish", "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar."),
    ("Vietnamese", "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi."),
    ("Swahili", "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa."),
    ("Greek", "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα."),
    ("Russian", "Все люди рождаются свободными и равными в своём достоинстве и правах."),
    ("Arabic", "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق."),
    ("Hebrew", "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם."),
    ("Hindi", "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।"),
    ("Bengali", "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।"),
    ("Thai", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ"),
    ("Korean", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."),
    ("Chinese", "人人生而自由，在尊严和权利上一律平等。"),
    ("Japanese", "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"),
    ("Amharic", "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።"),
];

/// Everything that the probe encodes, for tokenizers that take their vocabulary from the text.
pub fn all_texts() -> String {
    let texts = TEXTS.iter().map(|(.., text)| *text).chain(LANGUAGES.iter().map(|(_, text)| *text));
    texts.collect::<Vec<_>>().join("\n")
}

/// The probe's texts, cut by every tokenizer.
pub fn sections(tokenizers: &[Named]) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    for (title, note, text) in TEXTS {
        sections.push(Section::new(title, note, text, tokenizers, BARE)?);
    }
    let special = Encode { special: true, ..BARE };
    let note = "where they may be taken for those tokens, as in a chat template";
    sections.push(Section::new("Special tokens", note, SPECIAL_NAMES, tokenizers, special)?);
    for (language, text) in LANGUAGES {
        sections.push(Section::new(language, "Article 1 of human rights", text, tokenizers, BARE)?);
    }
    Ok(sections)
}

/// A property and what it is for each tokenizer.
pub struct Finding {
    pub what: String,
    pub values: Vec<String>,
    /// For properties that are better when smaller: how large.
    pub amounts: Option<Vec<Amount>>,
}

/// A number of tokens.
pub struct Amount {
    pub n_tokens: usize,
    /// Some of them stand for unknown text: it is no merit that they are few.
    pub has_unknown: bool,
}

impl Finding {
    pub fn json(&self) -> Value {
        json!({ "what": self.what, "values": self.values })
    }
}

/// What the probe shows, a property per line.
pub fn findings(tokenizers: &[Named]) -> Result<Vec<Finding>> {
    let each = |what: &str, find: &dyn Fn(&Named) -> Result<String>| {
        let values = tokenizers.iter().map(find).collect::<Result<Vec<_>>>()?;
        Ok::<_, crate::Error>(Finding { what: what.to_owned(), values, amounts: None })
    };
    let mut found = vec![
        each("kind", &|t| Ok(t.tokenizer.kind().name().to_owned()))?,
        each("vocabulary", &|t| Ok(t.tokenizer.n_vocab().to_string()))?,
        each("control tokens", &|t| Ok(n_control(t).to_string()))?,
        each("begins, ends a text with", &|t| Ok(frame(t)))?,
        each("hello, Hello, HELLO", &capitals)?,
        each("accents", &|t| kept(t, "naïve café"))?,
        each("two blanks, line ends", &|t| kept(t, "a  b\n\nc"))?,
        each("4, 8, 16 blanks", &|t| counts(t, &["    x", "        x", "                x"], 1))?,
        each("digits", &digits)?,
        each("🙂, 👍🏽, 👩‍👩‍👧‍👦", &|t| counts(t, &["🙂", "👍🏽", "👩‍👩‍👧‍👦"], 0))?,
        each("<|im_end|> in plain text", &|t| forged(t, "<|im_end|>"))?,
    ];
    found.extend(languages(tokenizers)?);
    Ok(found)
}

fn ids(named: &Named, text: &str) -> Result<Vec<u32>> {
    named.tokenizer.encode(text, BARE)
}

fn n_control(named: &Named) -> usize {
    let n_vocab = named.tokenizer.n_vocab() as u32;
    (0..n_vocab).filter(|&id| named.tokenizer.class(id) == Class::Control).count()
}

fn frame(named: &Named) -> String {
    let options = Encode { bos: None, eos: None, special: false };
    let tokens = named.tokenizer.encode_with_offsets("a", options).unwrap_or_default();
    let is_added = |t: &&crate::text::Token| t.start == t.end;
    let name = |t: &crate::text::Token| named.shown(t.id).text;
    let before: Vec<String> = tokens.iter().take_while(is_added).map(name).collect();
    let behind: Vec<String> = tokens[before.len()..].iter().filter(is_added).map(name).collect();
    match (before.is_empty(), behind.is_empty()) {
        (true, true) => "nothing".into(),
        _ => format!("{} … {}", before.join(" "), behind.join(" ")).trim().to_owned(),
    }
}

fn capitals(named: &Named) -> Result<String> {
    let all = [ids(named, "hello")?, ids(named, "Hello")?, ids(named, "HELLO")?];
    let unknown = all.iter().flatten().any(|&id| named.shown(id).look == Look::Unknown);
    Ok(match all.windows(2).all(|pair| pair[0] == pair[1]) {
        true if unknown => "unknown".into(),
        true => "the same".into(),
        false => format!("{}, {}, {} tokens", all[0].len(), all[1].len(), all[2].len()),
    })
}

/// Whether decoding gives `text` back.
fn kept(named: &Named, text: &str) -> Result<String> {
    let back = named.tokenizer.decode_with(&ids(named, text)?, Decode::default());
    Ok(if back == text { "kept".into() } else { format!("become {back:?}") })
}

/// The number of tokens of each text, less `n_known` for a part that is not meant.
fn counts(named: &Named, texts: &[&str], n_known: usize) -> Result<String> {
    let mut list = Vec::new();
    for text in texts {
        let ids = ids(named, text)?;
        let unknown = ids.iter().any(|&id| named.shown(id).look == Look::Unknown);
        list.push(if unknown { "unknown".into() } else { (ids.len().saturating_sub(n_known)).to_string() });
    }
    Ok(list.join(", "))
}

/// The longest run of digits that is one token.
fn digits(named: &Named) -> Result<String> {
    let mut longest = 0;
    for text in ["1234567", "2026", "100", "1000000", "365", "12"] {
        for token in named.tokenizer.encode_with_offsets(text, BARE)? {
            if named.shown(token.id).look == Look::Unknown {
                return Ok("unknown".into());
            }
            longest = longest.max(token.end - token.start);
        }
    }
    Ok(if longest <= 1 { "one by one".into() } else { format!("up to {longest} together") })
}

/// Whether text from outside can make a special token.
fn forged(named: &Named, name: &str) -> Result<String> {
    let Some(id) = named.tokenizer.id(name).filter(|&id| named.tokenizer.class(id) != Class::Normal) else {
        return Ok("no such token".into());
    };
    Ok(if ids(named, name)?.contains(&id) { "that token" } else { "stays text" }.into())
}

/// Tokens of each language's sentence, and how many times those of English that is.
fn languages(tokenizers: &[Named]) -> Result<Vec<Finding>> {
    let mut english = vec![1; tokenizers.len()];
    let mut found = Vec::new();
    for (language, text) in LANGUAGES {
        let (mut values, mut amounts) = (Vec::new(), Vec::new());
        for (t, english) in tokenizers.iter().zip(&mut english) {
            let ids = ids(t, text)?;
            if *language == "English" {
                *english = ids.len().max(1);
            }
            let unknown = ids.iter().filter(|&&id| t.tokenizer.unk() == Some(id)).count();
            let times = ids.len() as f64 / *english as f64;
            let note = if unknown > 0 { format!(", {unknown} unknown") } else { String::new() };
            values.push(format!("{} ({times:.1}×{note})", ids.len()));
            amounts.push(Amount { n_tokens: ids.len(), has_unknown: unknown > 0 });
        }
        found.push(Finding { what: format!("tokens, {language}"), values, amounts: Some(amounts) });
    }
    Ok(found)
}
