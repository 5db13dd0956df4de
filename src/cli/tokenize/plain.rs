//! Tokens and counts as plain text, for pipes and files; the table of counts for terminals too.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::Section;
use super::analysis::{Look, Named};
use super::probe::Finding;
use crate::text::Token;

/// Texts from this size on are worth saying how fast they were cut.
const N_BYTES_TIMED: usize = 64 << 10;

/// A line per token: id, bytes of the text, piece.
pub fn list(named: &Named, section: &Section) -> String {
    let tokens = &section.analyses[0].tokens;
    let ranges: Vec<String> = tokens.iter().map(|t| format!("{}..{}", t.start, t.end)).collect();
    let wide = ranges.iter().map(String::len).max().unwrap_or(0);
    let mut out = String::new();
    for (token, range) in tokens.iter().zip(ranges) {
        let _ = writeln!(out, "{:>8}  {range:>wide$}  {}", token.id, quoted(named, token.id));
    }
    out
}

/// A piece between quotes, escaped as in a program; special tokens and unknown text without quotes.
fn quoted(named: &Named, id: u32) -> String {
    let shown = named.shown(id);
    match shown.look {
        Look::Text => format!("{:?}", shown.text),
        Look::Special | Look::Unknown => shown.text,
        Look::Bytes => {
            let part =
                |c: std::str::Utf8Chunk<'_>| match c.invalid().is_empty() && shown.text.starts_with('‹') {
                    true => escaped(c.valid().as_bytes()),
                    false => format!("{}{}", c.valid().escape_debug(), escaped(c.invalid())),
                };
            format!("\"{}\"", named.bytes(id).utf8_chunks().map(part).collect::<String>())
        }
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("\\x{b:02x}")).collect()
}

/// A column per tokenizer; tokens that begin at the same byte stand in the same line.
pub fn side_by_side(tokenizers: &[Named], section: &Section) -> String {
    let mut starts: Vec<usize> =
        section.analyses.iter().flat_map(|a| a.tokens.iter().map(|t| t.start)).collect();
    starts.sort_unstable();
    starts.dedup();
    let cell = |named: &Named, token: &Token| format!("{:>7} {}", token.id, quoted(named, token.id));
    let mut rows = vec![
        std::iter::once("byte".to_owned())
            .chain(tokenizers.iter().map(|t| format!("{:>7} {}", "id", t.name)))
            .collect(),
    ];
    let mut next = vec![0; tokenizers.len()];
    for start in starts {
        let mut first = true;
        loop {
            let mut row = vec![if first { start.to_string() } else { String::new() }];
            for ((named, analysis), next) in tokenizers.iter().zip(&section.analyses).zip(&mut next) {
                // Tokens come in the order of their starts.
                let token = analysis.tokens.get(*next).filter(|token| token.start <= start);
                *next += usize::from(token.is_some());
                row.push(token.map_or(String::new(), |token| cell(named, token)));
            }
            if row[1..].iter().all(String::is_empty) {
                break;
            }
            rows.push(row);
            first = false;
        }
    }
    table(&rows, |column| column == 0) + "\n"
}

/// One line of counts.
pub fn summary_line(section: &Section) -> String {
    let (analysis, size) = (&section.analyses[0], section.size);
    let mut line =
        format!("{} tokens, {} words, {} bytes", analysis.tokens.len(), size.n_words, size.n_bytes);
    if let (Some(word), false) = (analysis.per(size.n_words), analysis.tokens.is_empty()) {
        let per_token = size.n_bytes as f64 / analysis.tokens.len() as f64;
        let _ = write!(line, "; {word:.2} tokens per word, {per_token:.2} bytes per token");
    }
    if analysis.n_unknown > 0 {
        let _ = write!(line, "; {} unknown", analysis.n_unknown);
    }
    if size.n_bytes >= N_BYTES_TIMED {
        let _ = write!(line, "; {:.1} MB/s", analysis.megabytes_per_second(size));
    }
    line
}

/// The counts of each tokenizer, a row each.
pub fn summary(tokenizers: &[Named], section: &Section, colours: bool) -> String {
    let size = section.size;
    let timed = size.n_bytes >= N_BYTES_TIMED;
    let mut head =
        vec!["tokenizer", "kind", "vocabulary", "tokens", "per word", "per byte", "unknown", "exact"];
    if timed {
        head.push("MB/s");
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    let number = |value: Option<f64>, digits| value.map_or("-".into(), |v| format!("{v:.digits$}"));
    for (named, analysis) in tokenizers.iter().zip(&section.analyses) {
        let mut row = vec![
            named.name.clone(),
            named.tokenizer.kind().name().to_owned(),
            named.tokenizer.n_vocab().to_string(),
            analysis.tokens.len().to_string(),
            number(analysis.per(size.n_words), 2),
            number(analysis.per(size.n_bytes), 3),
            analysis.n_unknown.to_string(),
            if analysis.exact { "yes" } else { "no" }.to_owned(),
        ];
        if timed {
            row.push(format!("{:.1}", analysis.megabytes_per_second(size)));
        }
        rows.push(row);
    }
    let head = format!("{} bytes, {} characters, {} words", size.n_bytes, size.n_chars, size.n_words);
    format!("{head}\n\n{}", bold_first(table(&rows, |column| column >= 2), colours))
}

/// What the probe found, a row per property and a column per tokenizer.
pub fn findings(tokenizers: &[Named], findings: &[Finding], colours: bool) -> String {
    let mut rows = vec![
        std::iter::once(String::new()).chain(tokenizers.iter().map(|t| t.name.clone())).collect::<Vec<_>>(),
    ];
    rows.extend(findings.iter().map(|f| std::iter::once(f.what.clone()).chain(f.values.clone()).collect()));
    bold_first(table(&rows, |_| false), colours)
}

fn bold_first(table: String, colours: bool) -> String {
    match (colours, table.split_once('\n')) {
        (true, Some((first, rest))) => format!("\x1b[1m{first}\x1b[0m\n{rest}"),
        _ => table,
    }
}

/// Columns of text; those of numbers end at the same place.
fn table(rows: &[Vec<String>], numbers: impl Fn(usize) -> bool) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide: Vec<usize> = (0..n_columns)
        .map(|c| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.width()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            let gap = " ".repeat(wide[c] - cell.width());
            match numbers(c) {
                true => line.extend([&gap, cell, "  "]),
                false => line.extend([cell, &gap[..], "  "]),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
