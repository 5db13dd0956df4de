//! The report: one page with everything in it, for any browser, light or dark, with no network.

use std::fmt::Write;
use std::path::Path;

use super::Section;
use super::analysis::{Analysis, Look, Named, hex, visible};
use super::probe::Finding;
use crate::cli::common;
use crate::error::Result;
use crate::text::Token;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// A browser shows about this many tokens without delay; the counts cover all of them.
const N_SHOWN_MAX: usize = 20_000;

/// Longer texts are shown in columns rather than one below the other.
const N_CHARS_STACKED_MAX: usize = 800;

/// Writes the page.
pub fn write(
    path: &Path,
    title: &str,
    tokenizers: &[Named],
    sections: &[Section],
    findings: &[Finding],
) -> Result<()> {
    common::write_whole(path, render(title, tokenizers, sections, findings).as_bytes())
}

fn render(title: &str, tokenizers: &[Named], sections: &[Section], findings: &[Finding]) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
    );
    match findings.is_empty() {
        true => overview(&mut page, tokenizers, &sections[0]),
        false => found(&mut page, tokenizers, findings),
    }
    page.push_str(
        "<div class=\"controls\"><label><input type=\"checkbox\" value=\"ids\"> ids</label>\
         <label><input type=\"checkbox\" value=\"plain\" data-off=\"1\" checked> signs for blanks and line ends\
         </label></div>\n",
    );
    for section in sections {
        section_of(&mut page, tokenizers, section, findings.is_empty());
    }
    let _ = write!(
        page,
        "<footer>Made by aquatint {}. Each colour is a token; italics are bytes that are no whole \
         character.</footer>\n<div id=\"about\">Point at a token.</div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
    );
    page
}

/// Counts of one text: a row per tokenizer, the fewest tokens in bold.
fn overview(page: &mut String, tokenizers: &[Named], section: &Section) {
    let size = section.size;
    let _ = write!(
        page,
        "<p>{} bytes, {} characters, {} words</p>\n<div class=\"wide\"><table><thead><tr><th>tokenizer</th>\
         <th>kind</th><th class=\"n\">vocabulary</th><th class=\"n\">tokens</th><th></th><th class=\"n\">per \
         word</th><th class=\"n\">per byte</th><th class=\"n\">unknown</th><th>decodes exactly</th></tr></thead>\
         <tbody>\n",
        grouped(size.n_bytes),
        grouped(size.n_chars),
        grouped(size.n_words),
    );
    let counts = || section.analyses.iter().map(|a| a.tokens.len());
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0).max(1));
    let number = |value: Option<f64>, digits| value.map_or("–".into(), |v| format!("{v:.digits$}"));
    for (named, analysis) in tokenizers.iter().zip(&section.analyses) {
        let n_tokens = analysis.tokens.len();
        let best = if n_tokens == least && tokenizers.len() > 1 { " best" } else { "" };
        let _ = writeln!(
            page,
            "<tr><th>{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n{best}\">{}</td><td class=\"bars\"><span \
             class=\"bar\" style=\"width:{:.1}%\"></span></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td><td>{}</td></tr>",
            escaped(&named.name),
            named.tokenizer.kind().name(),
            grouped(named.tokenizer.n_vocab()),
            grouped(n_tokens),
            100.0 * n_tokens as f64 / most as f64,
            number(analysis.per(size.n_words), 2),
            number(analysis.per(size.n_bytes), 3),
            grouped(analysis.n_unknown),
            if analysis.exact { "yes" } else { "no" },
        );
    }
    page.push_str("</tbody></table></div>\n");
}

/// What the probe found: a row per property. Numbers of tokens have bars, the fewest in bold.
fn found(page: &mut String, tokenizers: &[Named], findings: &[Finding]) {
    page.push_str(
        "<p>How each tokenizer treats the same texts.</p>\n<div class=\"wide\"><table><thead><tr><th></th>",
    );
    for named in tokenizers {
        let _ = write!(page, "<th>{}</th>", escaped(&named.name));
    }
    page.push_str("</tr></thead><tbody>\n");
    let all = || findings.iter().flat_map(|f| f.amounts.iter().flatten());
    let most = all().map(|amount| amount.n_tokens).max().unwrap_or(0).max(1);
    for finding in findings {
        let _ = write!(page, "<tr><th>{}</th>", escaped(&finding.what));
        let clean = finding.amounts.iter().flatten().filter(|amount| !amount.has_unknown);
        let least = clean.map(|amount| amount.n_tokens).min();
        for (i, value) in finding.values.iter().enumerate() {
            let Some(amount) = finding.amounts.as_ref().map(|amounts| &amounts[i]) else {
                let _ = write!(page, "<td>{}</td>", escaped(value));
                continue;
            };
            let best = !amount.has_unknown && Some(amount.n_tokens) == least && tokenizers.len() > 1;
            let _ = write!(
                page,
                "<td{}>{}<span class=\"bar{}\" style=\"width:{:.1}%\"></span></td>",
                if best { " class=\"best\"" } else { "" },
                escaped(value),
                if amount.has_unknown { " bad" } else { "" },
                100.0 * amount.n_tokens as f64 / most as f64,
            );
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn section_of(page: &mut String, tokenizers: &[Named], section: &Section, alone: bool) {
    // Long texts stand beside each other, each in a pane of its own.
    let beside = tokenizers.len() > 1 && section.size.n_chars > N_CHARS_STACKED_MAX;
    page.push_str(if beside { "<section class=\"beside\">\n" } else { "<section>\n" });
    if !alone {
        let _ = writeln!(page, "<h2>{}</h2>\n<p>{}</p>", escaped(&section.title), escaped(&section.note));
    }
    for (named, analysis) in tokenizers.iter().zip(&section.analyses) {
        let name = escaped(&named.name);
        let per_word = analysis.per(section.size.n_words).unwrap_or(0.0);
        let _ = write!(
            page,
            "<div class=\"cut\" data-name=\"{name}\"><header><b>{name}</b><span>{} tokens</span><span>{per_word:.2} \
             per word</span></header><div class=\"tokens\" dir=\"auto\">",
            grouped(analysis.tokens.len()),
        );
        tokens_of(page, named, analysis, &section.text);
        page.push_str("</div></div>\n");
    }
    page.push_str("</section>\n");
}

fn tokens_of(page: &mut String, named: &Named, analysis: &Analysis, text: &str) {
    // Text that no token covers, such as the blanks that BERT drops, stands between the tokens as it is.
    let mut done = 0;
    for token in analysis.tokens.iter().take(N_SHOWN_MAX) {
        if let Some(gap) = text.get(done..token.start) {
            page.push_str(&escaped(gap));
        }
        done = done.max(token.end);
        token_of(page, named, token, text);
    }
    let n_tokens = analysis.tokens.len();
    if n_tokens > N_SHOWN_MAX {
        let (shown, all) = (grouped(N_SHOWN_MAX), grouped(n_tokens));
        let _ = write!(page, "\n\n<em>… the first {shown} of {all} tokens</em>");
    }
}

fn token_of(page: &mut String, named: &Named, token: &Token, text: &str) {
    let shown = named.shown(token.id);
    let source = text.get(token.start..token.end).filter(|source| !source.is_empty());
    let (class, label) = match (shown.look, source) {
        (Look::Text, Some(source)) => ("t", signs(source)),
        (Look::Text, None) => ("t", signs(&shown.text)),
        (Look::Special, _) => ("t s", escaped(&shown.text)),
        (Look::Unknown, source) => ("t u", signs(source.unwrap_or(&shown.text))),
        (Look::Bytes, _) => ("t b", signs(&shown.text)),
    };
    let _ = write!(
        page,
        "<span class=\"{class}\" data-i=\"{}\" data-o=\"{}-{}\"",
        token.id, token.start, token.end
    );
    // What the token is called and which bytes it covers, where what is shown does not say.
    let piece = visible(&shown.text);
    if shown.look != Look::Text || source.is_some_and(|source| visible(source) != piece) {
        let _ = write!(page, " data-p=\"{}\"", escaped(&piece));
    }
    if let (Some(covered), true) =
        (text.as_bytes().get(token.start..token.end), token.end - token.start <= 16)
        && !covered.is_ascii()
    {
        let _ = write!(page, " data-b=\"{}\"", hex(covered));
    }
    let _ = write!(page, ">{label}</span>");
    if label.ends_with("\n</i>") {
        // Where tokens are boxes, above their ids, a line end within one does not end the line.
        page.push_str("<b></b>");
    }
}

/// A text with signs for blanks, tabs and line ends, which the page draws beside them.
fn signs(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find([' ', '\n', '\t']).unwrap_or(rest.len());
        out.push_str(&escaped(&visible(&rest[..end])));
        match rest[end..].chars().next() {
            Some(' ') => out.push_str("<i class=\"b\"> </i>"),
            Some('\n') => out.push_str("<i class=\"n\">\n</i>"),
            Some('\t') => out.push_str("<i class=\"h\">\t</i>"),
            _ => {}
        }
        rest = rest.get(end + 1..).unwrap_or("");
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in HTML, even by number.
            '\0' => out.push('␀'),
            c => out.push(c),
        }
    }
    out
}

/// 262,144
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
